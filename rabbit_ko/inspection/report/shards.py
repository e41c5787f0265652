"""The rows of a data folder, batch by batch, held against its manifest."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.manifest import MANIFEST, Manifest
from dataset_builders.rows import SCHEMAS, Folder
from rabbit_ko.errors import UserError, reason

BATCH = 2_000


def read_batches(data: Path, manifest: Manifest, folder: Folder) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield (split, rows) over a folder's shards, in their order, at most BATCH rows at a time.

    Raises UserError where a shard is missing, broken, or not what the manifest says.
    """
    for shard in manifest.in_folder(folder):
        path = data / shard.file
        try:
            with pq.ParquetFile(path) as parquet:
                if parquet.metadata.num_rows != shard.rows or parquet.schema_arrow.names != SCHEMAS[folder].names:
                    raise UserError(f"{path}: not the shard that {MANIFEST} describes; build the data again")
                for batch in parquet.iter_batches(BATCH):
                    if len(batch):
                        yield path.name.split("-")[0], batch
        except FileNotFoundError:
            raise UserError(f"{path}: missing, though {MANIFEST} lists it; build the data again") from None
        except pa.ArrowException as error:
            raise UserError(f"{path}: broken parquet file: {reason(error)}") from None
