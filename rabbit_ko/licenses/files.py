"""The files that a base's license wants beside what was made of it: its text, its policy of use, its notices."""

import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rabbit_ko import storage
from rabbit_ko.hub import SMALL_BYTES, hub_files, hub_id
from rabbit_ko.licenses.bases import TEXT, first_base, licenses_of
from rabbit_ko.licenses.known import BaseLicense, licenses_in

NOTICE = "NOTICE"
_FILE = re.compile(r"(?i)(licen[sc]e|copying|notice|use_policy)([-_][a-z0-9_-]{1,30})?(\.(txt|md))?")


@dataclass(frozen=True)
class Carried:
    """Files by name that go with a run's model, and what is to be said of those that were not found.

    missing: of texts without which no one may pass the model on. hints: of others.
    """

    files: dict[str, bytes]
    missing: list[str]
    hints: list[str]


def carried_files(run: Path) -> Carried:
    """Return what goes with a run's model wherever it goes: the base's own files, and those that lie in the run.

    The notice that a license prescribes is written where none of the files has it.
    """
    base = first_base(str(run))
    licenses = licenses_of(base)
    if not licenses:
        return Carried(_of_folder(run), [], [])
    files = {**_of_base(base), **_of_folder(run)}
    files |= _notice(base, licenses, files)
    lines = {license: _line(base, run, license, files) for license in _without_text(licenses, files)}
    missing = [line for license, line in lines.items() if license.wants_text]
    hints = [line for license, line in lines.items() if not license.wants_text]
    if not any(name.casefold().startswith("use_policy") for name in files):
        hints += [
            f"{base}: no file of its use policy was found; save {license.use_policy} as {run / 'USE_POLICY.md'}"
            for license in licenses
            if license.use_policy
        ]
    return Carried(files, missing, hints)


def _without_text(licenses: list[BaseLicense], files: dict[str, bytes]) -> list[BaseLicense]:
    """Return the licenses whose text is in no file.

    One whose title is not known, or need not be there, is taken to be in a file that has no other's title.
    """
    found = [licenses_in(content) for name, content in files.items() if TEXT.match(name)]
    titled, has_other = set(chain.from_iterable(found)), not all(found)
    return [it for it in licenses if it not in titled and not (has_other and (it.is_permissive or not it.title))]


def _line(base: str, run: Path, license: BaseLicense, files: dict[str, bytes]) -> str:
    name = "LICENSE" if "LICENSE" not in files else f"LICENSE-{license.hub.replace('.', '_')}"
    text = f"{license.name} {license.link}".strip()
    return f"{base}: its license has to go along, and no file of it was found; save it as {run / name}: {text}"


def carry(run: Path, folder: Path) -> list[str]:
    """Write what goes with a run's model into a folder that holds it; return what is to be said. Raises OSError."""
    carried = carried_files(run)
    for name, content in carried.files.items():
        storage.write(str(folder / name), content)
    return [*carried.missing, *carried.hints]


def _notice(base: str, licenses: list[BaseLicense], files: dict[str, bytes]) -> dict[str, bytes]:
    known = b"\n".join(content for name, content in files.items() if name.casefold().startswith("notice"))
    said = [license.notice for license in licenses if license.notice and license.notice.encode() not in known]
    if not said:
        return {}
    what = f"The weights of {hub_id(base) or 'the base'} were changed: it was trained further. README.md says how."
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
