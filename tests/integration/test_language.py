"""Each kind of thing that a playbook can say, from the request to the report, over a real log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from noetl_stream.core.events import BlockOffered, BlockParked, Child
from noetl_stream.core.values import Value
from noetl_stream.ids import execution_id
from noetl_stream.replay.telling import Told
from tests.integration.client import Client, installed
from tests.integration.conftest import settings_at

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {{name: {name}}}\nworkflow:\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """One installation for all: they differ by playbook, and executions do not meet."""
    async with installed(settings_at(bootstrap, tmp_path_factory.mktemp("installation"))) as client:
        yield client


def playbook(name: str, steps: str) -> str:
    return HEAD.format(name=name) + steps


async def test_a_sequence_hands_results_on_and_keeps_what_it_set(client: Client) -> None:
    story = await client.run(
        playbook(
            "sequence",
            """
- step: first
  tool: {kind: python, input: {n: "{{ workload.n }}"}, code: "result = {'twice': n * 2}"}
  set: {ctx.seen: "{{ first.twice }}"}
  next: second
- step: second
  tool: {kind: python, input: {n: "{{ first.twice }}", seen: "{{ ctx.seen }}"}, code: "result = n + seen"}
""",
        ),
        {"n": 21},
    )

    report = story.as_json(await client.results(story))
    assert report["started_at"] < report["finished_at"]
    assert {
        key: report[key] for key in report if key not in ("execution_id", "started_at", "finished_at")
    } == {
        "playbook": "sequence",
        "version": 1,
        "forked_from": None,
        "status": "COMPLETED",
        "error": None,
        "path": ["first", "second"],
        "steps": {
            name: {"status": "done", "attempts": 1, "iterations": 1, "epochs": 1}
            for name in ("first", "second")
        },
        "results": {"first": {"twice": 42}, "second": 84},
        "ctx": {"seen": 42},
        "events": report["events"],
    }


CHOICE = """
- step: look
  tool: {kind: noop, result: {}}
  next:
    spec: {mode: MODE}
    arcs:
    - {step: small, when: "{{ workload.n < 10 }}"}
    - {step: even, when: "{{ workload.n % 2 == 0 }}"}
    - {step: other}
- {step: small, tool: {kind: noop}, next: end}
- {step: even, tool: {kind: noop}, next: end}
- {step: other, tool: {kind: noop}, next: end}
- step: end
  tool: {kind: noop, result: done}
"""


@pytest.mark.parametrize(("n", "taken"), [(4, "small"), (12, "even"), (13, "other")])
async def test_an_exclusive_choice_takes_the_first_arc_that_matches(
    client: Client, n: int, taken: str
) -> None:
    story = await client.run(playbook("exclusive", CHOICE.replace("MODE", "exclusive")), {"n": n})

    assert (story.status, story.path) == ("COMPLETED", ["look", taken, "end"])


async def test_an_inclusive_choice_takes_all_that_match_and_their_join_runs_once(client: Client) -> None:
    story = await client.run(playbook("inclusive", CHOICE.replace("MODE", "inclusive")), {"n": 4})

    assert story.status == "COMPLETED"
    assert story.path[0] == "look"
    assert sorted(story.path[1:4]) == ["even", "other", "small"]
    assert story.path[4:] == ["end"]


async def test_a_cycle_goes_round_until_its_condition_lets_it_out(client: Client) -> None:
    story = await client.run(
        playbook(
            "cycle",
            """
- step: count
  tool: {kind: python, input: {n: "{{ ctx.n | default(0) }}"}, code: "result = n + 1"}
  set: {ctx.n: "{{ count }}"}
  next:
    arcs:
    - {step: count, when: "{{ ctx.n < 4 }}"}
    - {step: out}
- {step: out, tool: {kind: noop, result: "{{ ctx.n }}"}}
""",
        )
    )

    assert (story.status, story.path) == ("COMPLETED", ["count"] * 4 + ["out"])
    assert story.steps["count"].epochs == 4
    assert await client.results(story) == {"count": 4, "out": 4}


async def test_a_sequential_loop_runs_its_items_in_order_each_seeing_what_was_set_before(
    client: Client,
) -> None:
    story = await client.run(
        playbook(
            "sequential",
            """
