"""All that the compiler says of a text: errors and warnings together."""

from __future__ import annotations

from collections.abc import Mapping

from noetl_stream.dsl.documents import compile_document
from noetl_stream.errors import InvalidPlaybook, Problem
from noetl_stream.ports.tools import Kind


def problems_of(
    text: str, file: str, kinds: Mapping[str, Kind], environment: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    """Every problem, in document order. `environment` are the variables that a subscription may name."""
    try:
        found = compile_document(text, file=file, kinds=kinds, environment=environment).warnings
    except InvalidPlaybook as error:
        found = (*error.problems, *error.warnings)
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))
