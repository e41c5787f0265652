"""What a judge reads stands within marks that no text of it holds."""

from collections.abc import Sequence

from rabbit_ko.evaluation.journal import digest


def marked(parts: Sequence[tuple[str, str | None]], empty: str) -> tuple[str, str]:
    """Return a mark, and the parts that are there, each between `<name mark>` and `</name mark>`.

    The mark is a hash of all parts that stands in none, so that no text can close its own part and pose as another.
    empty: stands where a part is blank.
    """
    mark = digest(parts)[:8]
    while any(mark in (text or "") for _, text in parts):
        mark = digest([mark, parts])[:8]
    present = [(name, text.strip() or empty) for name, text in parts if text is not None]
    return mark, "\n\n".join(f"<{name} {mark}>\n{text}\n</{name} {mark}>" for name, text in present)
