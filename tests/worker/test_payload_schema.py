"""`policy.schema.input`: a request whose payload the playbook does not take ends before it begins."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.values import Error
from noetl_stream.errors import InvalidPlaybook
from noetl_stream.ports.frames import Cache
from tests.worker.stage import plan_of, played

STEPS = "workflow: [{step: a, tool: {kind: noop, result: '{{ n }}'}}]\n"
SCHEMA = (
    "{type: object, required: [n], properties: {n: {type: integer, minimum: 1}, "
    "tags: {type: array, items: {type: string, pattern: '^[a-z]+$'}}}}"
)


async def refused(payload: Any, cache: Cache, more: str = "", schema: str = SCHEMA) -> Error | None:
    document = f"policy: {{schema: {{input: {schema}{more}}}}}\n{STEPS}"
    return (await played(document, cache, payload=payload)).log.error


async def test_a_payload_that_fits_is_taken(cache: Cache) -> None:
    assert await refused({"n": 3, "tags": ["a"], "more": True}, cache) is None


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (None, 'the payload is not what the playbook takes, `required: ["n"]`'),
        ({"n": "secret"}, 'the payload.n is not what the playbook takes, `type: "integer"`'),
        ({"n": 0}, "the payload.n is not what the playbook takes, `minimum: 1`"),
        (
            {"n": 1, "tags": ["a", "B"]},
            'the payload.tags[1] is not what the playbook takes, `pattern: "^[a-z]+$"`',
        ),
    ],
)
async def test_a_payload_that_does_not_fit_fails_the_execution_without_telling_its_values(
    cache: Cache, payload: Any, why: str
) -> None:
    error = await refused(payload, cache)

    assert error is not None
    assert error.kind == "validation"
    assert why in error.message
    assert "secret" not in error.message


async def test_where_inputs_may_drift_any_payload_is_taken(cache: Cache) -> None:
    assert await refused({"n": "x"}, cache, ", on_drift: widen") is None


async def test_a_reference_out_of_the_document_is_not_followed(cache: Cache) -> None:
    error = await refused({"n": 1}, cache, schema="{$ref: 'http://127.0.0.1:9/schema.json'}")

    assert error is not None
    assert "the schema cannot be asked" in error.message


def test_what_is_no_json_schema_is_an_error_with_its_place() -> None:
    with pytest.raises(
        InvalidPlaybook, match=r"sales.yaml:4:26: error: `policy.schema.input` is no JSON Schema"
    ):
        plan_of("policy: {schema: {input: {type: 7}}}\n" + STEPS)
