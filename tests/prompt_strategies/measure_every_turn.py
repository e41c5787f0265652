"""What `native_every_turn` saves by training every answer of a conversation in one sequence.

    python -m tests.prompt_strategies.measure_every_turn [CONVERSATIONS]

counts rows and tokens of generated conversations with the turns and lengths of guanaco's, against one row a target,
on Llama-3's tokenizer and on Qwen3's, whose template writes earlier answers otherwise.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace

from axolotl.integrations.base import PluginManager
from transformers import PreTrainedTokenizerBase

import prompt_strategies
from dataset_builders.sources.guanaco_ko import convert
from prompt_strategies.messages import Messages, every_answer
from prompt_strategies.renderer import renderer_for
from prompt_strategies.tokens import Dropped, Example, Sample
from rabbit_ko.benchmarks.corpus import guanaco
from rabbit_ko.errors import Rejected
from rabbit_ko.recipes import GUARD
from tests.prompt_strategies.native_templates import native_tokenizer

SEQUENCE_LEN = 4096
TEMPLATES = ("llama3_2_vision", "qwen3_own")


@dataclass(frozen=True)
class Cost:
    """How many rows there are, their tokens, and how many tokens of them are trained."""

    rows: int
    tokens: int
    trained: int


def conversations(count: int) -> Iterator[Messages]:
    """Yield the messages of generated conversations, one exchange to five."""
    for row in guanaco(count):
        try:
            yield convert(dict(row), "guanaco_ko").messages
        except Rejected:
            continue


def measure(tokenizer: PreTrainedTokenizerBase, rows: list[Messages]) -> tuple[Cost, Cost]:
    """Return what every turn costs as it is trained, and with one row a target."""
    strategy = prompt_strategies.native_every_turn.load(tokenizer, SimpleNamespace(sequence_len=SEQUENCE_LEN))
    targets = [Sample(target[:-1], (target[-1],)) for messages in rows for target in every_answer(messages)]
    alone = renderer_for("prompt_strategies.native", tokenizer).tokenize(targets, SEQUENCE_LEN)
    return _cost(chain.from_iterable(strategy.examples({"messages": rows}))), _cost(alone)


def _cost(examples: Iterable[Example | Dropped]) -> Cost:
    kept = [row for row in examples if isinstance(row, Example)]
    answers = [len(row.answers[0]) for row in kept]
    earlier = sum(end - start for row in kept for start, end in row.earlier)
    return Cost(len(kept), sum(len(row.prompt) for row in kept) + sum(answers), sum(answers) + earlier)


def main() -> None:
    """Print both costs for each template."""
    from tests.conftest import load_tokenizer

    PluginManager.get_instance().register(GUARD)
    rows = [*conversations(int(sys.argv[1]) if sys.argv[1:] else 5_000)]
    print(f"{len(rows):,} conversations, {sum(map(len, rows)) / 2 / len(rows):.2f} exchanges each")
    for template in TEMPLATES:
        joined, alone = measure(native_tokenizer(template, load_tokenizer), rows)
        for name, cost in (("every turn", joined), ("one row a target", alone)):
            print(f"{template}, {name}: {cost.rows:,} rows, {cost.tokens:,} tokens, {cost.trained:,} of them trained")
        fewer = [1 - each / other for each, other in ((joined.tokens, alone.tokens), (joined.rows, alone.rows))]
        print(f"{template}: {fewer[0]:.1%} fewer tokens, {fewer[1]:.1%} fewer rows")


if __name__ == "__main__":
    main()
