"""What is normalised, and that the quick look at a text misses nothing that a closer one would find."""

import re
import unicodedata

import pytest

from dataset_builders.batch import from_rows
from dataset_builders.cleaning import UNSUSPICIOUS, clean
from dataset_builders.rows import Conversation, assistant, user
from prompt_strategies.prompt_injection import find_injection

DECOMPOSED = unicodedata.normalize("NFD", "한글 café")


def cleaned(*answers: str) -> tuple[list[str], dict[int, str], list[bool]]:
    """The answers as they are after cleaning, the reasons by row, and which rows were normalised."""
    rows = [Conversation(f"x/{n}", "x", [user("질문"), assistant(answer)]) for n, answer in enumerate(answers)]
    batch, rejected = clean(from_rows("sft", rows), "reject")
    return batch.contents.to_pylist()[1::2], rejected, batch.normalized.tolist()


def test_text_is_composed_and_recorded_and_other_text_is_untouched() -> None:
    answers, rejected, normalized = cleaned("그대로", DECOMPOSED, "끝\u3000 ﬁ Ⅳ ½")
    assert answers == ["그대로", "한글 café", "끝\u3000 ﬁ Ⅳ ½"]
    assert (rejected, normalized) == ({}, [False, True, False])


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
    assert cleaned("좋은 답", text)[1] == {1: reason}


@pytest.mark.parametrize(
    "text", ["탭\t과 줄\r\n바꿈", "이모지 👩‍👩‍👧 😀", "ㅋㅋㅋ ㅠㅠ", "漢字かな", "x² ≤ ½ → ∞", "가\u200b나"]
)
def test_ordinary_text_is_kept(text: str) -> None:
    assert cleaned(text) == ([text], {}, [False])


def test_no_unsuspicious_character_needs_a_closer_look() -> None:
    allowed = re.compile(f"[{re.sub(r'x{([0-9a-f]+)}', lambda code: f'U{int(code[1], 16):08x}', UNSUSPICIOUS)}]")
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
