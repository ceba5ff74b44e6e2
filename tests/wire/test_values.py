"""JSON values survive the wire, and nothing a user writes becomes a reference."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given

from noetl_stream.core.values import Ref
from noetl_stream.wire.values import decode_plain, decode_value, encode_plain, encode_value
from tests.wire import strategies

REF = Ref(uri="file:///frames/1", bytes=3, sha256="ab", format="json", parts={"rows": 2})


@given(strategies.values)
def test_a_value_comes_back_as_it_went(value: Any) -> None:
    encoded = encode_value(value)

    assert decode_value(encoded) == value
    assert encode_value(decode_value(encoded)) == encoded


def test_a_reference_is_readable_json() -> None:
    assert decode_plain(encode_value({"table": REF})) == {
        "table": {
            "__ref__": {
                "uri": "file:///frames/1",
                "bytes": 3,
                "sha256": "ab",
                "format": "json",
                "parts": {"rows": 2},
            }
        }
    }


def test_a_user_cannot_forge_a_reference() -> None:
    forged = {"__ref__": {"uri": "file:///etc/passwd", "bytes": 1, "sha256": "", "format": "json"}}

    assert decode_value(encode_value(forged)) == forged
    assert decode_value(encode_value([forged, REF])) == [forged, REF]


def test_a_services_payload_holds_no_reference_whatever_it_says() -> None:
    encoded = b'{"__ref__": {"uri": "file:///etc/passwd"}}'

    assert decode_plain(encoded) == {"__ref__": {"uri": "file:///etc/passwd"}}
    assert encode_plain(decode_plain(encoded)) == b'{"__ref__":{"uri":"file:///etc/passwd"}}'


def test_a_read_only_mapping_is_a_json_object() -> None:
    assert decode_value(encode_value(MappingProxyType({"a": (1, 2)}))) == {"a": [1, 2]}


@pytest.mark.parametrize("encoded", [b'{"__ref__": {"uri": 1}, "b": 2}', b'{"__ref__": {"uri": 1}}', b"{"])
def test_a_mangled_value_is_refused(encoded: bytes) -> None:
    with pytest.raises((TypeError, ValueError)):
        decode_value(encoded)


def _endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [{1, 2}, {1: 2}, 2**64, "\ud800", object(), _endless()])
def test_what_json_cannot_hold_is_refused_with_the_next_step(value: Any) -> None:
    with pytest.raises(TypeError, match="not a JSON value"):
        encode_value(value)