- step: each
  loop: {in: "{{ workload.items }}", iterator: item, spec: {mode: sequential}}
  tool:
    kind: python
    input: {item: "{{ item }}", before: "{{ ctx.sum | default(0) }}"}
    code: "result = [item, before]"
    set: {ctx.sum: "{{ (ctx.sum | default(0)) + item }}"}
""",
        ),
        {"items": [1, 2, 3, 4]},
    )

    assert story.status == "COMPLETED", story.end
    assert (await client.results(story))["each"]["results"] == [[1, 0], [2, 1], [3, 3], [4, 6]]


async def test_a_parallel_loop_keeps_its_results_in_the_order_of_its_items(client: Client) -> None:
    story = await client.run(
        playbook(
            "parallel",
            """
- step: each
  loop: {in: "{{ workload.items }}", iterator: item, spec: {mode: parallel, max_in_flight: 4}}
  tool: {kind: python, input: {item: "{{ item }}"}, code: "result = item * item"}
""",
        ),
        {"items": list(range(25))},
    )

    each = (await client.results(story))["each"]
    assert story.status == "COMPLETED"
    assert each["results"] == [n * n for n in range(25)]
    assert each["stats"] == {"total": 25, "success": 25, "failed": 0}
    assert story.steps["each"].iterations == 25


FLAKY = """
- step: flaky
  tool:
  - name: attempt
    kind: python
    input: {{file: "{{{{ workload.file }}}}"}}
    code: |
      tries = open(file, "a+")
      tries.write("x")
      tries.seek(0)
      count = len(tries.read())
      tries.close()
      if count < 3:
          raise ConnectionError(f"try {{count}} failed")
      result = count
    spec:
      policy:
        rules:
        - {{when: "{{{{ output.status == 'error' }}}}", then: {{do: retry, attempts: 3, backoff: fixed, delay: {delay}}}}}
  - name: after
    kind: python
    input: {{tries: "{{{{ attempt }}}}"}}
    code: "result = {{'tries': tries}}"
"""


@pytest.mark.parametrize(("how", "delay", "attempts"), [("in_its_slot", 0.01, 1), ("by_a_timer", 2.1, 3)])
async def test_a_pipeline_retries_by_its_policy(
    client: Client, tmp_path: Path, how: str, delay: float, attempts: int
) -> None:
    """A short backoff is waited for in the slot; a long one frees it and comes back by a timer."""
    path = await client.register(playbook(f"retry_{how}", FLAKY.format(delay=delay)))
    execution = await client.ask(path, {"file": str(tmp_path / "tries")})
    story = await client.story(execution)
    offers = [offer for told in await client.told(execution) for offer in _offers(told)]

    assert story.status == "COMPLETED", story.end
    assert (await client.results(story))["flaky"]["tries"] == 3
    assert len(offers) == attempts
    assert (tmp_path / "tries").read_text() == "xxx"


def _offers(told: Told) -> list[BlockOffered]:
    return [move for move in told.folded.moves if isinstance(move, BlockOffered)]


async def test_rules_jump_back_and_break_out_of_a_pipeline(client: Client) -> None:
    story = await client.run(
        playbook(
            "moves",
            """
- step: turn
  tool:
  - name: count
    kind: python
    input: {n: "{{ iter.n | default(0) }}"}
    code: "result = n + 1"
    set: {iter.n: "{{ output }}"}
  - name: again
    kind: noop
    result: "{{ iter.n }}"
    spec:
      policy:
        rules:
        - {when: "{{ iter.n < 3 }}", then: {do: jump, to: count}}
        - {else: {then: {do: break}}}
  - name: never
    kind: python
    code: "raise RuntimeError('never reached')"
""",
        )
    )

    assert story.status == "COMPLETED", story.end
    assert await client.results(story) == {"turn": 3}


async def test_a_failed_step_takes_its_arc_for_errors_and_the_next_one_sees_why(client: Client) -> None:
    story = await client.run(
        playbook(
            "error_arc",
            """
