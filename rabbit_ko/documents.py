"""YAML and JSON that people or other programs wrote, cut or changed: read in bounded time and memory, or refused."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rabbit_ko.errors import UserError, reason

# A config is written by hand: what is larger is no config. Aliases may repeat a value, up to so many values in all.
YAML_BYTES, YAML_VALUES, YAML_DEPTH, YAML_DIGITS = 128 << 10, 100_000, 50, 100
# The largest JSON file of a public model, a tokenizer of a million words, is a fifth of it.
JSON_BYTES = 256 << 20
# By this, a file begins that git leaves in the place of a large one.
LFS_POINTER = b"version https://git-lfs"
GRANT = "become its owner, or have the right given to you (chmod)"

# In C, where PyYAML was built with libyaml, which takes a fortieth of the time.
_FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Record = TypeVar("Record", bound=BaseModel)


def regular(path: Path) -> Path:
    """Return the path of a file, a folder or nothing. Raises UserError for what may have no end.

    That is a pipe, a socket or a device; that of a folder fails by itself when it is opened.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path}: no regular file, but a pipe, a socket or a device; write its content to a file")
    return path


def read_yaml(path: Path) -> Any:
    """Read a YAML file, in which no key may stand twice. Raises UserError."""
    try:
        with regular(path).open("rb") as file:
            content = file.read(YAML_BYTES + 1)
        if len(content) > YAML_BYTES:
            raise UserError(
                f"{path}: larger than {YAML_BYTES >> 10} kB, too large for a config; rows stand in other files"
            )
        text = content.decode()
        _check_depth(text)
        return yaml.load(text, _Loader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UserError:
        raise
    except Exception as error:  # a value that does not suit its tag can raise anything
        raise UserError(f"{path}: not valid YAML: {reason(error)}") from None


def _check_depth(text: str) -> None:
    """Raise YAMLError before a text is loaded whose nesting would be too much for the stack of libyaml."""
    depth = 0
    for event in yaml.parse(text, _FastLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > YAML_DEPTH:
            raise _too_deep(event.start_mark)


def _too_deep(mark: Any) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {mark.line + 1}: nested more than {YAML_DEPTH} deep")


class _Loader(_FastLoader):  # type: ignore[misc, valid-type]
    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node:
            _measure(node, {})
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge nothing: `<<` is refused as a key."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > YAML_DIGITS:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a number of more than {YAML_DIGITS} digits")
        return int(super().construct_yaml_int(node))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            keys = Counter(self.construct_object(key, deep=True) for key, _ in node.value)
            raise yaml.YAMLError(
                f"line {node.start_mark.line + 1}: the key `{keys.most_common(1)[0][0]}` stands twice"
            )
        return mapping


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _measure(node: yaml.Node, known: dict[yaml.Node, tuple[int, int]]) -> tuple[int, int]:
    """Return how many values a node holds, with what aliases repeat, and how deep. Raises YAMLError."""
    if node not in known:
        known[node] = YAML_VALUES, 0  # for an alias that stands within what it repeats
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        inner = [_measure(it, known) for part in parts for it in (part if isinstance(part, tuple) else [part])]
        values, depth = 1 + sum(count for count, _ in inner), 1 + max((depth for _, depth in inner), default=0)
        line = node.start_mark.line + 1
        if values > YAML_VALUES:
            raise yaml.YAMLError(f"line {line}: more than {YAML_VALUES:,} values, with what its aliases repeat")
        if depth > YAML_DEPTH:
            raise _too_deep(node.start_mark)
        known[node] = values, depth
    return known[node]


class NotAllowed(UserError):
    """A file that may be as it should, and that this user may not read."""


def check_no_pointer(file: Path) -> None:
    """Raise UserError where git has not downloaded a file's content. Raises OSError."""
    with file.open("rb") as content:
        if content.read(len(LFS_POINTER)) == LFS_POINTER:
            raise UserError(f"{file}: a pointer of git-lfs in the place of the content; `git lfs pull` brings that")


def _ending(remedy: str) -> str:
    return remedy and f"; {remedy}"


def read_text(file: Path, remedy: str = "") -> str:
    """Return a text file's content. Raises UserError, which ends with the remedy, where it cannot be read as one."""
    ending = _ending(remedy)
    try:
        if regular(file).stat().st_size > JSON_BYTES:
            raise UserError(f"{file}: is larger than {JSON_BYTES >> 20} MiB, which no such file is{ending}")
        return file.read_text(encoding="utf-8-sig")
    except PermissionError:
        raise NotAllowed(f"{file}: this user may not read it; {GRANT}") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or reason(error)}{ending}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: damaged: not UTF-8{ending}") from None


def read_object(file: Path, remedy: str = "") -> dict[str, Any]:
    """Return the object that a JSON file holds. Raises UserError, which ends with the remedy, where it holds none."""
    ending = _ending(remedy)
    try:
        value = json.loads(read_text(file, remedy))
    except RecursionError:
        raise UserError(f"{file}: damaged: nested too deeply{ending}") from None
    except ValueError as error:
        check_no_pointer(file)
        raise UserError(f"{file}: damaged: {reason(error)}{ending}") from None
    if not isinstance(value, dict):
        raise UserError(f"{file}: holds no JSON object{ending}")
    return value


def read_record(model: type[Record], file: Path, remedy: str = "") -> Record:
    """Return a JSON file as a model's instance. Raises UserError with the first mistake and the remedy."""
    try:
        return model.model_validate(read_object(file, remedy))
    except ValidationError as error:
        raise UserError(f"{file}: {first_mistake(error)}{_ending(remedy)}") from None


def first_mistake(error: ValidationError) -> str:
    """Return where in a value its first mistake is, and what."""
    mistake = error.errors(include_url=False, include_input=False)[0]
    place, values = mistake["loc"], mistake.get("ctx", {})
    if mistake["type"] in ("string_too_short", "too_short") and values["min_length"] == 1:
        counted = (str(part + 1) if isinstance(part, int) else part for part in place)
        return f"{' '.join(counted)} is empty"
    said = str(values["error"]) if mistake["type"] == "value_error" else mistake["msg"]
    return ": ".join([*map(str, place), said])
