"""The keychain as commands reach it: through its topic alone, with keys where something is written."""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.keychain.keys import Keys
    from noetl_stream.keychain.topic import KeychainTopic
    from noetl_stream.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The keychain, and the keys to write it with."""

    topic: KeychainTopic
    keys: Keys


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[KeychainTopic]:
    """The keychain of the installation that the settings name, read to its end with its history."""
    from noetl_stream.cli.reading import opened
    from noetl_stream.keychain.standing import Standing
    from noetl_stream.keychain.topic import KeychainTopic

    async with opened(settings) as installation:
        await installation.schemas.publish()
        name = installation.topics.keychain.name
        topic = KeychainTopic(installation.log, installation.reader, name, Standing(history=True))
        await topic.catch_up()
        yield topic


@asynccontextmanager
async def writing(settings: Settings, *, others: bool = False) -> AsyncIterator[Chain]:
    """The keychain with keys. A credential under a key of its own would be one that no worker opens: it is refused,
    unless keys of `others` are what is asked about."""
    from noetl_stream.wiring_keychain import keys_of

    keys = keys_of(settings)
    if keys is None:
        raise InvalidRequest(
            "no key is named; make one with `noetl-stream keychain new-key FILE`, and name it in "
            "NOETL_STREAM_KEYCHAIN_KEY_FILE"
        )
    async with reading(settings) as topic:
        foreign = _keys_in(topic) - {keys.current.id, *(key.id for key in keys.others)}
        if foreign and not others:
            raise InvalidRequest(
                f"the keychain stands under {', '.join(sorted(foreign))}, and the key of "
                f"NOETL_STREAM_KEYCHAIN_KEY_FILE is {keys.current.id}; name the right one"
            )
        yield Chain(topic=topic, keys=keys)


def _keys_in(topic: KeychainTopic) -> set[str]:
    from noetl_stream.wire.records import CredentialStored

    stored = (placed.stored for placed in topic.standing.names.values())
    return {each.key for one in stored if isinstance(one, CredentialStored) for each in one.versions}


def actor() -> str:
    """Whoever runs this, as the machine knows them."""
    from noetl_stream.settings import this_host

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{this_host()}"
