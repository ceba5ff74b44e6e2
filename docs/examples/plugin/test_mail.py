"""The tool against a mail server that really listens: what arrives, and what is said when nothing can."""

from __future__ import annotations

from typing import Any

import pytest
from noetl_stream_mail.tool import Mail, MailConfig, mail
from post_office import open_office

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call


def call(port: int, *, effect_key: str = "e1", **config: Any) -> Call:
    """A call as a worker makes it."""
    given = {"to": "ada@shop.example", "subject": "Orders", "text": "There are 7."} | config
    return Call(
        config=MailConfig.model_validate(given),
        input={},
        context={},
        effect_key=effect_key,
        timeout=5.0,
        execution=1,
        credentials={"post": Secret("post", {"host": "127.0.0.1", "port": port, "tls": False})},
    )


async def failure(port: int, **config: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await Mail().run(call(port, **config))
    return caught.value


async def test_a_message_arrives() -> None:
    async with open_office() as office:
        done = await Mail().run(call(office.port, to=["ada@shop.example", "bob@shop.example"]))

    assert done.value["refused"] == {}
    assert "To: ada@shop.example, bob@shop.example" in office.received[0]
    assert "There are 7." in office.received[0]


async def test_a_repeated_effect_has_the_same_message_id() -> None:
    async with open_office() as office:
        first, again, other = [
            await Mail().run(call(office.port, effect_key=key)) for key in ("e1", "e1", "e2")
        ]

    assert first.value["message_id"] == again.value["message_id"] != other.value["message_id"]


async def test_one_refused_address_is_told_and_does_not_keep_the_others_from_it() -> None:
    async with open_office() as office:
        done = await Mail().run(call(office.port, to=["nobody@shop.example", "ada@shop.example"]))

    assert done.value["refused"] == {"nobody@shop.example": "nobody here"}
    assert len(office.received) == 1


async def test_mail_that_nobody_takes_is_the_authors_fault() -> None:
    async with open_office() as office:
        error = await failure(office.port, to="nobody@shop.example")

    assert (error.kind, error.retryable, office.received) == ("client_error", False, [])


async def test_a_busy_server_may_be_asked_again() -> None:
    async with open_office(b"421 too busy") as office:
        error = await failure(office.port)

    assert (error.kind, error.retryable, error.code) == ("server_error", True, "421")


async def test_a_server_that_is_not_there_may_be_asked_again() -> None:
    async with open_office() as office:
        port = office.port

    error = await failure(port)

    assert (error.kind, error.retryable) == ("connection", True)


async def test_a_line_break_in_the_subject_adds_no_header() -> None:
    error = await failure(1, subject="Orders\nBcc: eve@shop.example")

    assert error.kind == "validation"


def test_the_language_is_told() -> None:
    assert (mail.kind.name, mail.kind.nature) == ("mail", "write")
    assert mail.kind.aliases["from"] == "sender"
