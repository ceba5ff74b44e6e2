"""The broker as a whole: opens its data directory, recovers, listens, and hands each request to who answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, assert_never

from noetl_stream.broker.admin import Admin
from noetl_stream.broker.api import Api
from noetl_stream.broker.cleaning import Cleaning
from noetl_stream.broker.config_requests import ConfigRequests
from noetl_stream.broker.door import new_server
from noetl_stream.broker.entries import (
    Entry,
    GroupChanged,
    GroupDeleted,
    LogCleaned,
    LogSynced,
    OffsetsCommitted,
    OffsetsForgotten,
    ProducerIdsReserved,
    RecordsDeleted,
    TopicChanged,
    TopicCreated,
    TopicDeleted,
    TransactionChanged,
    TransactionForgotten,
)
from noetl_stream.broker.expiry import Expiry
from noetl_stream.broker.fetch import Fetch
from noetl_stream.broker.group_admin import GroupAdmin
from noetl_stream.broker.group_requests import GroupRequests
from noetl_stream.broker.groups import Groups
from noetl_stream.broker.journal import Journal, read_journal, rewrite_journal
from noetl_stream.broker.lock import DataDirectory
from noetl_stream.broker.log_requests import LogRequests
from noetl_stream.broker.metadata import Metadata
from noetl_stream.broker.metrics_page import MetricsPage
from noetl_stream.broker.offset_requests import OffsetRequests
from noetl_stream.broker.offsets import Offsets
from noetl_stream.broker.produce import Produce
from noetl_stream.broker.protocol import Fields, Request, api_versions
from noetl_stream.broker.sasl import refuse_authentication, refuse_handshake
from noetl_stream.broker.server import Answer, Server
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.topic_pages import TopicPages
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transaction_admin import TransactionAdmin
from noetl_stream.broker.transaction_requests import TransactionRequests
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.fsync import GroupCommit
from noetl_stream.commitlog.storage import Storage
from noetl_stream.commitlog.topic_files import TopicFiles
from noetl_stream.errors import InfrastructureError

if TYPE_CHECKING:
    from noetl_stream.broker.metrics import Metrics


class EmbeddedBroker:
    """A broker inside this process: `async with EmbeddedBroker(path) as broker: broker.bootstrap`.

    It must be used on the event loop it was entered on. `failed` is set if the disk fails while it runs; then no
    produce is acknowledged any more, and the broker must be stopped.

    Raises (on entering):
        InfrastructureError: the directory is in use or damaged, or the address cannot be bound.
    """

    def __init__(self, data: Path, *, settings: BrokerSettings | None = None) -> None:
        self._data = data
        self._settings = settings or BrokerSettings()
        self._journal: Journal | None = None
        self._metrics = None if self._settings.metrics_port is None else _new_metrics()
        self.bootstrap = self.metrics_url = ""

    async def __aenter__(self) -> Self:
        self.failed: asyncio.Future[InfrastructureError] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as opened:
            self._directory = DataDirectory(self._data)
            opened.callback(self._directory.release)
            await self._recover(opened)
            self.bootstrap = await self._listen(opened)
            self._directory.announce(self.bootstrap)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def _recover(self, opened: AsyncExitStack) -> None:
        logs, journal = self._directory.logs, self._directory.journal
        _require_journal(logs, journal)
        logs.mkdir(exist_ok=True)
        self._commit = GroupCommit(
            self._settings.fsync,
            self.failed.set_result,
            interval=self._settings.fsync_interval,
            timed=None if self._metrics is None else self._metrics.synced,
        )
        self._storage = Storage(self._commit)
        self._topics = Topics(TopicFiles(logs, self._storage), self._settings.default_partitions)
        self._offsets = Offsets()
        self._transactions = Transactions(self._topics, self._offsets)
        self._topics.when_deleted(self._offsets.forget_topic, self._transactions.forget_topic)
        opened.push_async_callback(self._close_files)
        for entry in read_journal(journal):
            self._apply(entry)
        await asyncio.to_thread(self._topics.open)
        rewrite_journal(journal, self._entries())
        self._journal = Journal(journal, self._commit, rewrite_above=self._settings.rewrite_journal_above)
        opened.push_async_callback(self._checkpoint)
        for owner in (self._topics, self._offsets, self._transactions):
            owner.record_changes_in(self._journal)
        opened.push_async_callback(self._transactions.close)
        self._offsets.close_sessions()
        await self._transactions.complete_unfinished()

    async def _checkpoint(self) -> None:
        """An orderly stop: everything is on the disk, and the next start reads nothing again."""
        self._topics.checkpoint()
        await self._commit.flush()

    async def _close_files(self) -> None:
        if self._journal is not None:
            await self._journal.settle()
        await self._commit.close()
        await self._storage.close()
        self._topics.close()
        if self._journal is not None:
            self._journal.close()

    def _apply(self, entry: Entry) -> None:
        match entry:
            case (
                TopicCreated()
                | TopicChanged()
                | TopicDeleted()
                | RecordsDeleted()
                | LogCleaned()
                | LogSynced()
            ):
                self._topics.apply(entry)
            case OffsetsCommitted() | OffsetsForgotten() | GroupChanged() | GroupDeleted():
                self._offsets.apply(entry)
            case ProducerIdsReserved() | TransactionChanged() | TransactionForgotten():
                self._transactions.apply(entry)
            case _:
                assert_never(entry)

    def _entries(self) -> Iterator[Entry]:
        yield from self._topics.entries()
        yield from self._offsets.entries()
        yield from self._transactions.entries()

    async def _listen(self, opened: AsyncExitStack) -> str:
        settings = self._settings
        self._groups = Groups(settings, self._offsets)
        opened.callback(self._groups.close)
        self.cleaning = Cleaning(self._topics, settings)
        self._topics.before_removal(self.cleaning.leave)
        opened.push_async_callback(self.cleaning.close)
        self.cleaning.start()
        expiry = Expiry(settings, self._topics, self._groups, self._transactions)
        opened.push_async_callback(_cancel, asyncio.ensure_future(expiry.run()))
        self._answers = self._routes()
        answered = None if self._metrics is None else self._metrics.answered
        server = new_server(self._answer, settings, self._data, answered)
        opened.push_async_callback(server.close)
        try:
            port = await server.listen(settings.host, settings.port)
        except OSError as error:
            raise InfrastructureError(
                f"cannot listen at {settings.host}:{settings.port} ({error.strerror}); choose another port, or 0"
            ) from error
        if self._metrics is not None:
            self.metrics_url = await self._show(self._metrics, server, opened)
        return f"{settings.host}:{port}"

    async def _show(self, metrics: Metrics, server: Server, opened: AsyncExitStack) -> str:
        from noetl_stream.broker.metrics import Sources

        metrics.watch(
            Sources(
                server=server,
                topics=self._topics,
                groups=self._groups,
                transactions=self._transactions,
                cleaned=self.cleaning.counters,
            )
        )
        page = MetricsPage(metrics.page)
        opened.push_async_callback(page.close)
        return await page.listen(self._settings.metrics_port or 0)

    async def _answer(self, request: Request) -> Fields | None:
        return await self._answers[request.api](request)

    def _routes(self) -> dict[Api, Answer]:
        return {**self._log_routes(), **self._coordinator_routes()}

    def _log_routes(self) -> dict[Api, Answer]:
        metadata = Metadata(self._topics, auto_create=self._settings.auto_create_topics)
        admin = Admin(self._topics)
        logs = LogRequests(self._topics, self._directory.logs)
        produce = Produce(self._topics, self._transactions)
        configs = ConfigRequests(self._topics, self._settings)
        return {
            Api.PRODUCE: produce.produce,
            Api.FETCH: Fetch(self._topics).fetch,
            Api.LIST_OFFSETS: logs.list_offsets,
            Api.METADATA: metadata.metadata,
            Api.FIND_COORDINATOR: metadata.find_coordinator,
            Api.SASL_HANDSHAKE: refuse_handshake,
            Api.API_VERSIONS: _answer_api_versions,
            Api.CREATE_TOPICS: admin.create_topics,
            Api.DELETE_TOPICS: admin.delete_topics,
            Api.DELETE_RECORDS: admin.delete_records,
            Api.OFFSET_FOR_LEADER_EPOCH: logs.offset_for_leader_epoch,
            Api.DESCRIBE_CONFIGS: configs.describe,
            Api.ALTER_CONFIGS: configs.alter,
            Api.DESCRIBE_LOG_DIRS: logs.describe_log_dirs,
            Api.SASL_AUTHENTICATE: refuse_authentication,
            Api.CREATE_PARTITIONS: admin.create_partitions,
            Api.INCREMENTAL_ALTER_CONFIGS: configs.alter_incrementally,
            Api.LIST_PARTITION_REASSIGNMENTS: admin.list_partition_reassignments,
            Api.DESCRIBE_CLUSTER: metadata.describe_cluster,
            Api.LIST_CONFIG_RESOURCES: configs.list_resources,
            Api.DESCRIBE_TOPIC_PARTITIONS: TopicPages(self._topics).describe,
        }

    def _coordinator_routes(self) -> dict[Api, Answer]:
        offsets = OffsetRequests(self._topics, self._groups, self._offsets, self._transactions)
        transactions = TransactionRequests(self._topics, self._groups, self._transactions, self._settings)
        transaction_admin = TransactionAdmin(self._topics, self._transactions)
        members = GroupRequests(self._groups)
        groups = GroupAdmin(self._groups, self._offsets, self._topics)
        return {
            Api.OFFSET_COMMIT: offsets.commit,
            Api.OFFSET_FETCH: offsets.fetch,
            Api.JOIN_GROUP: members.join,
            Api.HEARTBEAT: members.heartbeat,
            Api.LEAVE_GROUP: members.leave,
            Api.SYNC_GROUP: members.sync,
            Api.DESCRIBE_GROUPS: groups.describe,
            Api.LIST_GROUPS: groups.list,
            Api.INIT_PRODUCER_ID: transactions.init_producer_id,
            Api.ADD_PARTITIONS_TO_TXN: transactions.add_partitions,
            Api.ADD_OFFSETS_TO_TXN: transactions.add_offsets,
            Api.END_TXN: transactions.end,
            Api.TXN_OFFSET_COMMIT: transactions.commit_offsets,
            Api.DELETE_GROUPS: groups.delete,
            Api.OFFSET_DELETE: groups.delete_offsets,
            Api.DESCRIBE_PRODUCERS: transaction_admin.describe_producers,
            Api.DESCRIBE_TRANSACTIONS: transaction_admin.describe,
            Api.LIST_TRANSACTIONS: transaction_admin.list,
        }


async def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _new_metrics() -> Metrics:
    from noetl_stream.broker.metrics import Metrics

    return Metrics()


async def _answer_api_versions(request: Request) -> Fields:
    return api_versions(request)


def _require_journal(logs: Path, journal: Path) -> None:
    """Records without the journal that names their topics: starting afresh would bury them."""
    if not journal.exists() and logs.is_dir() and any(logs.iterdir()):
        raise InfrastructureError(f"{journal} is missing beside existing logs; restore it from a copy")
