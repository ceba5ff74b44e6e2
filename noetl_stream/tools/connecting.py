"""What a tool needs of its credential: the fields that say where to connect and as whom, under any of their usual names."""

from __future__ import annotations

from typing import Any

from noetl_stream.core.credentials import SCRIPT
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call

HOST = ("host", "db_host", "hostname")
PORT = ("port", "db_port")
USER = ("user", "username", "db_user")
PASSWORD = ("password", "db_password")
DATABASE = ("database", "dbname", "db_name")
URL = ("dsn", "url", "uri", "connection_string")
TOKEN = ("token", "access_token", "api_key")


def first_credential(call: Call) -> Secret | None:
    """The credential that the task's `auth` names first, if it names any."""
    return next((each for name, each in call.credentials.items() if name != SCRIPT), None)


def own_credential(call: Call, kind: str) -> Secret:
    """The credential that the task's `auth` names first.

    Raises:
        ToolError: it names none.
    """
    secret = first_credential(call)
    if secret is None:
        raise ToolError(
            f"the {kind} task names no credential; give it `auth: <alias>`, an alias of the keychain",
            kind="credential",
        )
    return secret


def field_of(secret: Secret, names: tuple[str, ...]) -> Any:
    """The first of these fields that the secret has; None if it has none of them, or is one text."""
    fields = secret.reveal()
    if isinstance(fields, str):
        return None
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def url_of(secret: Secret) -> str | None:
    """The secret as one text, or its field for a connection string."""
    whole = secret.reveal()
    found = whole if isinstance(whole, str) else field_of(secret, URL)
    return None if found is None else str(found)
