"""maywell/ko_Ultrafeedback_binarized: instructions with two answers; non-commercial, not for re-upload."""

from dataset_builders.licenses import License
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="dpo",
    required=("prompt", "chosen", "rejected"),
    convert=exchange("prompt", ("chosen", "rejected")),
    license=License(
        name="non-commercial, no re-upload",
        commercial=False,
        redistribution=False,
        stated="https://huggingface.co/datasets/maywell/ko_Ultrafeedback_binarized",
    ),
    upstream_rows=61_966,
)
