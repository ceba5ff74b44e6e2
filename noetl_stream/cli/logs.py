"""What of the log lines a command shows on stderr."""

from __future__ import annotations

import logging
import sys

_CLIENTS = "aiokafka"
_PRINTED = "noetl_stream.tools.warm.pool"


def of_a_command() -> None:
    """Warnings alone. A client's tries to connect are not shown: what comes of them is one sentence of ours."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger(_CLIENTS).setLevel(logging.CRITICAL)


def of_a_role() -> None:
    """Our own words and others' warnings. Faust names a service after our module that defines its class."""
    of_a_command()
    logging.getLogger().handlers[0].setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.getLogger("noetl_stream").setLevel(logging.INFO)
    logging.getLogger("noetl_stream.agents.app").setLevel(logging.WARNING)


def once_connected() -> None:
    """From now on a lost broker is news."""
    logging.getLogger(_CLIENTS).setLevel(logging.WARNING)


def show_prints() -> None:
    """What a playbook's own code prints is part of its progress."""
    printed = logging.getLogger(_PRINTED)
    printed.setLevel(logging.INFO)
    printed.addHandler(_Prints())
    printed.propagate = False


class _Prints(logging.Handler):
    """Looks up stderr at every line: a live table puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage().rstrip(), file=sys.stderr)
