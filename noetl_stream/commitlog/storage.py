"""What all partitions of a broker share: the sweep that syncs them, the thread for checkpoints, the open segments."""

from __future__ import annotations

from noetl_stream.commitlog.checkpoints import CheckpointWriter
from noetl_stream.commitlog.fsync import GroupCommit
from noetl_stream.commitlog.open_segments import OpenSegments

KEPT_OPEN = 64


class Storage:
    """Lives on one event loop."""

    def __init__(self, commit: GroupCommit, *, kept_open: int = KEPT_OPEN) -> None:
        self.commit = commit
        self.checkpoints = CheckpointWriter()
        self.open_segments = OpenSegments(kept_open)

    async def close(self) -> None:
        """Finish what is under way. The commit is closed by whoever made it."""
        await self.checkpoints.close()
        self.open_segments.close()
