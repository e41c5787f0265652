"""Where the guard and its checks say things: axolotl shows what its own loggers say."""

from axolotl.utils.logging import get_logger

LOG = get_logger("axolotl.guard")
