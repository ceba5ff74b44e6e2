"""Workers that share a data folder share no scratch, and what a killed one left goes when the next one starts."""

from __future__ import annotations

from pathlib import Path

from noetl_stream.settings import Settings
from tests.integration.client import LIMIT, installed, there
from tests.integration.processes import kill, roles

BUSY = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: busy}
workflow:
- step: busy
  loop: {in: [shell, python], iterator: how, spec: {mode: parallel}}
  tool:
  - name: shell
    kind: shell
    command: 'touch "$TMPDIR/$how"; touch "$folder/$how"; while [ ! -e "$folder/go" ]; do sleep 0.05; done; echo "$TMPDIR"'
    input: {how: "{{ how }}", folder: "{{ workload.folder }}"}
  - name: table
    kind: polars
    code: "result = pl.DataFrame({'how': ['done']})"
"""


async def test_each_worker_has_scratch_of_its_own_and_the_next_one_clears_what_a_killed_one_left(
    settings: Settings, command: Path, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"partitions": 1, "slots": 2, "processes": 1})
    async with installed(settings, "intake", "orchestrator") as client, roles(command, settings) as started:
        doomed = await started.start("worker")
        path = await client.register(BUSY)
        execution = await client.ask(path, {"folder": str(tmp_path)})
        await there(tmp_path / "shell")
        await there(tmp_path / "python")
        left = folders(settings)
        await kill(doomed)
        (tmp_path / "go").touch()
        await started.start("worker")
        one = folders(settings)
        await started.start("worker")
        both = folders(settings)
        await client.told(execution, limit=2 * LIMIT)
        story = await client.story(execution)
        results = await client.results(story)

    assert len(left) == 1
    assert len(one) == 1
    assert not left & one
    assert len(both - one) == 1
    assert story.status == "COMPLETED"
    assert results["busy"]["results"] == [[{"how": "done"}], [{"how": "done"}]]


def folders(settings: Settings) -> set[Path]:
    """Those of the workers that run, and of those that were killed since the last one started."""
    return {each for each in settings.scratch.iterdir() if each.is_dir()}
