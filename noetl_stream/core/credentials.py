"""What a document says of its credentials, compiled: enough to ask for one, and never the secret's own text in a `repr`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from noetl_stream.core.plan import Expression, Flag  # a plan has credentials


SCRIPT: Final = "script.source"
"""What the grant is called with which a task's script is read where it stands; no `auth` can name one so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One declaration of a `keychain`, by its alias.

    `kind`, `provider` and `scope` are words; `settings` yields all the other keys. Templates are rendered on the worker by
    whoever asks for the secret. `needs` are the declared credentials that it reads itself, `place` is where it stands.
    """

    alias: str
    kind: str
    place: str
    provider: str | None = None
    scope: str | None = None
    auto_renew: Flag = False
    settings: Expression = field(repr=False)
    needs: frozenset[str] = frozenset()

    @property
    def rendered(self) -> tuple[Expression, ...]:
        """What has to be rendered before it is asked for."""
        return (self.settings,) if isinstance(self.auto_renew, bool) else (self.settings, self.auto_renew)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One credential that a task is given under `name`: the normal form of every spelling of `auth`.

    `alias` yields the credential's name, or its own fields as a mapping. `settings` yields what else was written: `type`,
    `tool`, `key`, `scope` and more. `provider` is where it is sought if that is not the keychain. `needs` are the
    credentials that it names or reads, as far as the document tells.
    """

    name: str
    alias: Expression = field(repr=False)
    settings: Expression = field(repr=False)
    provider: str | None = None
    needs: frozenset[str] = frozenset()
