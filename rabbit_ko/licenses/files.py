"""The files that a base's license wants beside what was made of it: its text, its policy of use, its notices."""

import re
from dataclasses import dataclass
from pathlib import Path

from rabbit_ko import storage
from rabbit_ko.hub import SMALL_BYTES, hub_files, hub_id
from rabbit_ko.licenses.bases import first_base, licenses_of
from rabbit_ko.licenses.known import BaseLicense

NOTICE = "NOTICE"
_FILE = re.compile(r"(?i)(licen[sc]e|copying|notice|use_policy)([-_][a-z0-9_-]{1,30})?(\.(txt|md))?")
_TEXT = re.compile(r"(?i)(licen[sc]e|copying)")


@dataclass(frozen=True)
class Carried:
    """Files by name that go with a run's model, and what is to be said of those that were not found."""

    files: dict[str, bytes]
    missing: list[str]


def carried_files(run: Path) -> Carried:
    """Return what goes with a run's model wherever it goes: the base's own files, and those that lie in the run.

    The notice that a license prescribes is written where none of the files has it.
    """
    base = first_base(str(run))
    licenses = licenses_of(base)
    if not licenses:
        return Carried(_of_folder(run), [])
    files = {**_of_base(base), **_of_folder(run)}
    files |= _notice(base, licenses, files)
    has_text = any(_TEXT.match(name) for name in files)
    texts = ", ".join(f"{license.name} {license.link}".strip() for license in licenses)
    missing = (
        f"{base}: its license has to go along, and no file of it was found; save it as {run / 'LICENSE'}: {texts}"
    )
    return Carried(files, [] if has_text else [missing])


def carry(run: Path, folder: Path) -> list[str]:
    """Write what goes with a run's model into a folder that holds it; return what is to be said. Raises OSError."""
    carried = carried_files(run)
    for name, content in carried.files.items():
        storage.write(str(folder / name), content)
    return carried.missing


def _notice(base: str, licenses: list[BaseLicense], files: dict[str, bytes]) -> dict[str, bytes]:
    known = b"\n".join(content for name, content in files.items() if name.casefold().startswith("notice"))
    said = [license.notice for license in licenses if license.notice and license.notice.encode() not in known]
    if not said:
        return {}
    what = f"The weights of {base} were changed: it was trained further. README.md says how."
    return {NOTICE: "\n\n".join([*said, what, ""]).rstrip("\n").encode() + b"\n" + files.get(NOTICE, b"")}


def _of_base(base: str) -> dict[str, bytes]:
    if Path(base).is_dir():
        return _of_folder(Path(base))
    found = hub_files(base, _FILE) if hub_id(base) else {}
    return {name: file.read_bytes() for name, file in found.items()}


def _of_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of licenses in a folder, without links that lead elsewhere, but into a cache of the hub."""
    found = (file for file in sorted(folder.iterdir()) if _FILE.fullmatch(file.name) and file.is_file())
    inside = [folder.resolve(), folder.resolve().parents[1] / "blobs"] if len(folder.resolve().parents) > 1 else []
    return {
        file.name: file.read_bytes()
        for file in found
        if file.stat().st_size <= SMALL_BYTES and any(file.resolve().is_relative_to(place) for place in inside)
    }
