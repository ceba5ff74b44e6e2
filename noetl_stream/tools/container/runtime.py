"""The port to where containers run: a Kubernetes, or an engine of this host. The tool and the watcher know no other word.

A container's name is made of its block's token, so that a repetition finds it; its labels say whose it is, never a step's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, get_args

from noetl_stream.core.tokens import Token, read
from noetl_stream.ids import identity
from noetl_stream.ports.tools import Call
from noetl_stream.tools.container.config import ContainerConfig

End: TypeAlias = Literal["succeeded", "failed", "timed_out", "cancelled", "evicted", "lost"]

ENDS: Final[tuple[End, ...]] = get_args(End)
KEPT_SECONDS: Final = 24 * 3600
"""How long a container that has ended is kept for people to look at."""
PREFIX: Final = "noetl-stream.io"
CALLBACK: Final = f"{PREFIX}/callback"
"""Label: the digest of the token."""
EXECUTION: Final = f"{PREFIX}/execution"
BLOCK: Final = f"{PREFIX}/block"
ATTEMPT: Final = f"{PREFIX}/attempt"
INSTANCE: Final = f"{PREFIX}/instance"


class Why(NamedTuple):
    """The runtime's own word, such as `ImagePullBackOff`, and its sentence."""

    reason: str | None
    message: str | None


NOBODY_SAYS: Final = Why(None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A container whose end is not told yet, as it is now, or was when it went. `end` is None while it runs.

    `place` is the namespace, empty where there are none; `key` tells it from every other, also of its name;
    `version` is what the runtime itself wants to hear of it again. `doomed`: it would try for ever, and is to be deleted.
    """

    key: str
    name: str
    place: str
    token: Token
    end: End | None
    exit_code: int | None = None
    why: Why = NOBODY_SAYS
    version: str = ""
    finalizers: tuple[str, ...] = ()
    doomed: bool = False


class Output(NamedTuple):
    """A container's name, and the last lines that it wrote; None where there is none."""

    name: str | None
    logs: str | None


class Sight(Protocol):
    """Who looks on."""

    async def see(self, seen: Seen, /) -> None: ...

    def forget(self, place: str, /) -> None:
        """All of a place is about to be shown anew."""


class View(Protocol):
    """A view of some containers. `name` is what a log calls it."""

    @property
    def name(self) -> str: ...

    async def follow(self, sight: Sight, /) -> None:
        """Show what there is, then what changes, until the runtime ends it; then it is to be called again.

        Raises:
            NoetlError: the runtime does not answer, or says no.
        """


class Runtime(Protocol):
    """Where containers run. Every method raises ToolError if it does not answer, or says no. `name` acts for blocks."""

    @property
    def name(self) -> str: ...

    def place_of(self, config: ContainerConfig) -> str | None:
        """The namespace of a task; None where there are none. Raises ToolError for what this runtime cannot do."""

    async def start(self, call: Call) -> str:
        """Start the container of a block's run, unless it was started already; return what people call it."""

    async def output(self, call: Call, name: str | None) -> Output:
        """Of the container of that name if the block's attempt has started it, else of the newest that it has started."""

    async def stop(self, call: Call) -> None:
        """Delete what the attempt has started and what is not told yet, in whichever segment."""

    def views(self) -> tuple[View, ...]:
        """Which together show every container of the installation whose end is not told."""

    async def mark(self, seen: Seen, end: End) -> None:
        """The end is told: from here on it is shown no more. What has changed meanwhile is shown again."""

    async def delete(self, seen: Seen) -> None:
        """Stop and delete it; that it is gone is as good."""

    async def close(self) -> None: ...


def digest_of(callback: str) -> str:
    return identity("container", callback).hex()[:32]


def name_of(digest: str) -> str:
    return f"noetl-{digest}"


def labels_of(callback: str, instance: str) -> dict[str, str]:
    token = read(callback)
    return {
        CALLBACK: digest_of(callback),
        EXECUTION: str(token.execution),
        **labels_of_attempt(instance, token),
    }


def labels_of_attempt(instance: str, token: Token) -> dict[str, str]:
    """What all containers share that one attempt of a block has started, in whichever segment."""
    block = identity("container block", f"{token.execution}/{token.block}").hex()[:32]
    return {INSTANCE: instance, BLOCK: block, ATTEMPT: str(token.attempt)}
