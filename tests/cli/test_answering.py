"""What asks somebody outside is listed and answered from the command line, against an installation that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import written
from tests.cli.conftest import Up

pytestmark = pytest.mark.slow

ASKING = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: asking, path: examples/asking}
workflow:
  - {step: check, tool: {kind: callback, prompt: the bank}, next: pay}
  - step: pay
    loop: {in: [1, 2], iterator: n, spec: {mode: parallel}}
    tool: {kind: approve, prompt: "pay {{ iter.n }}?", approvers: [ann]}
    next: last
  - step: last
    tool: {kind: noop, result: {checked: "{{ check }}", paid: "{{ pay.data }}"}}
"""


class Asked:
    """An execution of the playbook."""

    def __init__(self, up: Up, folder: Path) -> None:
        self.up = up
        assert up("register", written(folder, "asking.yaml", ASKING)).code == 0
        self.id = str(up("submit", "examples/asking", "--json").json()["execution_id"])

    async def waiting(self, *steps: str) -> list[dict[str, Any]]:
        """What it waits for, once that is just these steps."""
        async with asyncio.timeout(40):
            while True:
                found = (await asyncio.to_thread(self.up, "waiting", "--execution", self.id, "--json")).json()
                if sorted(each["step"] for each in found) == sorted(steps):
                    return found  # type: ignore[no-any-return]


async def test_a_playbook_that_asks_is_answered_step_by_step(up: Up, tmp_path: Path) -> None:
    asked = Asked(up, tmp_path)
    (check,) = await asked.waiting("check")
    assert (check["execution_id"], check["playbook"], check["until"]) == (asked.id, "examples/asking", None)
    assert check["ask"] == {"kind": "callback", "prompt": "the bank"}

    listed = up("waiting", "--execution", asked.id)
    assert listed.out.startswith(f"{asked.id}  check  since ")
    assert listed.out.endswith(": the bank\n")

    assert "asks for no approval" in up("approve", asked.id, "check", "--as", "ann").err
    assert "is no JSON" in up("callback", check["token"], "--answer", "{").err
    forged = up("callback", ("A" if check["token"][0] != "A" else "B") + check["token"][1:])
    assert (forged.code, "not genuine" in forged.err) == (2, True)
    answered = up("callback", check["token"], "--answer", '{"ok": 1}', "--as", "bank")
    assert (answered.code, answered.out) == (0, "'check' is answered by bank\n")

    await asked.waiting("pay[0]", "pay[1]")
    refused = up("approve", asked.id, "pay[1]", "--as", "eve")
    assert (refused.code, "for ann to approve, not for eve" in refused.err) == (2, True)
    assert up("approve", asked.id, "pay[0]", "--as", "ann").code == 0
    said = up("approve", asked.id, "pay[1]", "--reject", "--comment", "twice", "--as", "ann", "--json")
    assert said.json() == {"execution_id": asked.id, "block": "pay/0/1", "answered_by": "ann"}

    report = await up.ended(asked.id)
    paid = [(each["approved"], each["by"], each["comment"]) for each in report["results"]["last"]["paid"]]
    assert report["results"]["last"]["checked"] == {"ok": 1}
    assert paid == [(True, "ann", None), (False, "ann", "twice")]
    again = up("callback", check["token"])
    assert (again.code, "waits no more for this answer" in again.err) == (2, True)
    assert up("waiting", "--execution", asked.id).out == "nothing waits for an answer\n"
