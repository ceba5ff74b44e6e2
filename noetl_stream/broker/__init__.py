"""An embedded, durable, single-machine broker that speaks Kafka's own protocol.

It lets the very same agents and clients run with nothing installed but the wheel; see docs/broker.md.
"""
