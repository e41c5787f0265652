"""An S3 server on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import fsspec
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "shared-data"


@contextmanager
def s3_server() -> Iterator[Any]:
    """Give the file system of a server with one empty bucket, which this process and its children take for S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # All servers of one process have their buckets in common, those of earlier tests, too.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    s3 = fsspec.get_filesystem_class("s3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "aSecretKey")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        s3.clear_instance_cache()
        filesystem = fsspec.filesystem("s3", use_listings_cache=False)
        filesystem.mkdir(BUCKET)
        yield filesystem
    s3.clear_instance_cache()
    server.stop()


def s3_contents(s3: Any, folder: str) -> dict[str, bytes]:
    """Return the content of every object below a folder, but for the builders' own working files."""
    names = [name for name in s3.find(folder) if "/.chunks/" not in name]
    return {str(Path(name).relative_to(folder)): s3.cat_file(name) for name in names}
