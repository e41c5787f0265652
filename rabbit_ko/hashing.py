"""Hashes and versions: what tells one state of files, code and packages from another."""

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Reading all of a large model would hold up what only looks: of larger files, it is told by their size.
LARGE = 4 << 30


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file's content in hex, read piece by piece. Raises OSError."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def files_digest(files: Iterable[Path]) -> str:
    """Return a SHA-256 over the names and contents of files, in any order; what is no file does not count."""
    found = sorted(file for file in files if file.is_file())
    return listing_digest((file.name, file_digest(file)) for file in found)


def listing_digest(files: Iterable[tuple[str, str]]) -> str:
    """Return what `files_digest` does of files whose names and SHA-256 are known, in the order of their paths."""
    return hashlib.sha256("".join(f"{name} {digest}\0" for name, digest in files).encode()).hexdigest()


def source_digest(files: Iterable[Path]) -> str:
    """Return a SHA-256 over source files of this project by their paths in it, in any order."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def git_commit() -> str | None:
    """Return the project's commit, with `-dirty` after it where files were changed; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
