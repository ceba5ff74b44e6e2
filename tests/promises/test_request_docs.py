"""docs/requests.md names every key of a request and of a reply, and every header of a dead letter; and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from noetl_stream.core.done import WINDOW
from noetl_stream.intake import JsonRequest
from noetl_stream.orchestrator.delivery import reply_json
from noetl_stream.wire import letters
from noetl_stream.wire.records import Reply, Request
from noetl_stream.wire.schemas import newest
from noetl_stream.wire.topics import DEAD_LETTER_RETENTION_MS, REQUEST_RETENTION_MS

DAY_MS = 24 * 60 * 60 * 1000
TEXT = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
_PARTS = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)
SECTIONS = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))


def first_column(section: str) -> list[str]:
    return re.findall(r"^\| `([\w-]+)` \|", SECTIONS[section], flags=re.MULTILINE)


def test_every_key_of_a_request_is_documented() -> None:
    assert first_column("The request") == list(JsonRequest.model_fields)


def test_an_avro_request_has_the_same_keys() -> None:
    assert {field["name"] for field in newest()[Request.__name__].fields} == JsonRequest.model_fields.keys()


def test_every_key_of_a_reply_is_documented() -> None:
    reply = Reply(execution=1, playbook="p", version=1, status="COMPLETED", finished=0.0)

    assert first_column("The reply") == list(reply_json(reply))


def test_every_header_of_a_dead_letter_is_documented() -> None:
    ours = {value for name, value in vars(letters).items() if name.isupper() and isinstance(value, str)}

    assert set(first_column("What cannot be taken")) == ours


@pytest.mark.parametrize(
    "promise",
    [
        f"recognised for {WINDOW // 3600} hours",
        f"Dead letters are kept for {DEAD_LETTER_RETENTION_MS // DAY_MS} days, requests for {REQUEST_RETENTION_MS // DAY_MS}.",
    ],
)
def test_periods_are_those_of_the_code(promise: str) -> None:
    assert promise in TEXT
