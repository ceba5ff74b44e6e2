"""What several tests begin with: a member that joins, a client of no name, and every request in every version."""

from __future__ import annotations

import pytest

from noetl_stream.broker.api import SUPPORTED
from noetl_stream.broker.member import JoinRequest
from noetl_stream.broker.protocol import Connection

NOBODY = Connection(client_host="", broker_host="", broker_port=0)

EVERY_VERSION = [
    pytest.param(api, version, id=f"{api.name}-v{version}")
    for api, (lowest, highest) in SUPPORTED.items()
    for version in range(lowest, highest + 1)
]

JOIN = JoinRequest(
    member_id="",
    new_member_id="m",
    instance_id=None,
    client_id="c",
    client_host="127.0.0.1",
    session_timeout=10.0,
    rebalance_timeout=30.0,
    protocol_type="consumer",
    protocols={"range": b"topics"},
    must_know_its_id=False,
    may_skip_assignment=False,
)
"""A new dynamic member of consumers, who is to be called `m`."""
