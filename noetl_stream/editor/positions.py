"""Between our indexes of characters and an editor's positions, which count in the units that it asked for."""

from __future__ import annotations

from bisect import bisect_right

from lsprotocol import types
from pygls.workspace import TextDocument

from noetl_stream.editor.marks import Span


class Positions:
    """The positions of one text."""

    def __init__(self, document: TextDocument) -> None:
        self._lines = document.source.split("\n")
        self._codec = document.position_codec
        self._starts = [0]
        for line in self._lines[:-1]:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def plain(self, at: types.Position) -> types.Position:
        """A position that counts characters."""
        if at.line >= len(self._lines):
            return types.Position(line=len(self._lines) - 1, character=len(self._lines[-1]))
        found = self._codec.position_from_client_units(self._lines, at)
        return types.Position(line=found.line, character=found.character)

    def index(self, at: types.Position) -> int:
        """The index of a position."""
        found = self.plain(at)
        return self._starts[found.line] + found.character

    def range(self, span: Span) -> types.Range:
        """A span as the editor counts."""
        return types.Range(start=self._position(span.start), end=self._position(span.end))

    def _position(self, index: int) -> types.Position:
        line = bisect_right(self._starts, index) - 1
        plain = types.Position(line=line, character=index - self._starts[line])
        return self._codec.position_to_client_units(self._lines, plain)
