"""What a file may ask of this machine: a row of training data is small, and text does not shrink without end."""

from rabbit_ko.errors import UserError
from rabbit_ko.web import shown_bytes

# A larger row is dropped.
ROW_BYTES = 8 << 20
TOO_LARGE = f"larger than {shown_bytes(ROW_BYTES)}"
# What is shown of it.
SHOWN_LETTERS = 1_000
# What has to be in memory at once to find the end of one row.
LINE_BYTES = 64 << 20
# What a compressed file or a table may become: this, and so many times its own size.
UNFOLDED_BYTES, UNFOLDED_TIMES = 1 << 30, 200
# What the rows of one chunk of a table may unfold to, and how many rows, or values of a column, it may have.
TABLE_BYTES = 512 << 20
TABLE_VALUES = 200_000_000
# What one batch of an Arrow file may have, as it stands there.
ARROW_BATCH_BYTES = 4 << 30
# What reading a workbook may take.
WORKBOOK_BYTES = 4 << 30


def check_unfolded(written: int, size: int, name: str) -> None:
    """Raise UserError where a file of `size` bytes has become so large that it is no data."""
    if written > (most := UNFOLDED_BYTES + UNFOLDED_TIMES * size):
        raise UserError(
            f"{name}: its {shown_bytes(size)} unfold to more than {shown_bytes(most)}, as no rows of text do; "
            "if they are, save them as plain JSON lines"
        )


def too_long(name: str) -> UserError:
    """Return the error that a file has a row that does not end."""
    most = shown_bytes(LINE_BYTES)
    return UserError(f"{name}: a row in it is larger than {most}, or has no end; take it out, or mend the file")
