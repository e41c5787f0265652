"""40,000 real conversations in a base's own format: the same ids in SFT, in DPO and from the chat template."""

import pytest

pytestmark = pytest.mark.slow
