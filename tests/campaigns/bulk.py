"""Playbooks of bulk: long loops and large data, each with the result that its last step must come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from noetl_stream.core.values import Value

_HEAD: Final = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: %s}
workload: {n: 0, place: "."}
workflow:
"""


@dataclass(frozen=True, kw_only=True)
class Bulk:
    """One playbook. `n` is its size in the full campaign, `few` in a short one; `expected` is by size."""

    name: str
    steps: str
    n: int
    few: int
    expected: Callable[[int], Value]

    @property
    def text(self) -> str:
        return _HEAD % self.name + self.steps


LOOP = Bulk(
    name="loop",
    n=100_000,
    few=2_500,
    expected=lambda n: [n, n, n - 1],
    steps="""
- step: each
  loop: {in: "{{ workload.n }}", iterator: i, spec: {mode: parallel, max_in_flight: 64}}
  tool: {kind: noop, result: "{{ i }}"}
  next: seen
- step: seen
  tool: {kind: noop, result: "{{ [each.count, each.stats.success, each.results[-1]] }}"}
""",
)
WHILE = Bulk(
    name="while",
    n=100_000,
    few=300,
    expected=lambda n: [n, n - 1],
    steps="""
- step: each
  loop: {while: "{{ loop_index < workload.n }}", iterator: i}
  tool: {kind: noop, result: "{{ loop_index }}"}
  next: seen
- step: seen
  tool: {kind: noop, result: "{{ [each.count, each.results[-1]] }}"}
""",
)
CURSOR = Bulk(
    name="cursor",
    n=100_000,
    few=1_500,
    expected=lambda n: [n, n * (n - 1) // 2, 0],
    steps="""
- step: fill
  tool:
    kind: duckdb
    database: "{{ workload.place }}/rows.duckdb"
    query: "CREATE TABLE jobs AS SELECT range AS id, false AS taken FROM range({{ workload.n }})"
  next: each
- step: each
  loop:
    iterator: row
    cursor:
      kind: duckdb
      options: {database: "{{ workload.place }}/rows.duckdb"}
      claim: >-
        UPDATE jobs SET taken = true
        WHERE id IN (SELECT id FROM jobs WHERE NOT taken LIMIT {{ __frame_max_rows }}) RETURNING id
    spec: {max_in_flight: 1, frame: {max_rows: 500, row_concurrency: 64}}
  tool: {kind: noop, result: "{{ row.id }}"}
  next: seen
- step: seen
  tool:
    kind: duckdb
    database: "{{ workload.place }}/rows.duckdb"
    query: SELECT count(*) AS left_over FROM jobs WHERE NOT taken
  next: sum
- step: sum
  tool: {kind: noop, result: "{{ [each.count, each.results | sum, seen.rows[0].left_over] }}"}
""",
)
OBJECT = Bulk(
    name="object",
    n=300_000,
    few=300_000,
    expected=lambda n: [n, "row 7", n - 1],
    steps="""
- step: load
  tool:
    kind: python
    input: {n: "{{ workload.n }}"}
    code: |
      result = {"rows": [{"id": i, "text": f"row {i}", "more": "x" * 64} for i in range(n)], "count": n}
  next: [{step: peek, when: "{{ load.count == workload.n }}"}]
- step: peek
  tool: {kind: noop, result: "{{ [load.rows | length, load.rows[7].text, load.rows[workload.n - 1].id] }}"}
""",
)
TABLE = Bulk(
    name="table",
    n=400_000,
    few=400_000,
    expected=lambda n: [n, n * (n - 1) // 2, "row 7"],
    steps="""
- step: load
  tool:
    kind: duckdb
    query: >-
      SELECT range AS id, 'row ' || range AS text, repeat('x', 64) AS more FROM range({{ workload.n }})
  next: [{step: count, when: "{{ load.row_count == workload.n }}"}]
- step: count
  tool:
    kind: duckdb
    input: {rows: "{{ load }}"}
    query: SELECT count(*) AS n, sum(id)::BIGINT AS total FROM rows
  next: peek
- step: peek
  tool: {kind: noop, result: "{{ [count.rows[0].n, count.rows[0].total, load.rows[7].text] }}"}
""",
)
WIDE = Bulk(
    name="wide",
    n=1_000,
    few=40,
    expected=lambda n: [n, 250_000, "x"],
    steps="""
- step: each
  loop: {in: "{{ workload.n }}", iterator: i, spec: {mode: parallel, max_in_flight: 8}}
  tool:
    kind: python
    input: {i: "{{ i }}"}
    code: |
      result = {"i": i, "text": "x" * 250_000}
  next: [{step: peek, when: "{{ each.count == workload.n }}"}]
- step: peek
  tool: {kind: noop, result: "{{ [each.count, each.results[7].text | length, each.results[-1].text[0]] }}"}
""",
)
_ROWS: Final = """
- step: load
  tool: {kind: duckdb, query: "SELECT range AS id, repeat('x', 100) AS text FROM range({{ workload.n }})"}
  next: each
"""
_SUM_OVER: Final = """
- step: each
  loop: {in: "{{ %s }}", iterator: item, spec: {mode: parallel, max_in_flight: 64}}
  tool: {kind: noop, result: "{{ item.id }}"}
  next: sum
- step: sum
  tool: {kind: noop, result: "{{ [each.count, each.results | sum] }}"}
"""
ITEMS = Bulk(
    name="items",
    n=100_000,
    few=1_200,
    expected=lambda n: [n, n * (n - 1) // 2],
    steps="""
- step: load
  tool:
    kind: python
    input: {n: "{{ workload.n }}"}
    code: |
      result = [{"id": i, "text": "x" * 100} for i in range(n)]
  next: each
"""
    + _SUM_OVER % "load",
)
ROWS = Bulk(
    name="rows",
    n=100_000,
    few=1_200,
    expected=lambda n: [n, n * (n - 1) // 2],
    steps=_ROWS + _SUM_OVER % "load.rows",
)
SLICES = Bulk(
    name="slices",
    n=100_000,
    few=100_000,
    expected=lambda n: [10, n * (n - 1) // 2],
    steps=_ROWS
    + """
- step: each
  loop: {frames: "{{ load.rows }}", rows: 10000, iterator: part, spec: {mode: parallel}}
  tool:
    kind: duckdb
    input: {part: "{{ part }}"}
    query: SELECT sum(id)::BIGINT AS total FROM part
  next: sum
- step: sum
  tool:
    kind: python
    input: {parts: "{{ each.results }}"}
    code: |
      result = [len(parts), sum(part["rows"][0]["total"] for part in parts)]
""",
)
_TEXT: Final = """
- step: load
  tool:
    kind: python
    input: {n: "{{ workload.n }}"}
    code: |
      result = {"text": "x" * n}
"""
VARIABLE = Bulk(
    name="variable",
    n=400_000,
    few=400_000,
    expected=lambda n: n,
    steps=_TEXT
    + """
  set: {ctx.text: "{{ load.text }}"}
  next: seen
- step: seen
  tool: {kind: noop, result: "{{ ctx.text | length }}"}
""",
)
ARGUMENT = Bulk(
    name="argument",
    n=400_000,
    few=400_000,
    expected=lambda n: n,
    steps=_TEXT
    + """
  next: [{step: seen, args: {text: "{{ load.text }}"}}]
- step: seen
  tool: {kind: noop, result: "{{ input.text | length }}"}
""",
)
PARTS = Bulk(
    name="parts",
    n=50_000,
    few=50_000,
    expected=lambda n: 8 * n,
    steps="".join(
        f"""
- step: part{k}
  tool: {{kind: python, input: {{n: "{{{{ workload.n }}}}"}}, code: 'result = "x" * n'}}
  set: {{ctx.part{k}: "{{{{ part{k} }}}}"}}
  next: part{k + 1}
"""
        for k in range(8)
    )
    + f"""
- step: part8
  tool: {{kind: noop, result: "{{{{ ({" ~ ".join(f"part{k}" for k in range(8))}) | length }}}}"}}
""",
)
LATEST = Bulk(
    name="latest",
    n=100_000,
    few=1_500,
    expected=lambda n: 400 + len(str(n - 1)),
    steps="""
- step: each
  loop: {in: "{{ workload.n }}", iterator: i, spec: {mode: parallel, max_in_flight: 64}}
  tool: {kind: noop, result: "{{ i }}", set: {ctx.latest: "{{ ('x' * 400) ~ i }}"}}
  next: seen
- step: seen
  tool: {kind: noop, result: "{{ ctx.latest | length }}"}
""",
)
BULKS: Final[Mapping[str, Bulk]] = {
    bulk.name: bulk
    for bulk in (
        *(LOOP, LATEST, WHILE, CURSOR, OBJECT, TABLE, WIDE),
        *(ITEMS, ROWS, SLICES, VARIABLE, ARGUMENT, PARTS),
    )
}
