"""What there is to do about a broker's folder: find damage, put it right, and say who may log in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit
from noetl_stream.cli.options import Data, Debug, Json, settings_of

if TYPE_CHECKING:
    from noetl_stream.broker.users import Users
    from noetl_stream.commitlog.inspection import Finding

UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user.")]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The broker's folder, or the data folder that it stands in.")
]


def add_to(group: typer.Typer) -> None:
    """Register the commands below `broker`."""
    for command in (check, recover):
        group.command()(command)
    users = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    users.command("set")(set_user)
    users.command("list")(list_users)
    users.command("delete")(delete_user)
    group.add_typer(users, name="user", help="Who may log in to the embedded broker.")


def check(directory: Folder, as_json: Json = False, debug: Debug = False) -> None:
    """Read every byte of a stopped broker's journal and logs, and say what is damaged. Nothing is changed.

    Exit code 3 if anything is. Example: `noetl-stream broker check .noetl/broker`
    """
    from noetl_stream.broker.upkeep import check

    found = check(_inner(directory))
    _tell(found, as_json, "everything is sound")
    raise typer.Exit(Exit.INFRASTRUCTURE if found else Exit.COMPLETED)


def recover(directory: Folder, as_json: Json = False, debug: Debug = False) -> None:
    """Put right what `check` finds, as far as it can be, and say what was done and what is lost.

    Damaged bytes are set aside, never deleted; copy the folder first all the same. Example: `noetl-stream broker recover .noetl/broker`
    """
    from noetl_stream.broker.upkeep import recover

    _tell(recover(_inner(directory)), as_json, "nothing had to be done")


def _inner(directory: Path) -> Path:
    from noetl_stream.cli.embedded import folder

    return folder(directory) if folder(directory).is_dir() else directory


def _tell(findings: list[Finding], as_json: bool, nothing: str) -> None:
    rows = [{"path": str(each.path), "position": each.position, "message": each.message} for each in findings]
    _say(as_json, rows, "\n".join(map(str, findings)) or nothing)


def set_user(
    ctx: typer.Context, name: UserName, data: Data = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Add a user who may log in, or give one another password: the first line of stdin, or asked for on a terminal.

    A running broker heeds it at the next login. Example: `noetl-stream broker user set noetl < password.txt`
    """
    _users(ctx, data).set(name, _password())
    _say(as_json, {"user": name, "set": True}, f"{name} may log in")


def list_users(ctx: typer.Context, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Who may log in.

    Example: `noetl-stream broker user list --data .noetl`
    """
    names = _users(ctx, data).names()
    _say(
        as_json,
        list(names),
        "\n".join(names) or "nobody yet; add a user with `noetl-stream broker user set NAME`",
    )


def delete_user(
    ctx: typer.Context, name: UserName, data: Data = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Take a user away. Its open connections stay until they end.

    Example: `noetl-stream broker user delete noetl`
    """
    _users(ctx, data).delete(name)
    _say(as_json, {"user": name, "deleted": True}, f"{name} can log in no more")


def _users(ctx: typer.Context, data: Path | None) -> Users:
    from noetl_stream.broker.users import Users

    return Users(folder_of(ctx, data))


def _password() -> str:
    """Never from an argument: those are seen by everybody on the machine."""
    if sys.stdin.isatty():
        prompted: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return prompted
    return sys.stdin.readline().rstrip("\r\n")


def folder_of(ctx: typer.Context, data: Path | None) -> Path:
    """The broker's folder in the data folder that is in force."""
    from noetl_stream.cli.embedded import folder

    return folder(settings_of(ctx, bootstrap=None, data=data).data)


def _say(as_json: bool, answer: object, sentence: str) -> None:
    typer.echo(json.dumps(answer) if as_json else sentence)
