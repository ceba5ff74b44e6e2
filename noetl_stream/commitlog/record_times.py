"""Opens a batch to find a record by its time."""

from __future__ import annotations

from noetl_stream.commitlog.batch import APPEND_TIME, BatchHeader
from noetl_stream.commitlog.record_codec import read_records


def first_at_or_after(
    header: BatchHeader, batch: bytes, timestamp: int, start_offset: int
) -> tuple[int, int] | None:
    """(timestamp, offset) of the first record of the batch at or after both, or None.

    Raises:
        MalformedRecords: the batch cannot be read, or not in bounded memory.
    """
    for record in read_records(header, batch):
        appended = header.attributes & APPEND_TIME
        time = header.max_timestamp if appended else header.base_timestamp + record.timestamp_delta
        offset = header.base_offset + record.offset_delta
        if time >= timestamp and offset >= start_offset:
            return time, offset
    return None