- step: risky
  tool: {kind: python, code: "raise ValueError('no such order')"}
  next:
    arcs:
    - {step: fine}
    - {step: sorry, on: error, args: {why: "{{ error.message }}"}}
- {step: fine, tool: {kind: noop}}
- {step: sorry, tool: {kind: python, code: "result = input_data['why']"}}
""",
        )
    )

    assert (story.status, story.path) == ("COMPLETED", ["risky", "sorry"])
    assert "no such order" in (await client.results(story))["sorry"]
    assert story.steps["risky"].status == "failed"


async def test_a_failed_step_that_nothing_catches_fails_the_execution_and_says_where(client: Client) -> None:
    story = await client.run(
        playbook(
            "failing",
            """
- step: risky
  tool: {kind: python, code: "raise ValueError('no such order')"}
  next: after
- {step: after, tool: {kind: noop}}
""",
        )
    )

    assert (story.status, story.path) == ("FAILED", ["risky"])
    assert story.end is not None
    assert story.end.error is not None
    assert (story.end.error.step, story.end.error.kind) == ("risky", "python")


CHILD = """
- step: half
  tool: {kind: python, input: {n: "{{ workload.n }}"}, code: "result = n // 2 if n % 2 == 0 else 1 // 0"}
"""
PARENT = """
- step: call
  tool: {kind: playbook, path: halving, input: {n: "{{ workload.n }}"}}
  next:
    arcs:
    - {step: twice}
    - {step: odd, on: error}
- {step: twice, tool: {kind: noop, result: "{{ call * 2 }}"}}
- {step: odd, tool: {kind: noop, result: "{{ error.kind }}"}}
"""


@pytest.mark.parametrize(
    ("n", "expected"), [(8, {"call": 4, "twice": 8}), (7, {"call": None, "odd": "playbook"})]
)
async def test_a_child_playbook_answers_its_parent_also_by_failing(
    client: Client, n: int, expected: Value
) -> None:
    await client.register(playbook("halving", CHILD))
    story = await client.run(playbook("parent", PARENT), {"n": n})

    assert story.status == "COMPLETED", story.end
    results = await client.results(story)
    assert {name: results.get(name) for name in expected} == expected


SLEEPER = """
- step: sleep
  tool: {kind: python, code: "import time; time.sleep(60)"}
"""
CALLER = """
- step: call
  tool: {kind: playbook, path: sleeper}
  next: after
- {step: after, tool: {kind: noop}}
"""


async def test_a_cancelled_execution_ends_at_once_and_its_child_with_it(client: Client) -> None:
    await client.register(playbook("sleeper", SLEEPER))
    execution = await client.ask(await client.register(playbook("caller", CALLER)))
    [*_, parked] = await client.told(execution, until=lambda told: bool(_children(told)))
    [sleeper] = _children(parked)
    await client.told(sleeper, until=lambda told: bool(_offers(told)))
    await client.cancel(execution)
    story, child = await client.story(execution), await client.story(sleeper)

    assert (story.status, story.path) == ("CANCELLED", ["call"])
    assert (child.status, child.path) == ("CANCELLED", ["sleep"])


def _children(told: Told) -> list[int]:
    """The execution that a block parks for."""
    match told.event:
        case BlockParked(wait=Child(identity=identity)):
            return [execution_id(bytes.fromhex(identity))]
    return []


async def test_tables_travel_between_polars_duckdb_and_python_by_reference(client: Client) -> None:
    story = await client.run(
        playbook(
            "tables",
            """
- step: make
  tool: {kind: python, libs: {pl: polars}, code: "result = pl.DataFrame({'n': list(range(50_000))})"}
  next: filter
- step: filter
  tool: {kind: polars, input: {numbers: "{{ make }}"}, code: "numbers.filter(pl.col('n') % 2 == 0)"}
  next: add
- step: add
  tool: {kind: duckdb, input: {even: "{{ filter }}"}, query: "SELECT count(*) AS n, sum(n)::BIGINT AS total FROM even"}
""",
        )
    )

    assert story.status == "COMPLETED", story.end
    added = (await client.results(story))["add"]
    assert added["rows"] == [{"n": 25_000, "total": sum(range(0, 50_000, 2))}]
