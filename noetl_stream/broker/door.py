"""Who may come in: a server with the TLS and the logins that its settings ask for."""

from __future__ import annotations

import ipaddress
import logging
from functools import partial
from pathlib import Path

from noetl_stream.broker.sasl import SaslLogin
from noetl_stream.broker.server import Answer, Answered, Server
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.tls import server_context
from noetl_stream.broker.users import Users

logger = logging.getLogger(__name__)


def new_server(
    answer: Answer, settings: BrokerSettings, data: Path, answered: Answered | None = None
) -> Server:
    """A server that does not listen yet. What an operator should know about its security is logged once.

    Raises:
        InfrastructureError: a file of TLS or the users cannot be used.
    """
    tls = None if settings.tls is None else server_context(settings.tls)
    if not settings.sasl:
        _warn_of_an_open_door(settings)
        return Server(answer, settings, tls=tls, answered=answered)
    users = Users(data)
    if not users.names():
        logger.warning("nobody can log in yet; add a user with `noetl-stream broker user set NAME`")
    new_login = partial(SaslLogin, users, over_tls=tls is not None)
    return Server(answer, settings, tls=tls, new_login=new_login, answered=answered)


def _warn_of_an_open_door(settings: BrokerSettings) -> None:
    if is_loopback(settings.host) or (settings.tls is not None and settings.tls.client_ca is not None):
        return
    logger.warning(
        "%s is no loopback address: whoever reaches it may read, write and delete everything; "
        "ask for logins (--sasl) or for clients' certificates (--tls-client-ca)",
        settings.host,
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
