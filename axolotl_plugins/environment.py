"""What has to be set in a process before axolotl starts its work, so that it ends for no reason of its own."""

import os
from typing import Any

import httpx
from axolotl.cli import checks
from axolotl.telemetry.manager import TelemetryManager
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalTokenNotFoundError

from axolotl_plugins.callbacks import LOG
from axolotl_plugins.checks.model_files import accept_any_width
from rabbit_ko.errors import reason


def prepare_process() -> None:
    """Set what other libraries read; what the user has set stays."""
    # Without this, axolotl starts worker processes to save prepared rows, which takes seconds for each split.
    os.environ.setdefault("AXOLOTL_DATASET_NUM_PROC", "0")
    # Accelerate imports DeepSpeed to unwrap a model, which fails where there is a GPU and no CUDA toolkit.
    os.environ.setdefault("DS_IGNORE_CUDA_DETECTION", "1")
    # Both send what a run does to their makers; without a network, axolotl tries that for long.
    os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    TelemetryManager.get_instance().enabled = False
    checks.HfApi = LenientHub
    accept_any_width()


class LenientHub(HfApi):
    """The hub for axolotl's look at the token, which lets most errors end a run, whether that needs the hub or not.

    What does need the hub fails with its own error.
    """

    def whoami(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Return who the token is of; nothing where the hub does not say."""
        try:
            return dict(super().whoami(*arguments, **options))
        except LocalTokenNotFoundError:
            raise
        except (OSError, httpx.HTTPError) as error:
            LOG.warning("the hub does not know the token: %s; run `hf auth login` for a new one", reason(error))
            return {}
