"""maywell/ko_Ultrafeedback_binarized: instructions, two answers; 61,966 rows, non-commercial, not for re-upload."""

from dataset_builders.licences import Licence
from dataset_builders.sources.exchange import Exchange

REQUIRED = ("prompt", "chosen", "rejected")
LICENCE = Licence(
    name="non-commercial, no re-upload",
    commercial=False,
    redistribution=False,
    stated="https://huggingface.co/datasets/maywell/ko_Ultrafeedback_binarized",
)

convert = Exchange(user="prompt", answers=("chosen", "rejected"))
