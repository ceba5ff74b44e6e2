"""Opens a batch to find a record by its time. aiokafka's codec also undoes the compression."""

from __future__ import annotations


def first_at_or_after(batch: bytes, timestamp: int, start_offset: int) -> tuple[int, int] | None:
    """(timestamp, offset) of the first record of the batch at or after both, or None."""
    from aiokafka.record.default_records import DefaultRecordBatch  # loaded for the first such question only

    for record in DefaultRecordBatch(bytearray(batch)):
        if record.timestamp >= timestamp and record.offset >= start_offset:
            return record.timestamp, record.offset
    return None
