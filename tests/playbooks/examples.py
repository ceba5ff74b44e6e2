"""Every example under playbooks/ and how it must end: the way it takes, its status, and its result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from noetl_stream.core.values import Value

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
_PATH = re.compile(r"^(?:metadata: \{.*|  )path: ([\w/]+)", re.MULTILINE)
_PROMISE = re.compile(r"^# (?:Ends|Fails) with: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One run of one file. `path` are the steps in the order they were entered.

    A run that fails has an `error`, as (step, kind); one without its own `result` ends with what the file promises.
    One that `writes` files does so under its input `out`.
    """

    file: str
    path: tuple[str, ...]
    payload: Mapping[str, Value] = field(default_factory=dict)
    writes: bool = False
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
    """What a playbook's first lines say that it ends with: its result, or if it always fails {step, kind}."""
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
    Example(file="15_quorum.yaml", path=("ask", "north", "south", "slow", "compare")),
    Example(file="16_first.yaml", path=("read", "original", "copy", "use")),
    Example(file="17_admission.yaml", path=("order", "ship", "bill", "report")),
    Example(
        file="17_admission.yaml",
        path=("order", "ship", "bill", "report"),
        payload={"stock": 0},
        result={"shipped": "skipped", "billed": True},
    ),
    Example(file="18_ways_out.yaml", path=("by_arc", "by_event", "by_handler", "good", "report")),
    Example(file="19_rescue.yaml", path=("reserve", "serve", "release"), error=("serve", "python")),
    Example(file="20_scopes.yaml", path=("work", "report")),
    Example(file="21_look_ups.yaml", path=("order", "plain", "table", "report")),
    Example(file="22_filters.yaml", path=("show",)),
    Example(file="23_envelopes.yaml", path=("count", "fail", "report")),
    Example(file="24_python_forms.yaml", path=("all", "report")),
    Example(file="25_python_names.yaml", path=("load", "use", "report")),
    Example(file="26_sqlite.yaml", path=("book", "fail", "sum", "report"), writes=True),
    Example(file="27_files.yaml", path=("write", "totals", "south", "report"), writes=True),
    Example(file="28_contract.yaml", path=("load", "report")),
    Example(file="28_contract.yaml", path=("load",), payload={"least": 10}, error=("load", "validation")),
    Example(file="29_frames.yaml", path=("numbers", "sum", "report")),
    Example(file="30_collections.yaml", path=("list", "mapping", "count", "json", "nothing", "report")),
    Example(file="31_while.yaml", path=("collatz", "report")),
    Example(file="32_cursor.yaml", path=("queue", "work", "left", "report"), writes=True),
    Example(file="32_cursor_frames.yaml", path=("counter", "work", "report"), writes=True),
    Example(file="33_nested.yaml", path=("stock", "report")),
    Example(file="34_pipeline_results.yaml", path=("add", "report")),
    Example(file="35_workbook_tasks.yaml", path=("price", "wrong", "report")),
    Example(file="36_layers.yaml", path=("default", "own", "flaky", "report")),
    Example(file="37_deadline.yaml", path=("wait",), error=(None, "timeout")),
    Example(file="38_document.yaml", path=("begin", "end", "policy.schema.output")),
    Example(
        file="38_document.yaml",
        path=(),
        payload={"who": "somebody with a very long name"},
        error=(None, "validation"),
    ),
    Example(file="39_storage.yaml", path=("load", "fetch", "again", "report")),
    Example(file="40_waiting.yaml", path=("sleep", "later", "report")),
    Example(file="41_shell.yaml", path=("text", "words", "script", "fail", "report")),
    Example(file="42_detached.yaml", path=("start", "report")),
    Example(file="43_network.yaml", path=("ask", "report")),
    Example(file="44_older.yaml", path=("start", "flaky", "end")),
    Example(file="44_today.yaml", path=("start", "flaky", "end")),
    Example(file="45_keychain.yaml", path=("use", "ask", "report")),
    Example(file="46_once.yaml", path=("charge", "look_into_it")),
    Example(file="47_bundles.yaml", path=("squares", "report")),
    Example(file="agent/discount.yaml", path=("price", "policy.schema.output"), payload={"total": 36}),
    Example(file="agent/discount.yaml", path=(), payload={"total": -1}, error=(None, "validation")),
    Example(file="48_wasm.yaml", path=("shout", "others", "report")),
    Example(file="49_ducklake.yaml", path=("fill", "correct", "look", "report"), writes=True),
    Example(file="system/expire_results.yaml", path=("expire",)),
    Example(file="system/clear_scratch.yaml", path=("clear",)),
    Example(file="system/renew_keys.yaml", path=("renew",), error=("renew", "credential")),
)
"""Those that need nothing but themselves."""

HTTP = Example(file="11_http.yaml", path=("orders", "customer", "report"))
POSTGRES = Example(file="50_postgres.yaml", path=("book", "again", "over", "report"))
ADBC = Example(file="59_adbc.yaml", path=("book", "read", "report"))
SNOWFLAKE = Example(file="62_snowflake.yaml", path=("read", "again", "report"))
TRANSFER = Example(file="51_transfer.yaml", path=("prices", "file", "local", "look", "report"))
OBJECTS = Example(file="52_objects.yaml", path=("write", "note", "look", "report"))
KAFKA = Example(file="53_kafka.yaml", path=("send", "read", "report"))
NATS = Example(file="54_nats.yaml", path=("keep", "send", "drain", "report"))
MCP = Example(file="55_mcp.yaml", path=("look", "price", "order", "report"))
CONTAINER = Example(file="60_container.yaml", path=("add", "bill", "report"))
AGENT = Example(
    file="agent/buyer.yaml",
    path=("tools", "plan", "shop", "reflect", "plan", "discount", "reflect", "report"),
)
HELLO = ALONE[0]
ANSWERS = Example(file="57_answers.yaml", path=("check", "sign_off", "pay"))
TOKENS = Example(file="58_tokens.yaml", path=("ask", "look", "report"))
LAKE = Example(file="61_lake.yaml", path=("send", "keep", "load", "look", "report"))
ALERT = Example(file="system/alert.yaml", path=("look", "tell", "report"))
FLIGHTS = Example(
    file="demo/flights.yaml",
    path=("start", "flights", "weather", "clean", "by_month", "reduce", "chart", "summary"),
)

EXAMPLES = (
    *ALONE,
    HTTP,
    POSTGRES,
    ADBC,
    SNOWFLAKE,
    TRANSFER,
    OBJECTS,
    KAFKA,
    NATS,
    MCP,
    CONTAINER,
    AGENT,
    ANSWERS,
    TOKENS,
    LAKE,
    FLIGHTS,
    ALERT,
)
