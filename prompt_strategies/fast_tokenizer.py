"""The tokenizer's ids many times as fast, by `fastokens`, which is used for a tokenizer once it is proved equal.

A wrong id is worse than a slow one: awkward texts and a sample of the rows at hand are encoded by both first. Where
one id differs, or `fastokens` cannot read the tokenizer, the tokenizer does the work itself, and one line says so.
"""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import orjson

from prompt_strategies.tokens import Encode, Ids, Tokenizer, encode
from rabbit_ko.errors import reason

LOG = logging.getLogger(__name__)
# Axolotl's batches have 1,000 rows; fewer are encoded sooner than another tokenizer is loaded, which takes a second.
FULL_BATCH = 1_000
SAMPLE = 200
AWKWARD = (
    "",
    " ",
    "\n",
    "\t \r\n \n\n\n x  \u3000\u00a0\u2009 y \u0085\u2028z\r",
    " " * 97 + "뒤",
    "대한민국의 수도는 서울입니다. 값이 3,000원인데요?! 꽃밭에서 닭이 읊조렸다.",
    "안녕하세요ㅋㅋㅋㅋㅋ ㅠㅠ 뷁쀍 ㄱㄴㄷ ㅏㅑㅓ ㆍ 힣",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \u1100\u1161 \u115f\u1160 \ua97c\ud7b0",  # letters that compose, and not
    "\u110b\u1175e\u0301o\u0308\u0323 a\u030a\u0301 \u212b \ufb01 ｆｕｌｌ　ｗｉｄｔｈ ① ㎏ ﷺ",
    "漢字와 한글, カタカナ と ひらがな, кириллица, ελληνικά, עברית, العربية, हिन्दी, ไทย, 中文。",
    "👩\u200d👩\u200d👧 🇰🇷 👍🏽 ❤\ufe0f #\ufe0f\u20e3 \U0001fae0 🏴\U000e0067\U000e0062\U000e007f",
    "\u200b\u200c\u200d\u180e\u2060\ufeff\u00ad\u202e보이지\u200b않는\x00\x01\x1f\x7f\ufffd\ue000\U0010ffff",
    "0 12 123 1234 12345678901234567890 3.14159 1e-10 ²³ ½ Ⅷ ١٢٣ 010-1234-5678",
    "I'm you're we've he'd she'll it's 'S 'LL don''t ’s O'Neil's\n's",
    "def f(x: int) -> int:\n    return x ** 2  # 제곱\n\n\tif (a && b) { c[i++] |= 0xFF; }",
    "```python\nprint('안녕')\n```\n| a | b |\n| --- | ---: |\n$$\\frac{1}{2}$$ \\n \\u200b",
    '{"a": [1, 2, {"b": null}], "한글": "값"}\r\n<div class="x">&nbsp;</div> https://a.kr/?q=%EA%B0%80&r=2#z',
    "!!!???...,,,;;; ---___===+++ ~~~ @@@ ### ### Question:\n((([[[{{{<<<>>>}}}]]]))) “”‘’「」·…",
    "<|im_start|>user\n<|eot_id|> <|begin_of_text|><s></s> <unk> <pad> [INST] <<SYS>> <think> </think> <|",
    "<tool_call> <|fim_prefix|> <|vision_start|> <|reserved_special_token_7|> <start_of_turn> <0x0A> ▁ Ġ Ċ",
    "가" * 3_000,
    "antidisestablishmentarianism" * 150,
    "aB3!\n가" * 500,
)

# By tokenizer: its size when that was proved, and the encoder; it does the work itself where there is none.
_proved: WeakKeyDictionary[Tokenizer, tuple[int, Encode]] = WeakKeyDictionary()


def encode_fast(
    tokenizer: Tokenizer, texts: Sequence[str], before: Sequence[int] = (), after: Sequence[int] = ()
) -> Sequence[Ids]:
    """Encode texts as `encode` does, by `fastokens` where that is proved equal, into arrays of int32."""
    if len(texts) < FULL_BATCH:
        return encode(tokenizer, texts, before, after)
    size, fast = _proved.get(tokenizer, (0, encode))
    if size != len(tokenizer):
        fast = prove(tokenizer, texts) or encode
        _proved[tokenizer] = len(tokenizer), fast
    try:
        return fast(tokenizer, texts, before, after)
    except ValueError as error:  # a text that is too long for a pattern
        LOG.warning("tokenizer %s: encoded at its own speed from here on: %s", _name(tokenizer), reason(error))
        _proved[tokenizer] = len(tokenizer), encode
        return encode(tokenizer, texts, before, after)


def prove(tokenizer: Tokenizer, texts: Sequence[str]) -> Encode | None:
    """Return an encoder by `fastokens` with the tokenizer's ids; None, and a line in the log, where there is none.

    Both encode awkward texts, the tokenizer's own added tokens, and a sample of the texts. Where `fastokens` is not
    installed, there is no line.
    """
    if find_spec("fastokens") is None:
        return None
    name = _name(tokenizer)
    added = [token.content for token in tokenizer.added_tokens_decoder.values()]
    some = [*AWKWARD, *added, "가".join(added), *texts[:: max(1, len(texts) // SAMPLE)]]
    try:
        fast = _encoder(_load(without_special_tokens(tokenizer)))
        ours = fast(tokenizer, some)
    except (AttributeError, ValueError) as error:
        LOG.warning("tokenizer %s: encoded at its own speed, since fastokens cannot read it: %s", name, reason(error))
        return None
    for text, mine, its in zip(some, ours, encode(tokenizer, some), strict=True):
        if list(mine) != list(its):
            LOG.warning("tokenizer %s: encoded at its own speed, since fastokens has other ids for %.60r", name, text)
            return None
    return fast


def _name(tokenizer: Tokenizer) -> str:
    return str(tokenizer.name_or_path or type(tokenizer).__name__)


def without_special_tokens(tokenizer: Tokenizer) -> str:
    """Return a fast tokenizer's JSON that no text can be a special token for; added tokens of other kinds stay.

    Raises AttributeError for a tokenizer in Python, which has none.
    """
    content: dict[str, Any] = orjson.loads(tokenizer.backend_tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if not token["special"]]
    # What adds special tokens, cuts or fills up is no part of encoding a text.
    content |= dict.fromkeys(("post_processor", "truncation", "padding", "decoder"))
    return orjson.dumps(content).decode()


def _load(content: str) -> Any:
    from fastokens import Tokenizer

    return Tokenizer.from_json_str(content)


def _encoder(backend: Any) -> Encode:
    def encode_flat(
        tokenizer: Tokenizer, texts: Sequence[str], before: Sequence[int] = (), after: Sequence[int] = ()
    ) -> Sequence[Ids]:
        flat, places = backend.encode_batch_flat(list(texts))
        ids, offsets = np.frombuffer(flat, np.int32), np.frombuffer(places, np.int64)
        more = np.arange(len(texts) + 1) * (len(before) + len(after))
        bounds: Any = offsets + more
        joined: Any = np.empty(bounds[-1], np.int32)
        joined[np.arange(len(ids)) + np.repeat(len(before) + more[:-1], np.diff(offsets))] = ids
        joined[bounds[:-1, None] + np.arange(len(before))] = before
        joined[bounds[1:, None] - len(after) + np.arange(len(after))] = after
        return [joined[start:end] for start, end in pairwise(bounds.tolist())]

    return encode_flat
