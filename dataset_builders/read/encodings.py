"""The encoding of a text file that has no byte order mark: UTF-8, or CP949, as Korean Excel saves."""

import re

_NOT_ASCII = re.compile(rb"[\x80-\xff]")
SAMPLE_BYTES = 256 << 10
_OTHERS = re.compile(r"[^\x00-\x7f]+")
_SYLLABLES, _LETTERS = re.compile("[가-힣]+"), re.compile(r"[^\W\d_\x00-\x7f]+")
# Those that make up a third or more of Korean prose, and few other encodings' text when it is read as CP949.
_COMMON = "이다는에의을가하고지은를로도서한기사시인대어나자리정일아해요니습세있것그수들면만보라게여스무주"


class KoreanCount:
    """How much of a text, which comes in parts, is Hangul as Koreans write it."""

    def __init__(self) -> None:
        self.syllables = self.common = self.others = 0

    def add(self, text: str) -> None:
        """Count the letters of a part."""
        syllables = sum(map(len, _SYLLABLES.findall(text)))
        self.syllables += syllables
        self.others += sum(map(len, _LETTERS.findall(text))) - syllables
        self.common += sum(map(text.count, _COMMON))

    def is_korean(self) -> bool:
        """Tell whether it is certain that the text is Korean."""
        return self.syllables >= 8 and self.others * 5 <= self.syllables and self.common * 5 >= self.syllables


class Sample:
    """The bytes from the first one on that is not ASCII, whatever the blocks in which they come, and lines before."""

    def __init__(self) -> None:
        self.content, self.ascii_lines = b"", 0

    def add(self, block: bytes) -> None:
        """Take what is wanted of the next block of the file."""
        if len(self.content) >= SAMPLE_BYTES:
            return
        first = None if self.content or block.isascii() else _NOT_ASCII.search(block)
        start = first.start() if first else 0 if self.content else len(block)
        self.ascii_lines += block.count(b"\n", 0, start)
        self.content += block[start : start + SAMPLE_BYTES - len(self.content)]

    def encoding(self) -> str | None:
        """Return UTF-8, with which a broken byte costs its row; CP949, where that is certain; or None."""
        text = self.content.decode(errors="replace")
        broken = text.count("\ufffd")
        if sum(map(len, _OTHERS.findall(text))) >= 2 * broken or not broken:
            return "UTF-8"
        if self._is_korean():
            return "CP949"
        lines = [line for line in text.split("\n") if line.strip()]
        # Wherever in the file they stand.
        return "UTF-8" if 2 * sum("\ufffd" in line for line in lines) < len(lines) + self.ascii_lines else None

    def _is_korean(self) -> bool:
        count = KoreanCount()
        # The last character may be cut.
        for content in (self.content, self.content[:-1]):
            try:
                count.add(content.decode("cp949"))
            except UnicodeDecodeError:
                continue
            return count.is_korean()
        return False
