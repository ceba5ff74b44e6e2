"""How one credential names another one that it needs: by an alias, or by its fields written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.keychain.asking import failed
from noetl_stream.keychain.resolving import under
from noetl_stream.ports.credentials import Credentials, Wanted


async def named(wanted: Wanted, name: Any, others: Credentials) -> str | Mapping[str, Value]:
    """What stands behind it: what the document declares under this alias, else what the keychain has.

    Raises ToolError if that cannot be had.
    """
    if isinstance(name, Mapping):
        return name
    if not isinstance(name, str):
        raise failed("the credential that it needs is named by no text; write its alias")
    if name in wanted.given:
        return wanted.given[name].reveal()
    try:
        return (await others.resolve(under(wanted, name))).reveal()
    except ToolError as error:
        raise failed(error.message, retryable=error.retryable) from None


def trusted(wanted: Wanted, name: Any) -> bool:
    """Whether an address in it is the operator's word: it comes from the keychain, and not from the document."""
    return isinstance(name, str) and (name not in wanted.given or wanted.given[name].operators)
