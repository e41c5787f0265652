"""kyujinpy/OpenOrca-KO: translated flan, t0, cot, niv and KoCoT tasks; 21,632 rows, MIT."""

from dataset_builders.licenses import hub_dataset
from dataset_builders.sources.exchange import Exchange

REQUIRED = ("id", "instruction", "input", "output")
LICENSE = hub_dataset("MIT", "kyujinpy/OpenOrca-KO")

convert = Exchange(system="input", user="instruction", answers=("output",), key="id")
