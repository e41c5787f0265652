"""maywell/ko_Ultrafeedback_binarized: instructions, two answers; 61,966 rows, non-commercial, not for re-upload."""

from dataset_builders.licenses import License
from dataset_builders.sources.exchange import Exchange

REQUIRED = ("prompt", "chosen", "rejected")
LICENSE = License(
    name="non-commercial, no re-upload",
    commercial=False,
    redistribution=False,
    stated="https://huggingface.co/datasets/maywell/ko_Ultrafeedback_binarized",
)

convert = Exchange(user="prompt", answers=("chosen", "rejected"))
