"""What every outside keeper of secrets is to us: a login and a name go in, fields or one text come out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import orjson

from noetl_stream.core.values import Value
from noetl_stream.keychain.asking import Ask, Reply, Sender, failed
from noetl_stream.keychain.held import Fetched, Held, key_of

MARGIN: Final = 0.8
"""The part of a session's life for which it is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who asks. `given`: by the playbook, through a credential of its own, so that what it names is not ours to trust.

    `hosts` are the only ones that an address in it may name; None: any.
    """

    fields: Mapping[str, Any] = field(repr=False)
    given: bool = False
    ambient: bool = False
    hosts: tuple[str, ...] | None = None

    def need(self, *names: str) -> tuple[str, ...]:
        """These fields. Raises ToolError naming those that it lacks."""
        lacking = [name for name in names if not self.fields.get(name)]
        if lacking:
            raise failed(f"its login has no {' and no '.join(lacking)}; give it that")
        return tuple(str(self.fields[name]) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A secret as its keeper has it; `version` where that is a number."""

    value: str | Mapping[str, Value] = field(repr=False)
    version: int | None = None


Own: TypeAlias = Callable[[], Login | None]
"""Reads the platform's own login; None if it has none."""


def known(own: Own) -> Login:
    """The platform's login. Raises ToolError if it has none."""
    found = own()
    if found is None:
        raise failed("this worker has no login for it; set one, or name a credential with `auth`")
    return found


class Service(Protocol):
    """One keeper."""

    async def read(self, ref: str, version: str | None, login: Login) -> Found:
        """The secret called `ref`, its newest version if none is asked for.

        Raises ToolError of kind `credential`, saying why and what to do; whoever asked adds for which credential.
        """
        ...


class Sessions:
    """Tokens that logins were exchanged for: each used by all until shortly before its end."""

    def __init__(self) -> None:
        self._held: Held[str] = Held()

    async def send(
        self,
        sender: Sender,
        login: Login,
        begin: Callable[[], Awaitable[Fetched[str]]],
        ask: Callable[[str], Ask],
    ) -> Reply:
        """Ask with a session's token; where an older one is refused, once more with a new one."""
        key = key_of(login.fields, login.given, login.ambient, login.hosts)
        kept = await self._held.get(key, begin)
        reply = await sender.send(ask(kept.value))
        if reply.status in (401, 403) and self._held.doubt(key, kept):
            reply = await sender.send(ask((await self._held.get(key, begin)).value))
        return reply


def session(token: Any, seconds: Any, who: str) -> Fetched[str]:
    """A token with its life, as an answer tells it. Raises ToolError if that is not what it tells."""
    if not isinstance(token, str) or not token:
        raise failed(f"{who} gave no token for the login; check what the login is for")
    return Fetched(value=token, lasts=MARGIN * seconds_of(seconds, 300.0))


def seconds_of(told: Any, otherwise: float) -> float:
    """A life in seconds, which some write as text; `otherwise` if there is none."""
    try:
        return max(0.0, float(told))
    except (TypeError, ValueError):
        return otherwise


def fields_or_text(text: str) -> str | Mapping[str, Value]:
    """A JSON mapping as its fields, anything else as the text that it is."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return found if isinstance(found, dict) else text
