"""Commands against an installation that runs elsewhere: only its log is read."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import pytest

from noetl_stream.broker.launch import start_broker
from tests.cli.commands import noetl, written
from tests.cli.conftest import Up
from tests.cli.documents import HELLO, SLEEPING

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def greeted(up: Up) -> str:
    """An execution that has completed."""
    ended = up("submit", "examples/hello", "--set", "who=you", "--wait", "--json")
    assert ended.code == 0, ended.err
    return str(ended.json()["execution_id"])


def test_registering_the_same_text_again_makes_no_version(up: Up, tmp_path: Path) -> None:
    file = written(tmp_path, "other.yaml", HELLO.replace("examples/hello", f"examples/{uuid.uuid4().hex}"))
    again = file.read_text().replace("world", "you")

    versions = [up("register", file, "--json").json()[0]["version"] for _ in range(2)]
    versions.append(up("register", written(tmp_path, "other.yaml", again), "--json").json()[0]["version"])

    assert versions == [1, 1, 2]


def test_a_child_that_nobody_registered_is_warned_of_where_it_is_named(up: Up, tmp_path: Path) -> None:
    calling = HELLO.replace("examples/hello", "examples/calling")
    calling += "  - {step: ask, tool: {kind: playbook, path: examples/helo}}\n"
    calling += "  - {step: again, tool: {kind: playbook, path: examples/hello}}\n"

    told = up("register", written(tmp_path, "calling.yaml", calling)).err

    line = len(calling.splitlines()) - 1
    assert (
        f"calling.yaml:{line}:46: warning: the playbook 'examples/helo' that it starts is not in the catalog; "
        "did you mean 'examples/hello'?"
    ) in told
    assert told.count("is not in the catalog") == 1


def test_the_catalog_lists_paths_versions_and_descriptions(up: Up) -> None:
    listed = {entry["path"]: entry for entry in up("list", "--json").json()}

    assert listed["examples/hello"] == {"path": "examples/hello", "versions": 1, "description": "Greets"}
    assert "examples/sleeping" in up("list").out


def test_a_submission_says_what_any_request_may_say(up: Up) -> None:
    options = ("--priority", "low", "--deadline", "0.5", "--reply-to", "replies", "--correlation", "c-1")
    ended = up("submit", "examples/sleeping", *options, "--wait", "--json")
    report = ended.json()
    first = json.loads(up("events", report["execution_id"], "--json").out.splitlines()[0])

    assert (ended.code, report["error"]["kind"]) == (1, "timeout")
    said = [first["event"][name] for name in ("priority", "reply_to", "correlation")]
    assert said == ["low", "replies", "c-1"]


def test_a_submitted_execution_can_be_waited_for(up: Up) -> None:
    ended = up("submit", "examples/hello", "--payload", '{"who": "me"}', "--wait")

    assert ended.code == 0
    assert "COMPLETED" in ended.out
    assert '"HELLO, ME!"' in ended.out


def test_the_same_key_is_the_same_execution(up: Up) -> None:
    first, second = (up("submit", "examples/hello", "--key", "k-1", "--wait", "--json").json() for _ in "12")

    assert first == second


def test_a_path_that_is_not_registered_is_invalid_input(up: Up) -> None:
    ended = up("submit", "examples/helo")

    assert (ended.code, ended.err) == (
        2,
        "no playbook 'examples/helo' is in the catalog; did you mean 'examples/hello'?\n",
    )


def test_a_status_has_the_keys_of_a_report(up: Up, greeted: str) -> None:
    report = up("status", greeted, "--json").json()

    assert report["status"] == "COMPLETED"
    assert report["results"]["shout"] == "HELLO, YOU!"
    assert report == up("status", greeted, "--resolve", "--json", "--data", up.data).json()


@pytest.mark.parametrize("command", ["status", "events", "replay", "cancel"])
def test_an_unknown_execution_is_invalid_input(up: Up, command: str) -> None:
    ended = up(command, 12345)

    assert ended.code == 2
    assert ended.err.startswith("there is no execution 12345 in this log;")


def test_events_carry_verdicts_and_sentences(up: Up, greeted: str) -> None:
    records = [json.loads(line) for line in up("events", greeted, "--json").out.splitlines()]

    assert [record["number"] for record in records] == [*range(1, len(records) + 1)]
    assert {record["verdict"] for record in records} == {"accepted"}
    assert records[0]["sentence"] == "examples/hello version 1 is requested"
    assert records[-1]["sentence"].endswith("the execution is COMPLETED")


def test_following_the_events_ends_with_the_execution(up: Up, greeted: str) -> None:
    assert up("events", greeted, "--follow").out == up("events", greeted).out


def test_a_replay_stops_before_the_next_fact_is_folded(up: Up, greeted: str) -> None:
    """The block is still offered: its outcome, one record later, has changed nothing."""
    records = [json.loads(line) for line in up("events", greeted, "--json").out.splitlines()]
    outcome = next(record for record in records if record["type"] == "BlockCompleted")

    before = up("replay", greeted, "--to-event", outcome["number"] - 1, "--json").json()
    by_offset = up("replay", greeted, "--offset", outcome["offset"] - 1, "--json").json()
    after = up("replay", greeted, "--offset", outcome["offset"], "--json").json()

    assert before == by_offset
    assert before["blocks"]["start/0/0"]["status"] == "offered"
    assert after["blocks"] == {}
    assert before["state_hash"] == by_offset["state_hash"] != after["state_hash"]


def test_a_replay_to_a_time_shows_the_state_of_that_time(up: Up, greeted: str) -> None:
    end = up("status", greeted, "--json").json()["finished_at"]

    assert up("replay", greeted, "--at", "2020-01-01T00:00:00Z").code == 2
    assert up("replay", greeted, "--at", "soon").code == 2
    assert up("replay", greeted, "--at", "nan").code == 2
    assert up("replay", greeted, "--at", end.replace("Z", "+00:00"), "--json").json()["status"] in (
        "RUNNING",
        "COMPLETED",
    )
    assert up("replay", greeted, "--json").json()["status"] == "COMPLETED"
    assert "HELLO, YOU!" in up("replay", greeted).out


def test_a_cancelled_execution_ends_with_its_reason(up: Up) -> None:
    execution = up("submit", "examples/sleeping", "--json").json()["execution_id"]
    running = up("events", execution, "--json")
    while "is offered" not in running.out:
        running = up("events", execution, "--json")

    cancelled = up("cancel", execution, "--reason", "wrong month")
    followed = up("events", execution, "--follow")

    assert (cancelled.code, cancelled.out) == (0, f"cancelling {execution} is requested\n")
    assert "the execution is CANCELLED: cancelled: wrong month" in followed.out
    assert up("status", execution, "--json").json()["status"] == "CANCELLED"
    assert up("cancel", execution).code == 2
    assert up("submit", "examples/sleeping", "--key", "c", "--timeout", "0.2", "--wait").code == 3


def test_topics_are_listed_as_the_broker_has_them(up: Up) -> None:
    topics = {topic["topic"]: topic for topic in up("topics", "--json").json()}

    assert topics["noetl.events"]["partitions"] == 8
    assert topics["noetl.events"]["settings"]["retention.ms"] == "-1"
    assert not any(topic["created"] for topic in topics.values())


def test_a_running_installation_is_found_by_its_folder(up: Up, greeted: str) -> None:
    ended = noetl("status", greeted, "--json", settings={"data": up.data})

    assert ended.json()["execution_id"] == greeted


def test_a_stopped_installation_is_read_through_a_broker_of_the_commands_own(tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    file = written(tmp_path, "hello.yaml", HELLO)
    execution = noetl("run", file, "--data", folder, "--json").json()["execution_id"]

    assert noetl("--data", folder, "status", execution, "--json").json()["status"] == "COMPLETED"
    assert (
        noetl("replay", execution, "--data", folder, "--to-event", 2, "--json").json()["status"] == "RUNNING"
    )
    assert noetl("submit", "examples/hello", "--data", folder).code == 3
    shutil.rmtree(folder)
    assert noetl("status", execution, "--data", folder).code == 2


def test_roles_need_a_broker(tmp_path: Path) -> None:
    for role in ("worker", "orchestrator", "intake"):
        ended = noetl(role, "--data", tmp_path)

        assert ended.code == 2
        assert ended.err.startswith(f"`{role}` needs a broker: name one with --bootstrap")


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["status", "1"], ["submit", "a"], ["worker"], ["topics"], ["up"]],
    ids=lambda arguments: arguments[0],
)
def test_a_broker_that_does_not_answer_is_one_sentence_after_a_bounded_wait(
    arguments: list[str], tmp_path: Path
) -> None:
    broker = start_broker(tmp_path)
    broker.kill()

    ended = noetl(*arguments, "--bootstrap", broker.bootstrap, settings={"timeout": 0.5, "data": tmp_path})

    assert ended.code == 3
    assert ended.err.startswith(f"no Kafka broker answers at {broker.bootstrap} after 0.5 s;")
    assert len(ended.err.splitlines()) == 1
    assert (
        len(
            noetl(
                "--debug", *arguments, "--bootstrap", broker.bootstrap, settings={"timeout": 0.2}
            ).err.splitlines()
        )
        > 1
    )


def test_an_unusable_setting_is_named(tmp_path: Path) -> None:
    ended = noetl("list", settings={"timeout": "soon", "data": tmp_path})

    assert ended.code == 2
    assert ended.err.startswith("setting 'timeout': ")


def test_waiting_for_an_execution_that_fails_exits_with_1(up: Up, tmp_path: Path) -> None:
    path = f"examples/{uuid.uuid4().hex}"
    failing = SLEEPING.replace("examples/sleeping", path).replace("time.sleep(300)", "raise OSError('no')")
    up("register", written(tmp_path, "failing.yaml", failing))

    ended = up("submit", path, "--wait")

    assert ended.code == 1
    assert "step 'start' failed (python): OSError: no" in ended.out
