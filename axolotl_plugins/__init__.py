"""What has to happen inside axolotl's own process; named under `plugins:` in every recipe."""

GUARD = "axolotl_plugins.guard.Guard"
