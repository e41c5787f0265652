"""The sweep: 40,000 real conversations in a base's own format, with every template.

    python -m tests.prompt_strategies.native_sweep [TEMPLATE ...]

reads all of them with each template, or with those named, and prints what differs and what is dropped; some two
minutes a template on two cores. The test in `test_native_sweep.py` reads them all too, spread over the templates.
"""

import sys
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

from prompt_strategies.messages import Messages, split_system
from tests.prompt_strategies.exactness import Compared, compare, saved
from tests.prompt_strategies.native_templates import DROPS_ALL, DROPS_SYSTEM, MAKERS, Load, native_tokenizer
from tests.prompt_strategies.test_exactness import real_conversations

# Each fourth row has the two before it as history.
EACH, EARLIER = 4, 2


@cache
def conversations() -> list[Messages]:
    """Return the real rows, some of which have others as history."""
    rows = real_conversations()
    return [
        _with_history(rows[at - EARLIER : at], row) if at % EACH == EARLIER else row for at, row in enumerate(rows)
    ]


def _with_history(before: list[Messages], row: Messages) -> Messages:
    history = [turn for messages in before for turn in split_system(messages)[1]]
    return [*row[:-2], *history, *row[-2:]]


def sweep(template: str, rows: list[Messages], load: Load, folder: Path) -> Compared:
    """Compare what each door makes of the rows with a template."""
    tokenizer = native_tokenizer(template, load)
    return compare(tokenizer, saved(tokenizer, folder / template, "native"), rows, folder, "native")


def expected_drops(template: str, rows: list[Messages]) -> Counter[str]:
    """Return why rows have to be dropped, and how many: those that the template itself cannot write."""
    if template in DROPS_ALL:
        return Counter({DROPS_ALL[template]: len(rows)})
    with_system = sum(messages[0]["role"] == "system" for messages in rows)
    return Counter({DROPS_SYSTEM[template]: with_system} if template in DROPS_SYSTEM else {})


def said(template: str, found: Compared) -> str:
    """Return a line about a template's sweep."""
    dropped = ", ".join(f"{count:,} {name}" for name, count in sorted(found.dropped.items())) or "none"
    return f"{template}: {found.rows:,} rows, {len(found.mismatches)} mismatches, dropped: {dropped}"


def main() -> None:
    """Print a line for each template, and the first mismatches."""
    from axolotl.integrations.base import PluginManager

    from rabbit_ko.recipes import GUARD
    from tests.conftest import load_tokenizer

    PluginManager.get_instance().register(GUARD)
    load = cache(load_tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        for template in sys.argv[1:] or MAKERS:
            found = sweep(template, conversations(), load, Path(scratch))
            more = [] if found.dropped == expected_drops(template, conversations()) else ["other drops than expected"]
            print("\n".join([said(template, found), *more, *found.mismatches[:3]]), flush=True)


if __name__ == "__main__":
    main()
