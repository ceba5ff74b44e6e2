"""Holds that every check of the conformance script with which brokers were chosen lives on in this suite."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKS = {
    "api_versions": "test_a_broker_names_every_request_that_our_clients_send",
    "create_topic_8p_metadata": "test_a_topic_has_the_partitions_it_was_created_with",
    "create_topic_configs_and_describe": "test_settings_given_at_creation_are_described",
    "alter_configs": "test_a_changed_setting_is_described",
    "create_existing_topic_errors": "test_a_topic_cannot_be_created_twice",
    "create_partitions": "test_partitions_can_be_added",
    "delete_topic": "test_a_deleted_topic_is_no_longer_listed",
    "delete_recreate_topic_is_empty": "test_a_topic_created_again_starts_empty",
    "auto_create_topic": "test_a_record_for_a_new_topic_creates_it",
    "keys_headers_timestamps": "test_keys_headers_and_timestamps_come_back_as_sent",
    "compression_gzip": "test_compressed_batches_come_back_whole_and_in_order",
    "compression_lz4": "test_compressed_batches_come_back_whole_and_in_order",
    "compression_snappy": "test_compressed_batches_come_back_whole_and_in_order",
    "compression_zstd": "test_compressed_batches_come_back_whole_and_in_order",
    "message_1MB": "test_a_large_record_comes_back_whole",
    "message_5MB": "test_a_large_record_comes_back_whole",
    "small_fetch_bytes_still_progress": (
        "test_a_record_above_the_fetch_limit_does_not_block_those_behind_it"
    ),
    "offsets_beginning_end_seek": "test_a_reader_can_seek_within_beginning_and_end",
    "offsets_for_times": "test_a_time_has_the_first_offset_at_or_after_it",
    "offsets_for_times_inside_batch": ("test_a_time_inside_a_batch_has_the_offset_of_its_record"),
    "long_poll_latency": "test_a_waiting_reader_gets_a_record_at_once",
    "idempotent_producer": "test_an_idempotent_producer_stores_every_record_once",
    "idempotent_dedup_duplicate_batch": ("test_a_batch_sent_twice_by_an_idempotent_producer_is_stored_once"),
    "transactions_commit_abort_read_committed": "test_a_reader_of_committed_records_sees_neither_aborted_nor_open_ones",
    "transactions_send_offsets": "test_offsets_are_committed_with_their_transaction_or_not_at_all",
    "transactions_fencing": "test_a_second_producer_of_a_transactional_id_fences_the_first",
    "group_rebalance_join_leave": ("test_a_group_shares_its_partitions_as_members_join_and_leave"),
    "group_commit_fetch_resume": "test_a_group_resumes_at_its_committed_offset",
    "group_describe": "test_a_group_is_described_with_its_members",
    "group_static_membership": "test_a_member_with_a_static_id_gets_its_partitions_back",
    "delete_records": "test_deleted_records_move_the_beginning",
    "out_of_range_reset": "test_a_reader_beyond_the_end_is_reset",
    "compaction_not_eating_data": ("test_compaction_keeps_the_last_value_of_each_key_and_every_offset"),
}
"""Each check of the script, and the test that took it over."""


WRITTEN = {
    name
    for file in Path(__file__).parent.glob("test_*.py")
    for name in re.findall(r"^async def (test_\w+)", file.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize(("check", "test"), CHECKS.items())
def test_a_check_of_the_conformance_script_is_a_test_here(check: str, test: str) -> None:
    assert test in WRITTEN, f"{check} is no longer checked: name the test that does"
