"""`waiting`, `callback`, `approve`: what asks somebody outside is listed, and answered."""

from __future__ import annotations

import getpass
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.log import Id
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, settings_of
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.client.installation import Installation
    from noetl_stream.core.tokens import Token
    from noetl_stream.replay.waiting import Asking
    from noetl_stream.settings import Settings

Only = Annotated[
    int | None, typer.Option("--execution", metavar="ID", help="Only what this execution waits for.")
]
TokenText = Annotated[str, typer.Argument(metavar="TOKEN", help="What the task gave out: `callback_token`.")]
Step = Annotated[str, typer.Argument(metavar="ADDRESS", help="What asks: STEP, STEP[17] or STEP#2[17].")]
Answer = Annotated[str, typer.Option("--answer", metavar="JSON", help="The answer. Default: null.")]
Reject = Annotated[bool, typer.Option("--reject", help="Say no.")]
Comment = Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="Why; it is recorded.")]
As = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who answers. Default: the user's name here.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (waiting, callback, approve):
        app.command()(command)


def waiting(
    ctx: typer.Context,
    execution: Only = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What waits for an answer from outside: which step of which execution, since when, until when, and what it asks.

    With `--json` also the token of each. Examples: `noetl-stream waiting` · `noetl-stream waiting --execution 3155905906115324390 --json`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_waiting(settings, execution, as_json=as_json)))


async def _waiting(settings: Settings, execution: int | None, *, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.replay.waiting import waiting as asked

    async with opened(settings) as installation:
        found = [each async for each in asked(installation.reader, installation.topics, execution)]
    found.sort(key=lambda each: each.since)
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in found], ensure_ascii=False))
    else:
        typer.echo("\n".join(map(_line, found)) or "nothing waits for an answer")
    return Exit.COMPLETED


def _as_json(asking: Asking) -> dict[str, Value]:
    from noetl_stream.cli.documented import iso

    return {
        "execution_id": str(asking.token.execution),
        "playbook": asking.path,
        "step": asking.address,
        "since": iso(asking.since),
        "until": iso(asking.until),
        "ask": asking.ask,
        "token": asking.token.text,
    }


def _line(asking: Asking) -> str:
    shown, ask = _as_json(asking), asking.ask if isinstance(asking.ask, dict) else {}
    until = f" until {shown['until']}" if shown["until"] else ""
    prompt = f": {ask['prompt']}" if ask.get("prompt") else ""
    who = f" ({', '.join(ask['approvers'])})" if ask.get("approvers") else ""
    return f"{shown['execution_id']}  {asking.address}  since {shown['since']}{until}{prompt}{who}"


def callback(
    ctx: typer.Context,
    token: TokenText,
    answer: Answer = "null",
    by: As = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Answer a block that asks. Its token says which; an answer that comes before it waits is kept for it.

    Examples: `noetl-stream callback "$TOKEN" --answer '{"paid": true}'`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_callback(settings, token, _json(answer), by or _user(), as_json=as_json)))


def _json(text: str) -> Value:
    from noetl_stream.core.tokens import ANSWER_BYTES

    if len(text.encode()) > ANSWER_BYTES:
        raise InvalidRequest(
            f"--answer has more than {ANSWER_BYTES:,} bytes; put it where the playbook can read it, and answer the place"
        )
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"--answer is no JSON ({error}); write text as '\"text\"'") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise InvalidRequest("who answers is not known here; say so with --as") from error


async def _callback(settings: Settings, text: str, answer: Value, by: str, *, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.core.tokens import read

    token = read(text)
    async with opened(settings) as installation:
        await _answered(installation, token, answer, by)
    return _say(token, by, as_json=as_json)


def approve(
    ctx: typer.Context,
    execution: Id,
    step: Step,
    reject: Reject = False,
    comment: Comment = None,
    by: As = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say yes, or no, to a step that asks for approval; `waiting` lists them.

    Examples: `noetl-stream approve 3155905906115324390 sign_off` ·
    `noetl-stream approve 3155905906115324390 'pay[17]' --reject --comment "wrong account"`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    answer = {"approved": not reject, "comment": comment}
    raise typer.Exit(carry_out(_approve(settings, execution, step, answer, by or _user(), as_json=as_json)))


async def _approve(
    settings: Settings, execution: int, step: str, answer: Value, by: str, *, as_json: bool
) -> int:
    from noetl_stream.cli.reading import opened

    async with opened(settings) as installation:
        token = await _asks(installation, execution, step, by)
        await _answered(installation, token, answer, by)
    return _say(token, by, as_json=as_json)


async def _asks(installation: Installation, execution: int, step: str, by: str) -> Token:
    """The token of a block that asks for this approval, if `by` may give it. Raises InvalidRequest."""
    from noetl_stream.core.address import parse
    from noetl_stream.core.located import asking

    state = await installation.state(execution)
    token, ask = asking(state, parse(step, state.epochs))
    if not isinstance(ask, dict) or ask.get("kind") != "approve":
        raise InvalidRequest(
            f"'{step}' asks for no approval; answer it with `noetl-stream callback {token.text}`"
        )
    if ask["approvers"] and by not in ask["approvers"]:
        raise InvalidRequest(
            f"'{step}' is for {', '.join(ask['approvers'])} to approve, not for {by}; ask them"
        )
    return token


async def _answered(installation: Installation, token: Token, answer: Value, by: str) -> None:
    """Raises InvalidRequest unless the log takes the answer."""
    await installation.state(token.execution)
    event = token.answered(answer, by=by, at=time.time())
    match await installation.report(token.execution, event):
        case "accepted":
            return
        case "rejected":
            raise InvalidRequest("this token is not genuine; paste the whole of what the task gave out")
        case _:
            raise InvalidRequest(
                f"'{token.block.step}' waits no more for this answer: it has one, its time is over, or it asked anew; "
                "see `noetl-stream waiting`"
            )


def _say(token: Token, by: str, *, as_json: bool) -> int:
    told = {"execution_id": str(token.execution), "block": str(token.block), "answered_by": by}
    typer.echo(
        json.dumps(told, ensure_ascii=False) if as_json else f"'{token.block.step}' is answered by {by}"
    )
    return Exit.COMPLETED
