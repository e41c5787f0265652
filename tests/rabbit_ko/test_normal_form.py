"""Unicode's normal forms: those of `unicodedata`, without its quadratic time."""

import ast
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko import normal_form
from rabbit_ko.normal_form import Form, normalize
from tests.conftest import ROOT
from tests.soon import soon

PACKAGES = ("rabbit_ko", "prompt_strategies", "dataset_builders", "axolotl_plugins")
# Marks that stand above, below and around; marks that fall into several; letters that take them, and Hangul.
LETTERS = (
    "aộ가\u1100\u1161\u11a8\uff76\uff9e\uff9f\u0344\u0f73\u0f75\u0f81\u3099\u0301\u0316\u0345ṩﬁ😀\U0001d165\U0001d15e"
)


@pytest.fixture
def _all_runs_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normal_form, "SHORT_TEXT", 0)
    pattern = normal_form._LONG_RUN.pattern.replace("{100,}", "{2,}")
    monkeypatch.setattr(normal_form, "_LONG_RUN", re.compile(pattern))


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.usefixtures("_all_runs_are_long")
def test_forms_are_those_of_the_standard_library(form: Form) -> None:
    @given(st.text(st.sampled_from(LETTERS) | st.characters()))
    def is_same(text: str) -> None:
        assert normalize(form, text) == unicodedata.normalize(form, text)

    is_same()


@pytest.mark.hostile
@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73", "\uff9e\u0301", "\U0001d165\u0301"])
def test_a_letter_with_a_hundred_thousand_marks_is_quick(form: Form, marks: str) -> None:
    with soon(2):
        assert len(normalize(form, "a" + marks * 50_000)) >= 100_000


@pytest.mark.hostile
def test_no_module_normalizes_in_another_way() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    found = {
        file.name
        for file in files
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Attribute) and node.attr == "normalize"
        if isinstance(node.value, ast.Name) and node.value.id == "unicodedata"
    }
    assert found == {"normal_form.py", "corpus.py", "files.py"}  # our own corpus, and names of files, which are short
