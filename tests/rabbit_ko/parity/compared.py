"""An answer of a door in which nothing differs, to change."""

from rabbit_ko.parity.answers import Answered
from rabbit_ko.parity.comparison import Compared
from rabbit_ko.parity.conversations import Asked

SAME = Compared(
    asked=Asked("row/1", "test", [{"role": "user", "content": "가나다"}]),
    answer=Answered("네", ended=True),
    tokens=(),
    prompt=True,
    ids=True,
    count=True,
    first=None,
    chosen=None,
    gap=0.0,
    differences=(1e-6, 2e-6),
    divergences=(1e-9,),
)
