"""A small server of a test's own, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import BaseServer


@contextmanager
def in_a_thread(server: BaseServer, ending: Callable[[], object] = lambda: None) -> Iterator[None]:
    """It serves until the block ends; `ending` is called then, and lets go of whoever still waits for an answer."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        ending()
        server.shutdown()
        server.server_close()
        thread.join()
