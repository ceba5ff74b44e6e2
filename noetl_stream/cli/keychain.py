"""`keychain`: credentials set, seen by their names, rotated, deleted. No command shows a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.keychain_access import actor, reading, writing
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, settings_of
from noetl_stream.core.values import Value

if TYPE_CHECKING:
    from noetl_stream.keychain.sealing import Name
    from noetl_stream.keychain.standing import Placed
    from noetl_stream.settings import Settings
    from noetl_stream.wire.records import CredentialStored

Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="The credential's name, as playbooks write it.")]
KeyPlace = Annotated[Path, typer.Argument(metavar="FILE", help="Where the key shall stand.")]
Type = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="What it is for, as people see it: postgres, s3.")
]
FieldOf = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME=VALUE", help="A field that is no secret; may be repeated."),
]
FieldFile = Annotated[
    list[str] | None,
    typer.Option("--field-file", metavar="NAME=FILE", help="A field from a file; may be repeated."),
]
Ask = Annotated[
    list[str] | None,
    typer.Option("--ask", metavar="NAME", help="A field asked for, or the next line of stdin."),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="FILE|-", help="All fields, as a JSON object in a file.")
]
Text = Annotated[
    str | None, typer.Option("--text", metavar="FILE|-", help="One text without fields, from a file.")
]
ScopeOf = Annotated[
    str, typer.Option("--scope", metavar="SCOPE", help="For whom: local, shared, catalog or global.")
]
PathOf = Annotated[
    str | None,
    typer.Option("--path", metavar="PATH", help="The playbook (local) or the folder of them (shared)."),
]
Keep = Annotated[
    float,
    typer.Option(
        "--keep", metavar="SECONDS", min=0, help="How long the version before can still be asked for."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands below `keychain`."""
    from noetl_stream.cli.keychain_audit import audit

    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.command("new-key")(new_key)
    group.command("set")(set_one)
    group.command("list")(list_all)
    for command in (show, rotate):
        group.command()(command)
    group.command("rotate-key")(rotate_key)
    group.command()(delete)
    group.command()(audit)
    app.add_typer(group, name="keychain", help="Credentials, kept encrypted under their aliases.")


def new_key(file: KeyPlace, as_json: Json = False, debug: Debug = False) -> None:
    """Make a key for the keychain, in a file that only its owner reads. Keep a copy: without it nothing can be opened.

    Example: `noetl-stream keychain new-key /etc/noetl/keychain.key`
    """
    from noetl_stream.keychain.key_file import new_key_file

    key = new_key_file(file)
    told = (
        f"{file} holds the key {key.id}; name it in NOETL_STREAM_KEYCHAIN_KEY_FILE, and keep a copy elsewhere"
    )
    typer.echo(json.dumps({"file": str(file), "key": key.id}) if as_json else told)


def set_one(
    ctx: typer.Context,
    alias: Alias,
    type: Type = None,
    field: FieldOf = None,
    field_file: FieldFile = None,
    ask: Ask = None,
    source: From = None,
    text: Text = None,
    scope: ScopeOf = "catalog",
    path: PathOf = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Keep a credential under an alias, or give it another value at once.

    Examples: `noetl-stream keychain set pg_main --type postgres --field host=db --field user=etl --ask password` ·
    `noetl-stream keychain set gh --text token.txt`
    """
    from noetl_stream.cli.secrets_given import Given

    given = Given(
        fields=tuple(field or ()), files=tuple(field_file or ()), asked=tuple(ask or ()), source=source, text=text
    )  # fmt: skip
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    name = _name(settings, alias, scope, path)
    raise typer.Exit(carry_out(_set(settings, name, given.value(), type, as_json=as_json)))


async def _set(
    settings: Settings, name: Name, value: str | Mapping[str, Value], type: str | None, *, as_json: bool
) -> int:
    async with writing(settings) as chain:
        stored = await chain.topic.set(name, value, type=type, actor=actor(), keys=chain.keys)
    _tell(stored, "is set", as_json=as_json)
    return Exit.COMPLETED


def rotate(
    ctx: typer.Context,
    alias: Alias,
    field: FieldOf = None,
    field_file: FieldFile = None,
    ask: Ask = None,
    source: From = None,
    text: Text = None,
    keep: Keep = 3600.0,
    scope: ScopeOf = "catalog",
    path: PathOf = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Give a credential its next version. Fields that are not named stay; the version before is kept for a while.

    Example: `noetl-stream keychain rotate pg_main --ask password`
    """
    from noetl_stream.cli.secrets_given import Given

    given = Given(
        fields=tuple(field or ()), files=tuple(field_file or ()), asked=tuple(ask or ()), source=source, text=text
    )  # fmt: skip
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    name = _name(settings, alias, scope, path)
    raise typer.Exit(carry_out(_rotate(settings, name, given.value(), keep, as_json=as_json)))


async def _rotate(
    settings: Settings, name: Name, value: str | Mapping[str, Value], keep: float, *, as_json: bool
) -> int:
    async with writing(settings) as chain:
        stored = await chain.topic.rotate(name, value, actor=actor(), keys=chain.keys, keep=keep)
    _tell(stored, f"is rotated; version {stored.versions[1].version} is kept {keep:g} s", as_json=as_json)
    return Exit.COMPLETED


def list_all(
    ctx: typer.Context,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """The tenant's credentials: their names, never their values.

    Example: `noetl-stream keychain list --json`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_list(settings, as_json=as_json)))


async def _list(settings: Settings, *, as_json: bool) -> int:
    async with reading(settings) as topic:
        rows = [_row(name, placed) for name, placed in _sorted(topic.standing.of(settings.tenant))]
    shown(rows, "the keychain is empty; set a credential with `noetl-stream keychain set`", as_json=as_json)
    return Exit.COMPLETED


def show(
    ctx: typer.Context,
    alias: Alias,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """The names of a credential's fields, its type and version, who set it and when. Never a value.

    Example: `noetl-stream keychain show pg_main`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_show_one(settings, alias, as_json=as_json)))


