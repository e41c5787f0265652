"""The values of a JSON file in another layout than a value a line, with flat memory."""

import re
from collections.abc import Iterator
from typing import IO

import orjson

from dataset_builders.read.bounds import LINE_BYTES
from dataset_builders.read.content import BOM, DEPTH, HEAD_BYTES, ROW_KEYS, TOKEN, WRAPPER_KEYS, Layout, wrapper
from rabbit_ko.errors import UserError, printable

_CLOSES = {b"}": b"{", b"]": b"["}


class NotWrapped(Exception):
    """The first object is a row, or more follow it, so that its lists are no lists of rows."""


class Values:
    """The bytes of each value of a list, or of each object of several, with flat memory; they need not be valid."""

    def __init__(self, source: IO[bytes], name: str, layout: Layout) -> None:
        self.source, self.name, self.layout = source, name, layout
        self.buffer = source.read(HEAD_BYTES).removeprefix(BOM)
        self.start, self.line, self.key, self.is_named = 0, 1, "", False
        self.notes: list[str] = []
        if layout == "list":
            self.start = self.buffer.index(b"[") + 1
        elif layout == "wrapped" and (found := wrapper(self.buffer)):
            self.start, self.key = found.end(), printable(found[1].decode(errors="replace")[1:-1])
            self.is_named = found[1].lower() in WRAPPER_KEYS
        self.at = self.start

    def __iter__(self) -> Iterator[bytes]:
        opened: list[bytes] = []
        for token in self._tokens():
            if token[0] in b"{[":
                if not opened:
                    yield from self._between(token.start())
                    self.start = token.start()
                opened.append(token[0])
            elif token[0] in b"}]":
                if not opened:
                    yield from self._between(token.start())
                    self._check_end(token.end(), token[0])
                    return
                if _CLOSES[token[0]] != opened.pop():
                    raise self._mistake("brackets do not match")
                if not opened:
                    yield self.buffer[self.start : token.end()]
                    self.start = token.end()
        if opened:
            raise self._mistake("what opens here never closes")
        yield from self._between(len(self.buffer))
        if self.layout != "objects":
            self.notes.append("its list is not closed, so its end may be missing")

    def _tokens(self) -> Iterator[re.Match[bytes]]:
        """Yield brackets and texts; `start` tells where what is still needed starts."""
        while True:
            for token in TOKEN.finditer(self.buffer, self.at):
                if token[1] is not None:
                    # The rest of the text is in the next block.
                    self.at = token.start()
                    break
                self.at = token.end()
                yield token
            self.line += self.buffer.count(b"\n", 0, self.start)
            self.buffer, self.at, self.start = self.buffer[self.start :], self.at - self.start, 0
            if len(self.buffer) > LINE_BYTES:
                raise self._mistake("what opens here does not close, or is too large")
            if not (block := self.source.read(max(HEAD_BYTES, len(self.buffer)))):
                return
            self.buffer += block

    def _between(self, end: int) -> Iterator[bytes]:
        """Yield what stands between two objects, where it is more than white space and a comma: other values."""
        if between := self.buffer[self.start : end].strip(b" \t\r\n,"):
            try:
                yield from map(orjson.dumps, orjson.loads(b"[%b]" % between))
            except orjson.JSONDecodeError:
                yield between

    def _check_end(self, end: int, bracket: bytes) -> None:
        """Raise UserError where more follows the list, or NotWrapped where its object is a row or another follows."""
        self.start = end
        has_others = self.layout == "wrapped" and self._skip_rest()
        rest = self.buffer[self.start :] + self.source.read(HEAD_BYTES)
        if self.layout == "wrapped" and rest.strip():
            raise NotWrapped
        if has_others:
            advice = "save one list of rows in a file"
            raise UserError(f"{self.name}: an object with more than one list, the first is `{self.key}`; {advice}")
        if self.layout == "objects" or bracket != b"]":
            raise self._mistake("brackets do not match")
        if rest.strip():
            raise self._mistake("more follows the end")

    def _skip_rest(self) -> bool:
        """Pass by what stands behind the list in its object, and tell whether that holds another list at its top."""
        depth, top, has_others = 0, b"", False
        for token in self._tokens():
            mark, between = token[0], self.buffer[self.start : token.start()]
            self.start = token.end()
            is_key = not depth and mark.startswith(b'"') and b":" not in between
            if is_key and (not self.is_named or mark.lower() in ROW_KEYS):
                raise NotWrapped
            has_others |= depth == 1 and top == b"[" and (mark != b"]" or between.strip() != b"")
            top = mark if not depth else top
            depth += DEPTH.get(mark, 0)
            if depth < 0:
                break
        return has_others

    def _mistake(self, what: str) -> UserError:
        line = self.line + self.buffer.count(b"\n", 0, self.start)
        return UserError(f"{self.name}:{line}: broken JSON: {what}; mend the file, or fetch it again")
