"""All that the compiler says of a text: errors and warnings together."""

from __future__ import annotations

from collections.abc import Mapping

from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.errors import InvalidPlaybook, Problem
from noetl_stream.ports.tools import Kind


def problems_of(text: str, file: str, kinds: Mapping[str, Kind]) -> tuple[Problem, ...]:
    """Every problem, in document order."""
    try:
        found = compile_playbook(text, file=file, kinds=kinds).warnings
    except InvalidPlaybook as error:
        found = (*error.problems, *error.warnings)
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))
