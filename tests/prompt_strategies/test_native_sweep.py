"""40,000 real conversations in a base's own format: the same ids in SFT, in DPO and from the chat template.

`python -m tests.prompt_strategies.native_sweep` reads all of them with every template.
"""

from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.prompt_strategies.native_sweep import conversations, expected_drops, said, sweep
from tests.prompt_strategies.native_templates import MAKERS, Load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (SHARED / "data").exists(), reason=f"{SHARED}/data is absent; point RABBIT_KO_SHARED at its parent"
    ),
]


@pytest.mark.parametrize("template", MAKERS)
def test_sweep_over_real_data_finds_no_mismatch(
    template: str, load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of the rows are read by one template or another, each time by the next ones."""
    step = len(MAKERS)
    rows = conversations()[[*MAKERS].index(template) :: step]
    found = sweep(template, rows, load, tmp_path)
    with capsys.disabled():
        print(f"\n{said(template, found)}")
    assert len(rows) >= 40_000 // step
    assert found.mismatches[:3] == []
    assert found.dropped == expected_drops(template, rows)
