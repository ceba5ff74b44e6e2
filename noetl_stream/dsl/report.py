"""Problems collected while a document is read, so that an author sees all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from noetl_stream.dsl.source import Place
from noetl_stream.errors import InvalidPlaybook, Problem


@dataclass(slots=True)
class Report:
    """What was found so far, in the order it was found."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, message: str, place: Place, suggestion: str | None = None) -> None:
        self._add(
            self.errors,
            Problem(
                message=message, file=place.file, line=place.line, column=place.column, suggestion=suggestion
            ),
        )

    def warn(self, message: str, place: Place, suggestion: str | None = None) -> None:
        self._add(
            self.warnings,
            Problem(
                message=message,
                file=place.file,
                line=place.line,
                column=place.column,
                severity="warning",
                suggestion=suggestion,
            ),
        )

    def told(self, place: Place) -> bool:
        """Whether an error stands there already."""
        return any((p.file, p.line, p.column) == (place.file, place.line, place.column) for p in self.errors)

    def raise_errors(self) -> None:
        """Raises InvalidPlaybook, in document order, if there is any error."""
        if self.errors:
            errors = sorted(self.errors, key=lambda p: (p.line, p.column))
            raise InvalidPlaybook(tuple(errors), tuple(self.warnings))

    @staticmethod
    def _add(problems: list[Problem], problem: Problem) -> None:
        """A text compiled for two uses is reported once."""
        if problem not in problems:
            problems.append(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where an expression stands and which names it may use. `subject` reads like "step 'load'".

    `hidden` are names that exist, but may not be read there: why not, and what to do instead. `aliases` are the
    credentials that the document declares. What stands at a `secret` site is quoted by no problem and no error.
    """

    report: Report
    subject: str
    known: frozenset[str] = frozenset()
    hidden: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()
    secret: bool = False
    key: str = ""

    def at(self, key: str) -> Site:
        return replace(self, key=f"{self.key}.{key}" if self.key else key)

    def knowing(self, names: Iterable[str]) -> Site:
        return replace(self, known=self.known | frozenset(names))

    def item(self, index: int) -> Site:
        return replace(self, key=f"{self.key}[{index}]")

    @property
    def what(self) -> str:
        """`key 'next.arcs[2].on' of step 'start'`, or the subject alone."""
        return f"key '{self.key}' of {self.subject}" if self.key else self.subject

    def describe(self, place: Place) -> str:
        key = f", key '{self.key}'" if self.key else ""
        return f"{self.subject}{key} ({place})"


def suggest(word: str, known: Iterable[str]) -> str | None:
    """`did you mean 'input'?`, if some known word is close enough."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else None
