"""What a kind of tool is to the platform. Ours and other people's are declared alike: docs/plugins.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from noetl_stream.ports.tools import Kind, Tool

if TYPE_CHECKING:
    from noetl_stream.tools.builtin import Means

GROUP = "noetl_stream.tools"
"""The entry points that name a `Plugin`, each by its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One kind: its class tells name, config and nature; `make` builds it.

    `summary` is a sentence for people. `needs` are top-level modules without which it cannot run, `extra` is the pip extra
    of ours that brings them. `once`: it can keep `effects: exactly_once`. The rest is as in `ports.tools.Kind`.
    """

    tool: type[Tool]
    make: Callable[[Means], Tool]
    summary: str = ""
    templated_text: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    extra: str | None = None
    once: bool = False
    ends: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """What the language must know. Nothing is imported to tell whether it can run here."""
        return Kind(
            name=self.tool.kind,
            config=self.tool.config,
            nature=self.tool.nature,
            installed=all(find_spec(module) is not None for module in self.needs),
            extra=self.extra,
            summary=self.summary,
            templated_text=self.templated_text,
            aliases=self.aliases,
            once=self.once,
            ends=self.ends,
        )
