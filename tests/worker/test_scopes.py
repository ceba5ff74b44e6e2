"""What a task's own `set` reads of the task, as playbooks see it."""

from __future__ import annotations

from pathlib import Path

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import BlockCompleted, BlockId, Report
from noetl_stream.core.messages import Offer
from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.tools.builtin import kinds
from noetl_stream.tools.noop import Noop
from noetl_stream.worker.block import run_block

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: sales}\nworkflow:\n"


async def ran(step: str, cache: Path) -> Report:
    """The outcome of the only block of a playbook with one step, `load`."""
    plan = compile_playbook(HEAD + step, file="sales.yaml", kinds=kinds()).plan
    offer = Offer(
        execution=7,
        block=BlockId("load", 0, 0),
        attempt=0,
        segment=0,
        pool="default",
        path=plan.path,
        version=plan.version,
        digest=plan.digest,
        catalog_offset=0,
        tenant="default",
        seed="",
        at=0.0,
        total=1,
        inline_limit=1024,
    )
    return await run_block(
        plan=plan, offer=offer, tools={"noop": Noop()}, cache=LocalCache(cache), run_id="r1"
    )


async def test_a_task_that_went_well_writes_from_its_result(tmp_path: Path) -> None:
    """`output` in a task's own `set` is the result itself, whatever its type, and answers as results do."""
    counted = await ran(
        '- {step: load, tool: {kind: noop, result: 3, set: {ctx.rows: "{{ output + 1 }}"}}}', tmp_path
    )
    nested = await ran(
        '- {step: load, tool: {kind: noop, result: {data: {rows: 3}}, set: {ctx.rows: "{{ output.rows }}"}}}',
        tmp_path,
    )

    assert isinstance(counted, BlockCompleted)
    assert counted.writes == {"ctx.rows": 4}
    assert isinstance(nested, BlockCompleted)
    assert nested.writes == {"ctx.rows": 3}


async def test_a_task_that_failed_and_was_continued_writes_from_its_envelope(tmp_path: Path) -> None:
    """Its rule lets it go on, so its `set` runs; `output` then says what went wrong."""
    outcome = await ran(
        "- step: load\n"
        "  tool:\n"
        "    kind: noop\n"
        '    input: {broken: "{{ 1 / 0 }}"}\n'
        "    spec: {policy: {rules: [{else: {do: continue}}]}}\n"
        '    set: {ctx.why: "{{ output.error.kind }}", ctx.event: "{{ event.name }}"}\n',
        tmp_path,
    )

    assert isinstance(outcome, BlockCompleted)
    assert outcome.writes == {"ctx.why": "validation", "ctx.event": "step.failed"}
