"""`dlq`: what was set aside, and asking again for it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.letters_where import Condition, as_text, asked, condition_of
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, settings_of
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.client.letters import Redrive
    from noetl_stream.settings import Settings
    from noetl_stream.wire.letters import Letter

Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Only those for which it holds, as a playbook's `when`: reason, playbook, payload, key, topic, partition, offset, "
        "at, age (seconds), redriven.",
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="Also those that were asked again.")]
Offset = Annotated[int, typer.Argument(metavar="OFFSET", min=0, help="The letter, as `dlq list` numbers it.")]
Offsets = Annotated[
    list[int] | None,
    typer.Argument(metavar="[OFFSET…]", help="These letters. Default: all that --where names."),
]
Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be asked again.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands below `dlq`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.command("list")(list_letters)
    group.command()(show)
    group.command()(redrive)
    app.add_typer(
        group, name="dlq", help="Dead letters: what could not be taken, with its reason and its place."
    )


def list_letters(
    ctx: typer.Context,
    where: Where = None,
    everything: Everything = False,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """The letters that stand, oldest first.

    Examples: `noetl-stream dlq list` · `noetl-stream dlq list --where "playbook == 'sales' and age < 3600" --json`
    """
    settings, condition = settings_of(ctx, bootstrap=bootstrap, data=data), condition_of(where)
    raise typer.Exit(carry_out(_list(settings, condition, everything=everything, as_json=as_json)))


async def _list(settings: Settings, condition: Condition, *, everything: bool, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.client.letters import letters

    async with opened(settings) as installation:
        standing = await letters(installation)
    found = [each for each in standing if (everything or not each.redriven) and condition(each)]
    if as_json:
        typer.echo(json.dumps([as_shown(each) for each in found], ensure_ascii=False))
    else:
        typer.echo("\n".join(map(_line, found)) or "no dead letter stands")
    return Exit.COMPLETED


def show(
    ctx: typer.Context,
    offset: Offset,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """One letter with its record's own key, headers and value, byte for byte where they are no text.

    Example: `noetl-stream dlq show 17`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_show(settings, offset, as_json=as_json)))


async def _show(settings: Settings, offset: int, *, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.client.letters import letters

    async with opened(settings) as installation:
        [letter] = _numbered(await letters(installation), [offset])
    shown = as_shown(letter) | {
        "headers": [[name, as_text(value)] for name, value in letter.headers],
        "value": as_text(letter.value),
    }
    typer.echo(json.dumps(shown, ensure_ascii=False, indent=None if as_json else 2))
    return Exit.COMPLETED


def redrive(
    ctx: typer.Context,
    offsets: Offsets = None,
    where: Where = None,
    dry_run: Dry = False,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Ask again for what was refused, each under the identity that it had: what is done already, however long ago, is not done twice.

    Examples: `noetl-stream dlq redrive 17` · `noetl-stream dlq redrive --where "'catalog' in reason" --dry-run`
    """
    if not offsets and where is None:
        raise InvalidRequest("name the letters by their offsets or by --where; --where true means all")
    settings, condition = settings_of(ctx, bootstrap=bootstrap, data=data), condition_of(where)
    raise typer.Exit(carry_out(_redrive(settings, offsets, condition, dry=dry_run, as_json=as_json)))


async def _redrive(
    settings: Settings, offsets: list[int] | None, condition: Condition, *, dry: bool, as_json: bool
) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.client.letters import letters
    from noetl_stream.client.letters import redrive as ask_again

    async with opened(settings, running=not dry) as installation:
        standing = await letters(installation)
        chosen = _numbered(standing, offsets) if offsets else [each for each in standing if not each.redriven]
        fates = await ask_again(installation, [each for each in chosen if condition(each)], dry=dry)
    if as_json:
        typer.echo(json.dumps([_fate(each) for each in fates], ensure_ascii=False))
    else:
        typer.echo("\n".join([*map(_fate_line, fates), _sum(fates, dry=dry)]))
    return Exit.COMPLETED


def _numbered(standing: list[Letter], offsets: list[int]) -> list[Letter]:
    by_offset = {each.offset: each for each in standing}
    missing = [offset for offset in offsets if offset not in by_offset]
    if missing:
        raise InvalidRequest(
            f"no dead letter stands at offset {missing[0]}; `noetl-stream dlq list --all` shows those that do"
        )
    return [by_offset[offset] for offset in offsets]


def as_shown(letter: Letter) -> dict[str, Value]:
    """A letter as `--json` gives it, without its headers and value."""
    from noetl_stream.cli.documented import iso

    return {
        "offset": letter.offset,
        "at": iso(letter.at),
        "reason": letter.reason,
        "origin": letter.origin._asdict(),
        "key": as_text(letter.key),
        "playbook": asked(letter).get("playbook"),
        "bytes": len(letter.value or b""),
        "redriven": letter.redriven,
    }


def _line(letter: Letter) -> str:
    shown = as_shown(letter)
    again = "[redriven] " if letter.redriven else ""
    what = shown["playbook"] or f"{shown['bytes']} bytes"
    return f"{letter.offset:>6}  {shown['at']}  {letter.origin}  {what}  {again}{letter.reason}"


def _fate(redrive: Redrive) -> dict[str, Value]:
    return {
        "offset": redrive.letter.offset,
        "fate": redrive.fate,
        "execution_id": None if redrive.execution is None else str(redrive.execution),
        "note": redrive.note,
    }


def _fate_line(redrive: Redrive) -> str:
    what = redrive.note if redrive.execution is None else f"execution {redrive.execution}"
    return f"{redrive.letter.offset:>6}  {redrive.fate}  {what}"


def _sum(fates: list[Redrive], *, dry: bool) -> str:
    counts = Counter(each.fate for each in fates)
    said = ", ".join(f"{count} {fate}" for fate, count in counts.items()) or "nothing to ask again"
    return f"would be: {said}" if dry and fates else said
