"""The group coordinator: one state machine per group, one timer for its next deadline, and what is durable about it.

Memberships live in memory: after a restart of the broker every member joins again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kio.schema.errors import ErrorCode

from noetl_stream.broker.group import Group, GroupState
from noetl_stream.broker.member import JoinRequest
from noetl_stream.broker.offset_expiry import expired
from noetl_stream.broker.offsets import Offsets, TopicPartition
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.subscription import CONSUMER, subscribed_topics
from noetl_stream.commitlog.refusal import Refused

logger = logging.getLogger(__name__)

HasPendingOffset = Callable[[str, TopicPartition], bool]


class Groups:
    """Every group by its id. A group is known while it has members, positions, or was emptied not long ago."""

    def __init__(self, settings: BrokerSettings, offsets: Offsets) -> None:
        self._settings, self._offsets = settings, offsets
        self._groups: dict[str, Group] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.now: Callable[[], float] = asyncio.get_running_loop().time

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._groups, *self._offsets.groups())))

    def find(self, group_id: str) -> Group | None:
        return self._groups.get(group_id)

    def state(self, group_id: str) -> GroupState:
        """Dead for a group that nobody knows."""
        group = self._groups.get(group_id)
        if group is not None:
            return group.state
        durable = self._offsets.known(group_id) is not None or self._offsets.of(group_id)
        return GroupState.EMPTY if durable else GroupState.DEAD

    def protocol_type(self, group_id: str) -> str:
        """Empty for a group that never had members: then its positions were committed from outside."""
        known = self._offsets.known(group_id)
        group = self._groups.get(group_id)
        return group.protocol_type if group is not None else known.protocol_type if known is not None else ""

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    # Membership.

    def existing(self, group_id: str) -> Group:
        """Raises Refused for a group without members, where nobody is known."""
        if not group_id:
            raise Refused(ErrorCode.invalid_group_id)
        group = self._groups.get(group_id)
        if group is None:
            raise Refused(ErrorCode.unknown_member_id)
        return group

    def joined_by(self, group_id: str, request: JoinRequest) -> Group:
        """The group that such a member may join, made for the first one.

        Raises:
            Refused: no such group, or a session outside the broker's bounds.
        """
        lowest, highest = self._settings.min_session_timeout, self._settings.max_session_timeout
        if not group_id:
            raise Refused(ErrorCode.invalid_group_id)
        if not lowest <= request.session_timeout <= highest:
            raise Refused(ErrorCode.invalid_session_timeout)
        if group_id not in self._groups:
            if request.member_id:
                raise Refused(ErrorCode.unknown_member_id)
            delay, size = self._settings.initial_rebalance_delay, self._settings.max_group_size
            self._groups[group_id] = Group(initial_delay=delay, max_size=size)
        return self._groups[group_id]

    def check_commit(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        *,
        in_transaction: bool = False,
    ) -> None:
        """Raises Refused if such a member may not commit. Who names no generation may, to a group nobody is in."""
        group = self._groups.get(group_id)
        if group is not None:
            now = self.now()
            group.check_commit(member_id, instance_id, generation, now, in_transaction=in_transaction)
        elif generation >= 0:
            unknown = self.state(group_id) is GroupState.DEAD
            raise Refused(ErrorCode.group_id_not_found if unknown else ErrorCode.unknown_member_id)

    # Time.

    @contextmanager
    def changing(self, group_id: str, group: Group) -> Iterator[None]:
        """What is done to a group moves its deadline, and may bring its first member or take its last, even refused."""
        try:
            yield
        finally:
            self._arm(group_id, group)
            self._note_members(group_id, group)

    def _note_members(self, group_id: str, group: Group) -> None:
        known = self._offsets.known(group_id)
        is_empty = group.state is GroupState.EMPTY
        was_empty = known is None or known.empty_since >= 0
        if is_empty == was_empty:
            return
        try:
            self._offsets.note_members(group_id, group.protocol_type, any_left=not is_empty)
        except OSError as error:
            logger.warning("that group %s changed is noted at its next change: %s", group_id, error)

    def _arm(self, group_id: str, group: Group) -> None:
        """Heartbeats only move deadlines later, so a timer that rings early just looks again."""
        self._disarm(group_id)
        if group.deadline is not None:
            loop = asyncio.get_running_loop()
            self._timers[group_id] = loop.call_at(group.deadline, self._expire, group_id, group)

    def _disarm(self, group_id: str) -> None:
        timer = self._timers.pop(group_id, None)
        if timer is not None:
            timer.cancel()

    def _expire(self, group_id: str, group: Group) -> None:
        with self.changing(group_id, group):
            group.expire(self.now())

    # The end of groups and of positions.

    async def delete(self, group_id: str) -> None:
        """Forget a group and its positions.

        Raises:
            Refused: it has members, or is not known.
        """
        state = self.state(group_id)
        if state is GroupState.DEAD:
            raise Refused(ErrorCode.group_id_not_found)
        if state is not GroupState.EMPTY:
            raise Refused(ErrorCode.non_empty_group)
        group = self._groups.pop(group_id, None)
        if group is not None:
            group.forget()
            self._disarm(group_id)
        await self._offsets.forget(group_id)

    def subscribed(self, group_id: str) -> frozenset[str] | None:
        """The topics that the members of a stable group of consumers read, or None where that cannot be told."""
        group = self._groups.get(group_id)
        if group is None or group.state is GroupState.EMPTY:
            return frozenset()
        if group.protocol_type != CONSUMER or group.state is not GroupState.STABLE:
            return None
        topics = [
            subscribed_topics(metadata) for _, metadata in group.members.metadata(group.protocol).values()
        ]
        known = [names for names in topics if names is not None]
        return frozenset().union(*known) if len(known) == len(topics) else None

    async def forget_unused(self, before: int, has_pending: HasPendingOffset) -> None:
        """Forget positions that nobody has used since `before` (milliseconds), and empty groups that have none left."""
        for group_id in list(self):
            positions, known = self._offsets.of(group_id), self._offsets.known(group_id)
            unused = expired(positions, known, self.subscribed(group_id), before)
            unused = [at for at in unused if not has_pending(group_id, at)]
            if unused:
                await self._offsets.forget_positions(group_id, unused)
            if self._is_spent(group_id):
                await self.delete(group_id)

    def _is_spent(self, group_id: str) -> bool:
        group = self._groups.get(group_id)
        vacant = group.is_forgettable if group is not None else self.state(group_id) is GroupState.EMPTY
        return vacant and not self._offsets.of(group_id)
