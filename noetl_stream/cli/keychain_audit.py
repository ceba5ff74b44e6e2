"""`keychain audit`: who changed a credential, and who used it, when. Values are nowhere on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, settings_of
from noetl_stream.core.values import Value

if TYPE_CHECKING:
    from noetl_stream.keychain.topic import KeychainTopic
    from noetl_stream.replay.uses import Use
    from noetl_stream.settings import Settings
    from noetl_stream.wire.records import CredentialChanged

One = Annotated[str | None, typer.Argument(metavar="[ALIAS]", help="Only this one.")]


def audit(
    ctx: typer.Context,
    alias: One = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Who changed and who used the tenant's credentials, oldest first. Reads the whole log once.

    Examples: `noetl-stream keychain audit pg_main` · `noetl-stream keychain audit --json`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_audit(settings, alias, as_json=as_json)))


async def _audit(settings: Settings, alias: str | None, *, as_json: bool) -> int:
    from noetl_stream.cli.keychain import shown
    from noetl_stream.cli.reading import opened
    from noetl_stream.keychain.standing import Standing
    from noetl_stream.keychain.topic import KeychainTopic
    from noetl_stream.replay.uses import uses

    async with opened(settings) as installation:
        topics, reader = installation.topics, installation.reader
        chain = KeychainTopic(installation.log, reader, topics.keychain.name, Standing(history=True))
        await chain.catch_up()
        rows = _changes(chain, settings.tenant)
        rows += [_used(use) async for use in uses(reader, topics, settings.tenant)]
    rows = [row for row in rows if alias in (None, row["alias"])]
    rows.sort(key=lambda row: str(row["at"]))
    shown(rows, "nothing is on record", as_json=as_json)
    return Exit.COMPLETED


def _changes(chain: KeychainTopic, tenant: str) -> list[dict[str, Value]]:
    """One row a change: the last word of those that were said again because two met."""
    found = {each.change: each for each in chain.standing.changes if each.tenant == tenant}
    return [_changed(each) for each in found.values()]


def _changed(change: CredentialChanged) -> dict[str, Value]:
    from noetl_stream.cli.documented import iso

    scope = change.scope + (f" {change.owner}" if change.owner else "")
    return {
        "at": iso(change.time),
        "alias": change.alias,
        "what": change.action,
        "version": change.version,
        "by": change.actor,
        "where": scope,
    }


def _used(use: Use) -> dict[str, Value]:
    from noetl_stream.cli.documented import iso

    return {
        "at": iso(use.at),
        "alias": use.credential.alias,
        "what": f"used ({use.credential.provider})",
        "version": use.credential.version,
        "by": f"execution {use.execution}",
        "where": f"{use.path} {use.block}",
    }
