"""kuotient/orca-math-word-problems-193k-korean: word problems and solutions, translated; CC BY-SA 4.0."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("question", "answer"),
    convert=exchange("question", ("answer",)),
    license=known("CC-BY-SA-4.0", "https://huggingface.co/datasets/kuotient/orca-math-word-problems-193k-korean"),
    upstream_rows=193_789,
    translated=True,
)
