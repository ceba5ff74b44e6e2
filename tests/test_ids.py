"""Derived identity: the same from the same, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noetl_stream.ids import (
    child_request,
    effect_key,
    execution_id,
    identity,
    keyed_request,
    offer_partition,
    partition_of,
    positioned_request,
)


def test_a_hash_never_changes() -> None:
    """Released: these stand in logs."""
    assert identity("ab", "c").hex() == "4162491f24e2a1dbaab3ca42bdf6415b"
    assert execution_id(keyed_request("default", "sales", "order-7")) == 7718574547906641771
    assert effect_key("7/load/0/0", "insert", 1) == "7a88db8f1443c7a2c0225643fe8bc2b4"


def test_parts_do_not_run_into_one_another() -> None:
    assert identity("ab", "c") != identity("a", "bc") != identity("abc")
    assert identity() != identity("")


@given(st.binary(min_size=16, max_size=16))
def test_an_execution_id_is_a_positive_integer_of_63_bits(hashed: bytes) -> None:
    assert 0 < execution_id(hashed) < 2**63


def test_a_hash_of_nothing_but_zeros_is_still_an_id() -> None:
    assert execution_id(bytes(16)) == 1
    assert execution_id(b"\x80" + bytes(15)) == 1


def test_requests_differ_by_everything_that_names_them() -> None:
    names = {
        keyed_request("t", "p", "k"),
        keyed_request("u", "p", "k"),
        keyed_request("t", "q", "k"),
        keyed_request("t", "p", "l"),
        positioned_request("t", 0, 0, 0),
        positioned_request("t", 1, 0, 0),
        positioned_request("t", 0, 1, 0),
        positioned_request("t", 0, 0, 1),
        child_request("b", 0, "t", 0),
        child_request("b", 1, "t", 0),
        child_request("b", 0, "t", 1),
    }

    assert len(names) == 11


def test_an_effect_key_differs_by_task_and_visit_alone() -> None:
    assert len({effect_key("b", "t", 0), effect_key("b", "t", 1), effect_key("b", "u", 0)}) == 3
    assert effect_key("b", "t", 0) == effect_key("b", "t", 0)


@given(st.integers(1, 2**63 - 1), st.integers(1, 128))
def test_a_machine_lives_in_one_of_the_partitions(execution: int, partitions: int) -> None:
    assert 0 <= partition_of(execution, partitions) < partitions


def test_a_blocks_offers_go_to_one_partition_and_blocks_to_all() -> None:
    assert offer_partition("7/load/0/0", 8) == offer_partition("7/load/0/0", 8)
    assert {offer_partition(f"7/load/0/{n}", 8) for n in range(200)} == set(range(8))
