"""A service that has a playbook run: a request on Kafka, the answer on Kafka, and nothing of ours imported."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def ask(kafka: str, playbook: str, payload: dict[str, Any], *, to: str, replies: str) -> dict[str, Any]:
    """Send a request to the topic `to`; the reply is JSON with `status`, `result` and `error`."""
    key = str(uuid4())  # asked again with the same key, a playbook does not run again: the reply comes again
    request = {"playbook": playbook, "payload": payload, "idempotency_key": key, "correlation": key}
    async with AIOKafkaConsumer(replies, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            await producer.send_and_wait(to, json.dumps(request | {"reply_to": replies}).encode())
        answer = await anext(reply async for reply in consumer if reply.key == key.encode())
    return dict(json.loads(answer.value))


if __name__ == "__main__":
    print(asyncio.run(ask("localhost:9092", "hello", {"who": "you"}, to="noetl.requests", replies="replies")))
