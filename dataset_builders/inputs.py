"""What a recipe reads: each source's files and their parts; a hub data set becomes a parquet file first."""

import hashlib
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_builders.gates.contamination import Index
from dataset_builders.gates.evaluation_sets import EvaluationSet
from dataset_builders.gates.settings import Quality
from dataset_builders.parts import SUFFIXES, InputFile, Part, cut, input_files
from dataset_builders.reading import Broken, read_rows
from dataset_builders.recipe import DataConfig, SourceConfig
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem, is_url, read_json, write_json


@dataclass
class Input:
    """A source's files by their paths, and the hub commit that they are of, where they are.

    `files` has their hashes when all `parts` have been asked for.
    """

    paths: list[str]
    revision: str | None
    files: list[InputFile] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(fs.size(name) for fs, name in map(filesystem, self.paths))

    def parts(self) -> Iterator[Part]:
        """Yield the parts of all files, while these are read."""
        self.files.clear()
        for path in self.paths:
            yield from cut(path, self.files)

    @property
    def sha256(self) -> str:
        """A hash of what all files hold, in any order."""
        return hashlib.sha256("".join(sorted(file.sha256 for file in self.files)).encode()).hexdigest()


Wanted = SourceConfig | EvaluationSet


def find_input(wanted: Wanted, folder: str) -> Input:
    """Return the files of a path, a URL or a hub data set; `folder` is for what comes from the hub.

    Raises UserError where there is nothing to read.
    """
    if _is_here(wanted):
        return Input(input_files(wanted.path), None)
    return _from_hub(wanted, folder)


def check_paths(config: DataConfig) -> None:
    """Raise UserError where a source's path is no file, folder or name of a hub data set."""
    for entry in config.sources:
        if _is_here(entry):
            input_files(entry.path)


def contamination_index(quality: Quality, folder: str) -> tuple[Index, dict[str, str]]:
    """Return the index of the evaluation sets, and the hash of each set's files."""
    gate = quality.contamination
    index, hashes = Index.empty(gate.words, gate.letters), {}
    for wanted in gate.sets if quality.is_on(gate) else ():
        found = find_input(wanted, folder)
        texts = _texts_of(wanted, found)
        hashes[wanted.name] = found.sha256
        index = index.with_set(wanted.name, pa.array(texts, pa.string()))
    return index, hashes


def _texts_of(wanted: EvaluationSet, found: Input) -> list[str]:
    """Return the texts of an evaluation set's columns. Raises UserError where one is missing, or none has text."""
    texts: list[str] = []
    seen = set[str]()
    for row in (row for part in found.parts() for row in read_rows(part) if not isinstance(row, Broken)):
        seen.update(row)
        texts += _texts([row[name] for name in wanted.columns or row if name in row])
    if missing := set(wanted.columns) - seen:
        raise UserError(f"{wanted.path}: the evaluation set `{wanted.name}` has no column `{min(missing)}`")
    if not texts:
        raise UserError(f"{wanted.path}: the evaluation set `{wanted.name}` has no text in its columns")
    return texts


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value, however deep in lists and objects it is."""
    if isinstance(value, str):
        # As rows are cleaned; half a surrogate pair matches nothing.
        yield unicodedata.normalize("NFC", value).encode(errors="replace").decode()
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))


def _is_here(wanted: Wanted) -> bool:
    """Tell a path or URL from the name of a hub data set."""
    if is_url(wanted.path) or Path(wanted.path).expanduser().exists():
        if wanted.revision or wanted.subset:
            raise UserError(f"{wanted.path}: a local path has no `revision` and no `subset`; take them away")
        return True
    if _looks_local(wanted.path):
        raise UserError(f"{wanted.path}: no such file or folder")
    return False


def _looks_local(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.count("/") != 1 or Path(path).suffix.lower() in SUFFIXES


def _from_hub(wanted: Wanted, folder: str) -> Input:
    """Load a hub data set once, and keep it as a parquet file beside the parts until the build is done."""
    revision = _tried(wanted, lambda: _commit(wanted))
    asked = f"{wanted.path}\0{wanted.subset}\0{wanted.split}\0{revision or wanted.revision}"
    name = f"{folder}/{wanted.path.replace('/', '--')}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    if read_json(f"{name}.json") is None:
        dataset = _tried(wanted, lambda: _load(wanted, revision))
        fs, _ = filesystem(folder)
        if "file" in fs.protocol:
            Path(folder).mkdir(parents=True, exist_ok=True)
        dataset.to_parquet(f"{name}.parquet")
        write_json(f"{name}.json", {"rows": len(dataset)})
    return Input([f"{name}.parquet"], revision)


def _commit(wanted: Wanted) -> str | None:
    """Return the commit that a revision stands for now; None where nobody is to be asked."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    commit: str | None = HfApi().dataset_info(wanted.path, revision=wanted.revision).sha
    return commit


def _load(wanted: Wanted, revision: str | None) -> Any:
    from datasets import load_dataset
    from huggingface_hub.utils.logging import set_verbosity_error

    set_verbosity_error()
    return load_dataset(wanted.path, wanted.subset, split=wanted.split, revision=revision or wanted.revision)


def _tried(wanted: Wanted, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        raise UserError(
            f"{wanted.path}: no such local path, and the hub dataset cannot be loaded: {reason(error)}; "
            "check its name, revision and split, the network, and `hf auth login` where it is gated"
        ) from None
