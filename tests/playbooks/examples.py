"""Every example under playbooks/ and how it must end: the way it takes, its status, and its result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from noetl_stream.core.values import Value

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
_PATH = re.compile(r"^  path: (.+?)(?: +#.*)?$", re.MULTILINE)
_PROMISE = re.compile(r"^# Ends with: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One run of one file. `path` are the steps in the order they were entered.

    A run that fails has an `error`, as (step, kind); one without its own `result` ends with what the file promises.
    """

    file: str
    path: tuple[str, ...]
    payload: Mapping[str, Value] = field(default_factory=dict)
    result: Value = None
    error: tuple[str | None, str] | None = None

    @property
    def text(self) -> str:
        return (PLAYBOOKS / self.file).read_text()

    @property
    def catalog_path(self) -> str:
        """The path that the playbook gives itself."""
        found = _PATH.search(self.text)
        assert found is not None, "an example says its `path`"
        return found[1]

    @property
    def ending(self) -> Value:
        return promised(self.text) if self.result is None and self.error is None else self.result


def promised(text: str) -> Value:
    """What a playbook's first lines say that it ends with."""
    found = _PROMISE.search(text)
    assert found is not None, "the playbook does not say `# Ends with: <JSON>`"
    return json.loads(found[1])


ALONE = (
    Example(file="01_hello.yaml", path=("greet",)),
    Example(file="01_hello.yaml", path=("greet",), payload={"who": "Ada"}, result="hello, Ada"),
    Example(file="02_inputs.yaml", path=("describe",), payload={"limits": {"rows": 10}}),
    Example(file="03_branches.yaml", path=("start", "rules")),
    Example(
        file="03_branches.yaml",
        path=("start", "person"),
        payload={"amount": 90000},
        result={"approved_by": "person", "amount": 90000, "over": 80000},
    ),
    Example(file="03_branches.yaml", path=("start",), payload={"amount": -1}, error=("start", "validation")),
    Example(file="04_side_by_side.yaml", path=("start", "orders", "customers", "summary")),
    Example(
        file="04_side_by_side.yaml",
        path=("start", "orders", "customers", "refunds", "summary"),
        payload={"with_refunds": True},
        result={"orders": 120, "customers": 45, "refunds": 7},
    ),
    Example(file="05_loop.yaml", path=("book", "report")),
    Example(file="06_fan_out.yaml", path=("load", "count")),
    Example(
        file="06_fan_out.yaml",
        path=("load", "count"),
        payload={"broken": None},
        result={"total": 6, "failed": 0, "rows": 210, "errors": []},
    ),
    Example(file="07_pipeline.yaml", path=("read", "report")),
    Example(file="08_retries.yaml", path=("rate", "discount", "price")),
    Example(file="09_cycle.yaml", path=("drain", "drain", "drain", "drain", "report")),
    Example(file="10_tables.yaml", path=("orders", "priced", "totals", "report")),
    Example(file="12_child_of.yaml", path=("price", "done")),
    Example(file="12_child.yaml", path=("price", "unpriced", "report")),
    Example(file="13_workbook.yaml", path=("orders", "customers", "report")),
    Example(file="14_time_limits.yaml", path=("fetch", "use_old")),
)
"""Those that need nothing but themselves."""

HTTP = Example(file="11_http.yaml", path=("orders", "customer", "report"))
FLIGHTS = Example(
    file="demo/flights.yaml",
    path=("start", "flights", "weather", "clean", "by_month", "reduce", "chart", "summary"),
)

EXAMPLES = (*ALONE, HTTP, FLIGHTS)
