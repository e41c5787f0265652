"""Your own instruction data: instruction, input and output, the input behind the instruction where there is one."""

from dataset_builders.sources.exchange import Exchange

REQUIRED = ("instruction", "output")
OPTIONAL = ("input", "system", "id")

convert = Exchange(system="system", user="instruction", context="input", answers=("output",), key="id")
