"""kuotient/orca-math-korean-dpo-pairs: word problems, a right and a worse solution; 192,848 rows, CC BY-SA 4.0."""

from dataset_builders.licenses import hub_dataset
from dataset_builders.sources.exchange import Exchange

REQUIRED = ("system", "question", "chosen", "rejected")
LICENSE = hub_dataset("CC-BY-SA-4.0", "kuotient/orca-math-korean-dpo-pairs")

convert = Exchange(system="system", user="question", answers=("chosen", "rejected"))
