"""Tests, of which some load axolotl, which then reports its use to its makers unless it is told not to."""

import os

os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"
