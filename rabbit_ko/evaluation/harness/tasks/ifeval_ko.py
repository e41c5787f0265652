"""How an answer to IFEval-Ko is checked: as IFEval's in the harness, and in Korean where that knows English.

A word is what stands between white space, a sentence ends with its mark, and the three answers to choose from are in
Korean.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from lm_eval.tasks.ifeval import instructions
from lm_eval.tasks.ifeval.instructions_registry import INSTRUCTION_DICT
from lm_eval.tasks.ifeval.instructions_util import split_into_sentences

CHOICES = ("제 답변은 예입니다.", "제 답변은 아니요입니다.", "제 답변은 아마도입니다.")


class _Words(instructions.NumberOfWords):
    def check_following(self, value: str) -> bool:
        return _compares(len(value.split()), self._comparison_relation, self._num_words)


class _Sentences(instructions.NumberOfSentences):
    def check_following(self, value: str) -> bool:
        return _compares(len(split_into_sentences(value)), self._comparison_relation, self._num_sentences_threshold)


class _OneOfThree(instructions.ConstrainedResponseChecker):
    def check_following(self, value: str) -> bool:
        return any(choice in value for choice in CHOICES)


CHECKERS = INSTRUCTION_DICT | {
    "length_constraints:number_words": _Words,
    "length_constraints:number_sentences": _Sentences,
    "detectable_format:constrained_response": _OneOfThree,
}


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, bool | list[bool]]:
    """Return which instructions an answer follows as it is (strict), and in its best reading (loose)."""
    strict = [_follows(doc, place, results) for place in range(len(doc["instruction_id_list"]))]
    readings = list(_readings(results[0]))
    loose = [_follows(doc, place, readings) for place in range(len(doc["instruction_id_list"]))]
    return {
        "prompt_level_strict_acc": all(strict),
        "inst_level_strict_acc": strict,
        "prompt_level_loose_acc": all(loose),
        "inst_level_loose_acc": loose,
    }


def share_of_instructions(items: Sequence[Sequence[bool]]) -> float:
    """Return the share of instructions that are followed, of all items' together."""
    followed = [each for item in items for each in item]
    return sum(followed) / len(followed)


def _follows(doc: dict[str, Any], place: int, readings: Sequence[str]) -> bool:
    name = doc["instruction_id_list"][place]
    checker = CHECKERS[name](name)
    checker.build_description(**{key: value for key, value in doc["kwargs"][place].items() if value})
    if "prompt" in (checker.get_instruction_args() or {}):
        checker.build_description(prompt=doc["prompt"])
    return any(reading.strip() and checker.check_following(reading) for reading in readings)


def _readings(answer: str) -> Iterator[str]:
    """Yield an answer with and without its first line, its last one, and asterisks, as IFEval's loose figures do.

    https://arxiv.org/abs/2311.07911
    """
    lines = answer.split("\n")
    for first, last, bare in product((0, 1), (0, 1), (False, True)):
        text = "\n".join(lines[first : len(lines) - last])
        yield text.replace("*", "") if bare else text


def _compares(count: int, relation: str, threshold: int) -> bool:
    return count < threshold if relation == "less than" else count >= threshold
