"""The prompt strategies' own look at whether the guard checks this run.

Axolotl only logs a plugin that it cannot import, and runs without it.
"""

from axolotl.integrations.base import PluginManager

from rabbit_ko.recipes import GUARD


def require_guard() -> None:
    """Raise SystemExit with one line where the guard is not registered in this process."""
    if GUARD not in PluginManager.get_instance().plugins:
        raise SystemExit(
            f"the guard is not loaded, so nothing would check this run: name `- {GUARD}` under `plugins:`, and if it "
            f"is there, see what `python -c 'import {GUARD.rsplit('.', 1)[0]}'` says"
        )
