"""What is normalised, and that the quick look at a text misses nothing that a closer one would find."""

import re
import unicodedata

import pytest

from dataset_builders.cleaning import UNSUSPICIOUS, clean
from dataset_builders.rows import Conversation, all_messages, assistant, user
from prompt_strategies.prompt_injection import find_injection

DECOMPOSED = unicodedata.normalize("NFD", "한글 café")


def cleaned(text: str) -> tuple[str, str, bool]:
    """An answer as it is after cleaning, the reason why its row is rejected, and whether it was normalised."""
    found = clean(Conversation("x/1", "x", [user("질문"), assistant(text)]), "reject")
    return all_messages(found.row)[1]["content"], found.reason, found.normalized


def test_text_is_composed_and_recorded_and_other_text_is_untouched() -> None:
    assert cleaned("그대로") == ("그대로", "", False)
    assert cleaned(DECOMPOSED) == ("한글 café", "", True)
    assert cleaned("끝\u3000 ﬁ Ⅳ ½") == ("끝\u3000 ﬁ Ⅳ ½", "", False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("가\x00나", "control character"),
        ("가\x08나", "control character"),
        ("\x1b[31m빨강", "control character"),
        ("가\x7f", "control character"),
        ("가\x85나", "control character"),
        ("깨진 글자 \ufffd", "broken unicode"),
        ("\ufffe", "broken unicode"),
        ("끝<|eot_id|>", "control token"),
        ("네\n### Question:\n다음", "fake turn"),
    ],
)
def test_text_that_cannot_stand_in_a_shard_is_rejected(text: str, reason: str) -> None:
    assert cleaned(text)[1] == reason


@pytest.mark.parametrize(
    "text", ["탭\t과 줄\r\n바꿈", "이모지 👩‍👩‍👧 😀", "ㅋㅋㅋ ㅠㅠ", "漢字かな", "x² ≤ ½ → ∞", "가\u200b나"]
)
def test_ordinary_text_is_kept(text: str) -> None:
    assert cleaned(text) == (text, "", False)


def test_no_unsuspicious_character_needs_a_closer_look() -> None:
    allowed = re.compile(f"[{UNSUSPICIOUS}]")
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and allowed.match(chr(code))]
    assert len(characters) > 30_000
    text = "".join(characters)
    assert unicodedata.normalize("NFC", text) == text
    assert not any(map(unicodedata.combining, characters))
    assert not any(unicodedata.category(character) == "Cc" for character in set(characters) - set("\t\n\r"))
    for before in "a가각":
        assert all(unicodedata.normalize("NFC", before + character) == before + character for character in characters)
    for shape in ("<|{}|>", "[{}]"):
        marks = {character for character in shape if character in "<["}
        assert not marks & set(characters)
    assert find_injection("#") is None
    assert not {"#", "＃", "﹟", "<", "[", "＜", "［", "﹤"} & set(characters)
