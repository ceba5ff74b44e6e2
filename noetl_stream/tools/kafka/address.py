"""Which cluster a task may reach: the one of its credential, or the platform's own where the deployment lists the topic."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Cluster, Mechanism
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.connecting import HOST, PASSWORD, PORT, USER, field_of, first_credential, url_of
from noetl_stream.tools.http.guard import checked_addresses
from noetl_stream.tools.http.hosts import check_listed

_BOOTSTRAP: Final = ("bootstrap", "bootstrap_servers", "brokers", "kafka_bootstrap_servers", "servers")
_PROTOCOL: Final = ("security_protocol", "protocol")
_MECHANISM: Final = ("mechanism", "sasl_mechanism")
_CA: Final = ("ca", "ca_pem", "ssl_ca", "tls_ca")
_NO_HOSTS: Final = frozenset("/?#@")
_KNOWN: Final[tuple[Mechanism, ...]] = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What kafka tasks may reach here. `topics` are those of `own`, the platform's cluster, as names or `prefix*`."""

    prefix: str = "noetl."
    own: Cluster | None = None
    topics: Sequence[str] = ()
    allow_private: bool = False


async def cluster_for(call: Call, topic: str, reach: Reach) -> Cluster:
    """The cluster that a task goes to.

    Raises:
        ToolError: it may not, or its credential does not say where.
    """
    return await cluster_of(first_credential(call), topic, call.hosts, reach)


async def cluster_of(
    secret: Secret | None, topic: str, hosts: tuple[str, ...] | None, reach: Reach
) -> Cluster:
    """The cluster of a topic, by this credential. Raises as `cluster_for`."""
    if topic.startswith(("__", reach.prefix) if reach.prefix else "__"):
        raise _refused(f"topic '{topic}' belongs to Kafka or to the platform; use another", "refused_topic")
    if secret is not None:
        return await _of(secret, hosts, reach)
    if reach.own is not None and any(_matches(topic, each) for each in reach.topics):
        return reach.own
    raise ToolError(
        f"the task names no credential, and topic '{topic}' of the platform's own cluster is not open to tasks; "
        "give it `auth: <alias>`, or list the topic in NOETL_STREAM_KAFKA_TOPICS",
        kind="credential",
    )


async def _of(secret: Secret, hosts: tuple[str, ...] | None, reach: Reach) -> Cluster:
    bootstrap = _bootstrap(secret)
    if not secret.operators:
        await _check_authors(bootstrap, hosts, reach)
    password, user = field_of(secret, PASSWORD), field_of(secret, USER)
    protocol = str(field_of(secret, _PROTOCOL) or "").upper()
    mechanism = _mechanism(secret) if user is not None or "SASL" in protocol else None
    return Cluster(
        bootstrap=bootstrap,
        tls=_tls(secret) if "SSL" in protocol or field_of(secret, _CA) else None,
        mechanism=mechanism,
        username=str(user or ""),
        password=str(password or ""),
    )


def _bootstrap(secret: Secret) -> str:
    found = field_of(secret, _BOOTSTRAP) or url_of(secret)
    if found is None and (host := field_of(secret, HOST)) is not None:
        found = f"{host}:{field_of(secret, PORT) or 9092}"
    text = ",".join(map(str, found)) if isinstance(found, list | tuple) else str(found or "")
    if not text or "://" in text or not all(_is_address(each) for each in text.split(",")):
        raise ToolError(
            f"credential '{secret.alias}' names no brokers; give it `bootstrap: host:port,…`",
            kind="credential",
        )
    return text


def _is_address(text: str) -> bool:
    host, _, port = text.strip().rpartition(":")
    return bool(host) and not _NO_HOSTS & set(host) and port.isdecimal() and 0 < int(port) < 1 << 16


async def _check_authors(bootstrap: str, hosts: tuple[str, ...] | None, reach: Reach) -> None:
    """Brokers name further brokers, which nobody could look at: a document names them only where any address is open, and
    even there none that never is."""
    if not reach.allow_private:
        raise _refused(
            "brokers that stand in the document are not reached; put them into a credential of the keychain",
            "refused_address",
        )
    for each in bootstrap.split(","):
        host, _, port = each.strip().rpartition(":")
        check_listed(httpx.URL(scheme="kafka", host=host, port=int(port)), hosts, shown=each)
        await checked_addresses(host.strip("[]"), int(port), allow_private=True)


def _mechanism(secret: Secret) -> Mechanism:
    said = str(field_of(secret, _MECHANISM) or _KNOWN[0]).upper()
    for known in _KNOWN:
        if said == known:
            return known
    raise ToolError(
        f"credential '{secret.alias}' asks for the mechanism '{said}'; use {', '.join(_KNOWN)}",
        kind="credential",
    )


def _tls(secret: Secret) -> ssl.SSLContext:
    authority: Any = field_of(secret, _CA)
    try:
        return ssl.create_default_context(cadata=None if authority is None else str(authority))
    except ssl.SSLError:
        raise ToolError(
            f"the `ca` of credential '{secret.alias}' is no certificate; give it as PEM text",
            kind="credential",
        ) from None


def _matches(topic: str, pattern: str) -> bool:
    return topic.startswith(pattern[:-1]) if pattern.endswith("*") else topic == pattern


def _refused(sentence: str, code: str) -> ToolError:
    return ToolError(sentence, kind="client_error", code=code)
