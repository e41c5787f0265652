"""Every regular expression of the product takes time in proportion to its text, whatever the text is.

The patterns are found in the code, not listed here: a new one is tested as soon as it is written. Those of Arrow and
pydantic are not looked for: their engines (RE2, Rust's regex) are linear by themselves.
"""

import ast
import re
import signal
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from functools import cache, partial
from importlib import import_module
from typing import Any, NamedTuple

import pytest

from tests.adversarial_texts import adversarial_texts
from tests.conftest import ROOT

PACKAGES = ("rabbit_ko", "prompt_strategies", "dataset_builders", "axolotl_plugins", "axolotl_configs")
METHODS = ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")
SIZES = (24, 400, 3_000, 12_000)
LARGE = (64_000, 250_000, 1_000_000)
# What a slow character of a linear pattern costs on a slow machine, and what the clock may be off by.
SECONDS_PER_CHARACTER, SECONDS_OFF = 1.5e-6, 0.02


class Used(NamedTuple):
    """A pattern and how it is used: by its method's name."""

    place: str
    pattern: re.Pattern[Any]
    method: str


@cache
def _modules() -> dict[str, ast.Module]:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(file.read_bytes())
        for file in files
    }


def _is_of_re(node: ast.AST) -> bool:
    is_attribute = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "re"
    return is_attribute and node.attr in (*METHODS, "compile")  # type: ignore[attr-defined]


def _calls(statement: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the method and the pattern of each call of `re`, also as `partial(re.sub, pattern)`."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            function, *arguments = [node.func, *node.args]
            if not _is_of_re(function) and arguments and _is_of_re(arguments[0]):
                function, *arguments = arguments
            if isinstance(function, ast.Attribute) and _is_of_re(function):
                yield function.attr, arguments[0]


@cache
def _methods_by_name() -> dict[str, set[str]]:
    """Return the methods that are called of each name anywhere in the product."""
    found = defaultdict(set)
    for node in (node for tree in _modules().values() for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            value = node.value.value if isinstance(node.value, ast.Subscript) else node.value
            found[value.id if isinstance(value, ast.Name) else ""].add(node.attr)
    return found


def _held(value: Any, methods: Iterable[str]) -> Iterator[tuple[re.Pattern[Any], str]]:
    """Yield the patterns that a value of a module is, is a method of, or holds."""
    if isinstance(value, re.Pattern):
        yield from ((value, method) for method in methods)
    elif isinstance(value, partial) and getattr(value.func, "__module__", "") == "re":
        yield re.compile(value.args[0]), value.func.__name__
    elif isinstance(getattr(value, "__self__", None), re.Pattern):
        yield value.__self__, value.__name__
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _held(item, methods)


def _named(statement: ast.stmt, module: Any) -> list[tuple[re.Pattern[Any], str]]:
    """Return the patterns that a statement of a module gives names to."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return []
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    of_name = [(getattr(module, name), _methods_by_name().get(name) or {"search"}) for name in names]
    return [each for value, methods in of_name for each in _held(value, methods)]


def _inline(calls: Iterable[tuple[str, ast.expr]], module: Any) -> list[tuple[re.Pattern[Any], str]]:
    """Return the patterns of calls within functions, but those that are made of local names."""
    found = []
    for method, node in calls:
        try:
            pattern = eval(compile(ast.Expression(node), "", "eval"), vars(module))
        except NameError:
            continue
        found.append((re.compile(pattern), "search" if method == "compile" else method))
    return found


@cache
def _patterns() -> list[Used]:
    found = []
    for name, tree in _modules().items():
        for statement in tree.body:
            if calls := list(_calls(statement)):
                module = import_module(name)
                used = _named(statement, module) or _inline(calls, module)
                assert len(used) >= len(calls), f"{name}:{statement.lineno}: name each pattern at the module's level"
                found += [Used(f"{name}:{statement.lineno}", *each) for each in used]
    return found


def _seconds(used: Used, text: Any) -> float:
    run = getattr(used.pattern, used.method) if used.method in ("match", "fullmatch") else used.pattern.finditer
    started = time.process_time()
    found = run(text)
    if run == used.pattern.finditer:
        deque(found, 0)
    return time.process_time() - started


def _is_slow(used: Used, text: Any) -> bool:
    """Tell whether a text takes longer than its length allows: another process may be in the way once, not always."""
    bound = SECONDS_OFF + len(text) * SECONDS_PER_CHARACTER
    return all(_seconds(used, text) > bound for _ in range(3))


def _slow_text(used: Used) -> Any:
    """Return a text that takes longer than its length allows, from small ones to large ones, or None."""
    for size in SIZES:
        texts = list(adversarial_texts(used.pattern, size))
        if slow := next((text for text in texts if _is_slow(used, text)), None):
            return slow
    shorter, factor = list(adversarial_texts(used.pattern, SIZES[-2])), SIZES[-1] // SIZES[-2]
    pairs = zip(texts, shorter, strict=True)
    excess = [_seconds(used, text) - factor * _seconds(used, short) for text, short in pairs]
    grows_most = [excess.index(max(excess))]
    for size in LARGE:
        texts = list(adversarial_texts(used.pattern, size, grows_most))
        if slow := next((text for text in texts if _is_slow(used, text)), None):
            return slow
    return None


@pytest.fixture
def _alarm() -> Iterator[None]:
    """End a pattern that takes exponential time, of this process."""

    def ring(*_: object) -> None:
        raise TimeoutError("a pattern takes exponential time")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, 300)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


@pytest.mark.hostile
@pytest.mark.usefixtures("_alarm")
def test_every_pattern_is_linear_in_the_length_of_any_text() -> None:
    slow = {f"{used.place} {used.pattern.pattern!r}.{used.method}": _slow_text(used) for used in set(_patterns())}
    assert not {place: text[:60] for place, text in slow.items() if text}


@pytest.mark.hostile
def test_all_patterns_of_the_product_are_found() -> None:
    assert len(_patterns()) > 50
    imported = [
        (name, alias.name)
        for name, tree in _modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if {getattr(node, "module", None), alias.name} & {"re", "regex", "re2"}
    ]
    assert {what for _, what in imported} == {"re"}  # never `from re import ...`


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"\s+$", "search"),
        (r"(a|b)*c", "search"),
        (r"(?:a+)+b", "match"),
        (r"^###[^\S\n]*[*_]*[^\S\n]*(?:Question)", "search"),
        (rb'"(?:[^"\\]|\\.)*"', "search"),
    ],
)
@pytest.mark.usefixtures("_alarm")
def test_patterns_that_are_not_linear_are_told(pattern: Any, method: str) -> None:
    assert _slow_text(Used("", re.compile(pattern), method))
