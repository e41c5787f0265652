"""The folder of a run: its own stage's and no other's, and one run at a time in it."""

import os
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rabbit_ko import storage
from rabbit_ko.documents import GRANT
from rabbit_ko.errors import UserError
from rabbit_ko.recipes import recipe_of_run, run_of_config
from rabbit_ko.run_record import read_run

# Of the process that trains, from the loading of its rows on; and of the command that starts it.
LOCK, LAUNCH = "run.lock", "launch.lock"
# `holder` takes a lock for a moment, too.
PATIENCE = 1.0


def check_output_dir(config: Mapping[str, Any], file: Path) -> None:
    """Raise UserError unless `output_dir` is the folder of the stage whose YAML `file` is.

    A YAML outside `axolotl_configs/` may have any folder but a recipe's, and none that holds another's finished run.
    """
    output = Path(str(config.get("output_dir")))
    if own := run_of_config(file):
        if output.resolve() != own.resolve():
            raise UserError(f"output_dir: {output} is not this stage's own folder, which is {own}")
        return
    if recipe := recipe_of_run(output):
        raise UserError(f"output_dir: {output} belongs to the recipe {recipe}; choose another folder")
    owner = file
    with suppress(UserError, KeyError, TypeError):
        owner = Path(read_run(output).config["axolotl_config_path"])
    if owner.resolve() != file.resolve():
        raise UserError(f"output_dir: {output} holds the finished run of {owner}; choose another folder")


def hold(folder: Path, name: str = LOCK) -> AbstractContextManager[object]:
    """Keep other runs out of a run's folder until this process ends, or a `with` of what is returned does.

    Raises UserError where a run is in it, with that one's process and host, and where nothing may be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock((folder / name).absolute(), timeout=PATIENCE, is_singleton=True)
        held = lock.acquire()
    except PermissionError:
        raise UserError(f"{folder}: this user may not write there; {GRANT}") from None
    except Timeout:
        raise UserError(f"{folder} is in use by {_read_holder(folder / name)}; wait for its end") from None
    storage.write(f"{folder / name}.pid", f"process {os.getpid()} on {socket.gethostname()}".encode())
    return held


def holder(folder: Path) -> str | None:
    """Return which run is in a folder now, such as `process 4711 on gpu-3`; None where none is."""
    for lock in (folder / LOCK, folder / LAUNCH):
        try:
            if lock.exists():
                FileLock(lock, blocking=False).acquire().lock.release()
        except Timeout:
            return _read_holder(lock)
        except OSError:  # a folder that may only be read: nobody trains in it
            continue
    return None


def _read_holder(lock: Path) -> str:
    try:
        return Path(f"{lock}.pid").read_text(encoding="utf-8")
    except OSError:
        return "another process"
