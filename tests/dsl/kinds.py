"""Tool kinds as the language sees them, without their implementations."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from noetl_stream.dsl.compiler import Compiled, compile_playbook
from noetl_stream.errors import InvalidPlaybook, Problem
from noetl_stream.ports.tools import Kind


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PythonConfig(Strict):
    code: str


class HttpConfig(Strict):
    url: str
    method: str = "GET"
    retries: int = 0
    verify_ssl: bool = True
    headers: dict[str, str] = {}
    payload: Any = None


class SqlConfig(Strict):
    query: str | None = None
    commands: list[str] | None = None
    pool: Any = None

    @model_validator(mode="after")
    def _some_sql(self) -> SqlConfig:
        if not (self.query or self.commands):
            raise ValueError("No sql command provided")
        return self


class NoopConfig(Strict):
    result: Any = None


class TransferConfig(Strict):
    source: dict[str, Any]
    target: dict[str, Any]


KINDS = {
    "transfer": Kind(name="transfer", config=TransferConfig, nature="write", ends=("source", "target")),
    "python": Kind(name="python", config=PythonConfig, nature="pure", templated_text=frozenset({"code"})),
    "http": Kind(name="http", config=HttpConfig, nature="read", aliases={"endpoint": "url"}),
    "duckdb": Kind(
        name="duckdb",
        config=SqlConfig,
        nature="read",
        templated_text=frozenset({"query", "commands"}),
        aliases={"command": "query"},
    ),
    "noop": Kind(name="noop", config=NoopConfig, nature="pure"),
}

HEAD = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: sales}
"""
"""Three lines: what a test writes begins at line 4."""


def compiled(body: str, *, head: str = HEAD) -> Compiled:
    return compile_playbook(head + body, file="sales.yaml", kinds=KINDS)


def problems(body: str, *, head: str = HEAD) -> list[Problem]:
    """The errors of a document that must not compile."""
    try:
        found = compiled(body, head=head)
    except InvalidPlaybook as error:
        return list(error.problems)
    raise AssertionError(f"it compiled: {found.plan.steps.keys()}")


def error(body: str, *, head: str = HEAD) -> str:
    """The one error of a document, as its author reads it."""
    (found,) = problems(body, head=head)
    return str(found)


def warnings(body: str, *, head: str = HEAD) -> list[str]:
    return [str(each) for each in compiled(body, head=head).warnings]
