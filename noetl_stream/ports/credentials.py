"""Credentials as tools get them: opaque, resolved on the worker while a block runs, and gone with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol, SupportsIndex

from noetl_stream.core.values import Value

DOCUMENT: Final = "document"
"""The provider of a credential that its document writes out: a word of the author, not of the operator."""


class Secret:
    """What stands behind an alias. It shows its alias and nothing else; only `reveal` gives it away.

    It cannot be written as text, JSON or a pickle, nor copied: those raise TypeError. `provider`, `version` and `source`, as
    what its provider knows it, are where it came from: for audit.
    """

    __slots__ = ("_authors", "_on_doubt", "_value", "alias", "provider", "source", "version")

    def __init__(
        self,
        alias: str,
        value: str | Mapping[str, Value],
        *,
        provider: str | None = None,
        version: int | None = None,
        source: str | None = None,
        authors: bool = False,
        on_doubt: Callable[[], None] | None = None,
    ) -> None:
        self.alias, self._value, self._on_doubt = alias, value, on_doubt
        self.provider, self.version, self.source = provider, version, source
        self._authors = authors

    def reveal(self) -> str | Mapping[str, Value]:
        """The secret itself, as one text or by field: for the call that needs it, never to be kept."""
        return self._value

    @property
    def operators(self) -> bool:
        """Whether an address in it is the operator's word. It is not where the document's author wrote it out, or chose
        whom to ask for it (`authors`): an endpoint for tokens, a login of another account."""
        return self.provider != DOCUMENT and not self._authors

    def doubt(self) -> None:
        """Whom it is for refused it: whoever holds it may let it go, so that the next try gets a new one."""
        if self._on_doubt is not None:
            self._on_doubt()

    def __repr__(self) -> str:
        return f"<secret {self.alias}>"

    def __str__(self) -> NoReturn:
        raise TypeError(f"the secret '{self.alias}' is no text; a tool calls `reveal` where it needs it")

    def __format__(self, spec: str) -> NoReturn:
        str(self)
        raise AssertionError("a secret has no text")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"the secret '{self.alias}' stays in this process; hand on its alias")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A credential as it is asked for: an alias, with what the document says of it.

    `kind` is None for one that the document does not declare. `settings` are rendered, and may hold secrets themselves.
    `given` are the other declared ones that it names, resolved already. `execution` and `path` are who asks, for `scope`
    and for audit; nobody is given what another `tenant` has. `hosts` are the only ones that an address in `settings` may
    name; None: any.
    """

    alias: str
    tenant: str
    execution: int
    path: str
    kind: str | None = None
    provider: str | None = None
    scope: str | None = None
    auto_renew: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    given: Mapping[str, Secret] = field(default_factory=dict)
    hosts: tuple[str, ...] | None = None


class Credentials(Protocol):
    """Where secrets come from."""

    async def resolve(self, wanted: Wanted) -> Secret:
        """The secret, never an empty one.

        Raises ToolError of kind `credential`, naming the alias, if it cannot be had; `retryable` if it may be later.
        """
        ...
