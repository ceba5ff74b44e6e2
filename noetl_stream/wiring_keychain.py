"""Everything that can give a worker a credential, put together: the document, the keychain, outside keepers, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.errors import InfrastructureError, InvalidRequest, ToolError
from noetl_stream.keychain.asking import Ask, Direct, Reply, Sender, failed, unanswered
from noetl_stream.keychain.key_file import KeyFile
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.providers.config import Providers, read_providers
from noetl_stream.keychain.providers.development import Files, Variables
from noetl_stream.keychain.providers.provided import ALL, Provided
from noetl_stream.keychain.providers.service import Login
from noetl_stream.keychain.remote_key import remote_key
from noetl_stream.keychain.resolving import Resolver
from noetl_stream.keychain.stored import StoredCredentials
from noetl_stream.keychain.tokens.id_token import GoogleIdToken
from noetl_stream.keychain.tokens.oauth2 import OAuth2
from noetl_stream.keychain.topic import KeychainTopic
from noetl_stream.ports.credentials import Credentials, Secret, Wanted
from noetl_stream.ports.keychain import KeyEncryption
from noetl_stream.settings import Settings
from noetl_stream.tools.http.client import GuardedClient, Request
from noetl_stream.worker.credentials import FROM_DOCUMENT
from noetl_stream.worker.guarding import guard_logs


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A `Sender` to addresses that a document names: the http tool's guard stands in the way."""

    client: GuardedClient
    timeout: float

    async def send(self, ask: Ask) -> Reply:
        request = Request(
            method=ask.method,
            url=ask.url,
            headers=ask.headers,
            params=[],
            content=ask.content,
            follow_redirects=False,
            hosts=ask.hosts,
        )
        try:
            async with asyncio.timeout(self.timeout):
                answer = await self.client.send(request)
        except TimeoutError:
            raise failed(
                f"there was no answer within {self.timeout:g} s; it can be tried again", retryable=True
            ) from None
        except UnicodeError as error:
            raise unanswered(error) from None
        except ToolError as error:
            raise _unquoted(error) from None
        return Reply(status=answer.status, body=answer.body)


def _unquoted(error: ToolError) -> ToolError:
    """Without what the client quotes: an address whose query is the grant, and what was sent or answered."""
    match error.__cause__:
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return failed("its address is no http url; correct it")
        case httpx.ProtocolError() | httpx.DecodingError() as cause:
            return unanswered(cause)
        case _:
            return error


@dataclass(frozen=True, slots=True)
class Closed:
    """A provider that this worker does not ask, and what would open it."""

    why: str

    async def resolve(self, wanted: Wanted) -> Secret:
        raise ToolError(f"credential '{wanted.alias}' cannot be had: {self.why}", kind="credential")


def keys_of(settings: Settings) -> Keys | None:
    """The keys of the keychain, or None if none is named. Raises InvalidRequest for one that is unusable."""
    if settings.keychain_key and settings.keychain_key_file is not None:
        raise InvalidRequest(
            "NOETL_STREAM_KEYCHAIN_KEY and NOETL_STREAM_KEYCHAIN_KEY_FILE both name the key; take one away, "
            "or make it an old one"
        )
    providers = _providers(settings)

    def remote(name: str) -> KeyEncryption:
        return remote_key(name, providers, settings.timeout)

    if settings.keychain_key:
        current = remote(settings.keychain_key)
    elif settings.keychain_key_file is not None:
        current = KeyFile.read(settings.keychain_key_file)
    else:
        return None
    old = map(KeyFile.read, settings.keychain_old_key_files)
    return Keys(current=current, others=(*map(remote, settings.keychain_old_keys), *old))


@asynccontextmanager
async def open_credentials(
    settings: Settings, log: KafkaAppender, reader: KafkaReader
) -> AsyncIterator[Credentials]:
    """All who can give a worker a credential.

    Raises InfrastructureError if the keychain has some and there is no key to open them with, and InvalidRequest for
    files that are unusable.
    """
    topic = KeychainTopic(log, reader, settings.topics.keychain.name)
    keys = keys_of(settings)
    guard_logs()
    await topic.catch_up()
    if keys is None and (count := len(topic.standing.names)):
        raise InfrastructureError(
            f"{topic.name} holds {count} credential{'s' if count > 1 else ''}, and this worker has no key to open "
            "them; name the key's file in NOETL_STREAM_KEYCHAIN_KEY_FILE"
        )
    client = GuardedClient(allow_private=settings.allow_private, max_bytes=1 << 20)
    try:
        guarded = Guarded(client=client, timeout=settings.timeout)
        yield everyone(settings, StoredCredentials(topic, keys), guarded)
    finally:
        await client.close()


def everyone(settings: Settings, stored: Credentials, guarded: Sender) -> Resolver:
    """The resolver over the keychain, outside keepers and those who make tokens."""
    kept = Resolver(document=FROM_DOCUMENT, stored=stored)
    providers = _outside(settings, kept, guarded)
    others = Resolver(document=FROM_DOCUMENT, stored=stored, providers=providers)
    direct = Direct(timeout=settings.timeout)
    kinds: Mapping[str, Credentials] = {
        "oauth2": OAuth2(guarded=guarded, direct=direct, others=others),
        "google_id_token": GoogleIdToken(guarded=guarded, direct=direct, others=others),
    }
    return Resolver(document=FROM_DOCUMENT, stored=stored, providers=providers, kinds=kinds)


def _outside(settings: Settings, others: Credentials, guarded: Sender) -> Mapping[str, Credentials]:
    found: dict[str, Credentials] = {
        name: Closed(
            f"this worker is not told how to reach {name}; add a section `{name}` to the file of "
            "NOETL_STREAM_KEYCHAIN_PROVIDERS"
        )
        for name in Providers.model_fields
    }
    for name, section in _providers(settings).sections():
        found[name] = Provided(
            name=name,
            service=section.service(guarded, settings.timeout),
            own=section.own,
            others=others,
            allow=section.allow,
        )
    return {**found, **_development(settings, others)}


def _development(settings: Settings, others: Credentials) -> Mapping[str, Credentials]:
    if not settings.keychain_development:
        why = (
            "providers `env` and `file` are for development, and this worker does not serve that; keep it with "
            "`noetl-stream keychain set`, or start the worker with NOETL_STREAM_KEYCHAIN_DEVELOPMENT=true"
        )
        return dict.fromkeys(("env", "file"), Closed(why))
    variables = Variables(settings.development_secrets())
    found: dict[str, Credentials] = {
        "env": Provided(name="env", service=variables, own=_nobody, others=others, allow=ALL),
        "file": Closed("no folder of secrets is named; name it in NOETL_STREAM_KEYCHAIN_FOLDER"),
    }
    if settings.keychain_folder is not None:
        files = Files(settings.keychain_folder)
        found["file"] = Provided(name="file", service=files, own=_nobody, others=others, allow=ALL)
    return found


def _nobody() -> Login:
    """A login for those who ask for none."""
    return Login(fields={})


def _providers(settings: Settings) -> Providers:
    return Providers() if settings.keychain_providers is None else read_providers(settings.keychain_providers)
