"""What a task reads when its block goes on in another slot: the same as before it left the first one."""

from __future__ import annotations

from dataclasses import replace

from noetl_stream.cache.local import LocalCache
from noetl_stream.ports.tools import Call
from tests.worker.stage import Act, on_stage, played


async def test_a_late_retry_reads_the_envelope_of_the_task_before_it(cache: LocalCache) -> None:
    """The delay is too long to wait in the slot, so the second try is rendered from the notes."""

    def does(call: Call) -> object:
        if call.config.say == "first":
            return {"rows": ["x" * 2000], "count": 3}
        if len(act.calls) == 2:
            raise ConnectionError("not yet")
        return call.config.say

    act = Act(does=does)
    stage = await played(
        """
        - step: load
          tool:
            - {name: first, kind: act, say: first}
            - {name: second, kind: act, say: "{{ [output.data.count, output.response.count, output.status] }}", retry: {max_attempts: 2, delay: 60}}
        """,
        cache,
        act,
    )

    assert act.said == ["first", [3, 3, "ok"], [3, 3, "ok"]]
    assert len(stage.outcomes) == 2


async def test_an_answered_call_reads_the_envelope_of_the_task_before_it(cache: LocalCache) -> None:
    stage = await on_stage(
        """
        - step: load
          tool:
            - {name: first, kind: noop, result: {path: child}}
            - {name: second, kind: playbook, path: "{{ output.data.path }}"}
        """,
        cache,
        Act(),
    ).play()

    await stage.answer(result=7).play()

    assert [child.child.path for child in stage.children] == ["child"]
    assert stage.results["load"] == 7


async def test_a_block_goes_on_by_notes_from_before_its_tasks_had_rounds(cache: LocalCache) -> None:
    """The log keeps what an earlier release parked."""
    stage = await on_stage(
        """
        - step: load
          tool:
            - {name: first, kind: noop, result: 3}
            - {name: second, kind: playbook, path: child}
            - {name: third, kind: act, say: "{{ [first, second] }}"}
        """,
        cache,
        act := Act(),
    ).play()
    (key, parked), *_ = stage.log.execution.blocks.items()
    older = {name: note for name, note in parked.resume.items() if name != "rounds"}
    stage.log.execution.blocks[key] = replace(parked, resume=older)

    await stage.answer(result=7).play()

    assert act.said == [[3, 7]]
