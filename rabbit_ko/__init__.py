"""Korean instruction tuning on axolotl: the ground floor that every package stands on, and the command on top of all.

Modules of this folder are the ground floor. Packages of it are upper floors: see AGENTS.md.
"""
