"""Something that grows, and those who wait for more of it."""

from __future__ import annotations

from collections.abc import Callable


class Watched:
    """Tells its watchers, on the event loop, whenever there is more to see."""

    def __init__(self) -> None:
        self._watchers: set[Callable[[], None]] = set()

    def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever more can be read, until `unwatch`."""
        self._watchers.add(wake)

    def unwatch(self, wake: Callable[[], None]) -> None:
        self._watchers.discard(wake)

    def wake(self) -> None:
        for wake in tuple(self._watchers):
            wake()