async def _show_one(settings: Settings, alias: str, *, as_json: bool) -> int:
    from noetl_stream.keychain.topic import unknown

    async with reading(settings) as topic:
        found = [pair for pair in _sorted(topic.standing.of(settings.tenant)) if pair[0].alias == alias]
        if not found:
            raise unknown(_name(settings, alias, "catalog", None), topic.standing)
    rows = [_row(name, placed) | _before(placed) for name, placed in found]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return Exit.COMPLETED
    for row in rows:
        for key, value in row.items():
            typer.echo(f"{key + ':':<10} {_cell(value)}")
    return Exit.COMPLETED


def delete(
    ctx: typer.Context,
    alias: Alias,
    scope: ScopeOf = "catalog",
    path: PathOf = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Take a credential away, all its versions. Who deleted it stays on record.

    Example: `noetl-stream keychain delete pg_main`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    name = _name(settings, alias, scope, path)
    raise typer.Exit(carry_out(_delete(settings, name, as_json=as_json)))


async def _delete(settings: Settings, name: Name, *, as_json: bool) -> int:
    async with reading(settings) as topic:
        await topic.delete(name, actor())
    answer = {"alias": name.alias, "scope": name.scope, "path": name.owner, "deleted": True}
    typer.echo(json.dumps(answer) if as_json else f"{name.alias} is deleted")
    return Exit.COMPLETED


def rotate_key(
    ctx: typer.Context,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Bring every credential, of all tenants, under the key of NOETL_STREAM_KEYCHAIN_KEY_FILE. Their values are not touched.

    Example: `noetl-stream keychain rotate-key --bootstrap kafka:9092`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_rotate_key(settings, as_json=as_json)))


async def _rotate_key(settings: Settings, *, as_json: bool) -> int:
    async with writing(settings, others=True) as chain:
        names = await chain.topic.rotate_key(actor(), chain.keys)
        key = chain.keys.current.id
    found = sorted(f"{name.tenant}/{name.alias}" for name in names)
    told = f"credentials that came under the key {key}: {len(found)}; the old keys are needed no more"
    typer.echo(json.dumps({"key": key, "rewrapped": found}) if as_json else told)
    return Exit.COMPLETED


def _name(settings: Settings, alias: str, scope: str, path: str | None) -> Name:
    from noetl_stream.keychain.scopes import name_for

    return name_for(settings.tenant, alias, scope, path)


def _sorted(found: Mapping[Name, Placed]) -> list[tuple[Name, Placed]]:
    return sorted(found.items(), key=lambda pair: (pair[0].alias, pair[0].scope, pair[0].owner))


def _row(name: Name, placed: Placed) -> dict[str, Value]:
    from noetl_stream.cli.documented import iso

    named: dict[str, Value] = {"alias": name.alias, "scope": name.scope, "path": name.owner}
    if isinstance(placed.stored, str) or placed.stored is None:
        return named | {"unreadable": placed.stored}
    newest = placed.stored.versions[0]
    return named | {
        "type": placed.stored.type,
        "version": newest.version,
        "fields": list(newest.fields),
        "set_at": iso(newest.time),
        "set_by": newest.actor,
        "key": newest.key,
    }


def _before(placed: Placed) -> dict[str, Value]:
    """The version before, and until when it can be asked for."""
    from noetl_stream.cli.documented import iso

    stored = placed.stored
    if stored is None or isinstance(stored, str) or stored.versions[1:] == ():
        return {}
    return {"before": stored.versions[1].version, "kept_until": iso(stored.kept_until)}


def _tell(stored: CredentialStored, done: str, *, as_json: bool) -> None:
    newest = stored.versions[0]
    answer = {"alias": stored.alias, "scope": stored.scope, "path": stored.owner, "version": newest.version}
    typer.echo(
        json.dumps(answer | {"fields": list(newest.fields)})
        if as_json
        else f"{stored.alias} version {newest.version} {done}"
    )


def shown(rows: list[dict[str, Value]], nothing: str, *, as_json: bool) -> None:
    """Rows on stdout, as JSON or as a table."""
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    elif rows:
        from noetl_stream.cli.shown import console, show_table

        show_table(console(), [{key: _cell(value) for key, value in row.items()} for row in rows], len(rows))
    else:
        typer.echo(nothing)


def _cell(value: Value) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
