"""The rows of a workbook as CSV, in a process of its own: a cell far out, or a bomb, takes all memory that there is.

    python -P excel.py BYTES < book.xlsx > rows.csv

may take so many bytes of memory, and ends with what it read as JSON on the standard error.
"""

import csv
import datetime
import io
import json
import re
import resource
import sys
from typing import Any, TextIO


def to_csv(content: bytes, target: TextIO) -> dict[str, Any]:
    """Write the first visible sheet that is not empty; return its name and those of the others, or what is broken."""
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = [(it.name, it.visible == SheetVisibleEnum.Visible) for it in book.sheets_metadata]
        filled = [(sheet, visible) for sheet, visible in sheets if book.get_sheet_by_name(sheet).height]
        if not filled:
            return {"others": []}
        chosen = next((sheet for sheet, visible in filled if visible), filled[0][0])
        rows = [[_cell(value) for value in row] for row in book.get_sheet_by_name(chosen).to_python()]
    except (CalamineError, OSError, ValueError) as error:
        return {"broken": str(error)}
    # Columns without a name and without a value are formatting.
    width = max((place + 1 for row in rows for place, value in enumerate(row) if value), default=0)
    csv.writer(target, lineterminator="\n").writerows(row[:width] for row in rows if any(row))
    return {"chosen": chosen, "others": [sheet for sheet, _ in filled if sheet != chosen]}


def _cell(value: object) -> str:
    """Return a cell as Excel would save it in CSV."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date):
        return re.sub("T00:00:00$", "", value.isoformat())
    return str(value)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_AS)[1]))
    read = to_csv(sys.stdin.buffer.read(), io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline=""))
    print(json.dumps(read), file=sys.stderr)  # noqa: T201  read by the process that started this one
