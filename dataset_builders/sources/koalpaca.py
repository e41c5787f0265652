"""beomi/KoAlpaca-v1.1a: questions from a Korean Q&A site with rewritten answers; 21,155 rows, no license stated."""

from dataset_builders.licenses import License
from dataset_builders.sources.exchange import Exchange

REQUIRED = ("instruction", "output")
LICENSE = License(stated="https://huggingface.co/datasets/beomi/KoAlpaca-v1.1a")

convert = Exchange(user="instruction", answers=("output",))
