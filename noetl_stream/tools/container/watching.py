"""Tells blocks how their Jobs have ended. Nothing is kept here: each start lists the Jobs whose end is not told yet.

Each worker process has a watcher, so several tell of one end; the second finds the block answered, and counts for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

from noetl_stream.core.events import BlockId, CallbackReceived
from noetl_stream.core.tokens import Token, read
from noetl_stream.errors import InvalidRequest, NoetlError
from noetl_stream.ports.facts import FactLog
from noetl_stream.tools.container.cluster import Cluster, Kind, Refused, Wanted
from noetl_stream.tools.container.job import (
    CALLBACK,
    INSTANCE,
    TOLD,
    End,
    Why,
    end_of,
    exit_code,
    name_of,
    newest,
    unpullable,
    untold,
    why,
)

log = logging.getLogger(__name__)

AGAIN_AFTER: Final = 2.0
REMEMBERED: Final = 10_000
MESSAGE_LENGTH: Final = 1024


class See(Protocol):
    """Looks at one object as it is now, or was when it went."""

    def __call__(self, item: Mapping[str, Any], /, *, gone: bool) -> Awaitable[None]: ...


class Watcher:
    """Of all namespaces that the installation uses. `stop_execution` and `stop_block` are hints, as workers get them."""

    def __init__(self, cluster: Cluster, facts: FactLog, *, again_after: float = AGAIN_AFTER) -> None:
        self._cluster, self._facts, self._again_after = cluster, facts, again_after
        self._open: dict[str, Mapping[str, Any]] = {}
        self._unwanted: OrderedDict[tuple[int, BlockId | None], float] = OrderedDict()
        self._hinted = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        instance = self._cluster.address.instance
        pending = Wanted(labels=f"{INSTANCE}={instance},{CALLBACK}", fields="status.phase=Pending")
        async with asyncio.TaskGroup() as group:
            for namespace in self._cluster.address.namespaces:
                jobs = Wanted(labels=untold(instance))
                group.create_task(self._follow("jobs", namespace, jobs, self._see_job))
                group.create_task(self._follow("pods", namespace, pending, self._see_pod))
            group.create_task(self._stop_unwanted())

    def stop_execution(self, execution: int) -> None:
        """An execution is over: its Jobs are deleted."""
        self._stop(execution, None, float("inf"))

    def stop_block(self, execution: int, block: BlockId, attempt: int) -> None:
        """A block's attempts up to this one are no longer wanted."""
        self._stop(execution, block, attempt)

    def _stop(self, execution: int, block: BlockId | None, attempt: float) -> None:
        self._unwanted[execution, block] = attempt
        if len(self._unwanted) > REMEMBERED:
            self._unwanted.popitem(last=False)
        self._hinted.set()

    async def _follow(self, kind: Kind, namespace: str, wanted: Wanted, see: See) -> None:
        """List, then follow what changes, until the API ends the watch or its past is too short; then again."""
        said = ""
        while True:
            try:
                await self._once(kind, namespace, wanted, see)
                said = ""
            except NoetlError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s in '%s' are not watched for now: %s", kind, namespace, said)
            await asyncio.sleep(self._again_after)

    async def _once(self, kind: Kind, namespace: str, wanted: Wanted, see: See) -> None:
        listed = await self._cluster.list(kind, namespace, wanted)
        if kind == "jobs":
            self._forget(namespace)
        for item in listed["items"]:
            await see(item, gone=False)
        async for event in self._cluster.watch(kind, namespace, wanted, _version(listed)):
            if event["type"] == "ERROR":
                return
            await see(event["object"], gone=event["type"] == "DELETED")

    def _forget(self, namespace: str) -> None:
        self._open = {u: job for u, job in self._open.items() if job["metadata"]["namespace"] != namespace}

    async def _see_job(self, job: Mapping[str, Any], /, *, gone: bool) -> None:
        uid = job["metadata"]["uid"]
        self._open.pop(uid, None)
        if (token := _waiting(job)) is None or (gone and await self._stands(job)):
            return
        pods = [] if gone else await self._ended_pods(job)
        end: End | None = "lost" if gone else end_of(job, pods)
        if end is not None:
            await self._end(job, token, end, pods, why(job, pods))
        elif self._is_unwanted(token):
            await self._cancel(job, token)
        else:
            self._open[uid] = job

    async def _stands(self, job: Mapping[str, Any]) -> bool:
        """Whether it is there: a watch calls deleted, and shows as it was before, what its selector means no longer."""
        metadata = job["metadata"]
        found = await self._cluster.find("jobs", metadata["namespace"], metadata["name"])
        return found is not None and found["metadata"]["uid"] == metadata["uid"]

    async def _see_pod(self, pod: Mapping[str, Any], /, *, gone: bool) -> None:
        """A Job whose image cannot be had would try for ever: it has failed, and is deleted."""
        reason = None if gone else unpullable(pod)
        if reason is None:
            return
        metadata = pod["metadata"]
        job = await self._cluster.find("jobs", metadata["namespace"], name_of(metadata["labels"][CALLBACK]))
        if job is not None and (token := _waiting(job)) is not None:
            await self._end(job, token, "failed", [pod], reason)
            await self._delete(job)

    async def _ended_pods(self, job: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The pods of a Job that has ended, the newest last; none of one that runs, which nobody needs."""
        if end_of(job, []) is None:
            return []
        metadata = job["metadata"]
        own = Wanted(labels=f"{CALLBACK}={metadata['labels'][CALLBACK]}")
        return newest((await self._cluster.list("pods", metadata["namespace"], own))["items"])

    async def _end(
        self, job: Mapping[str, Any], token: Token, end: End, pods: Sequence[Mapping[str, Any]], reason: Why
    ) -> None:
        """Tell the block, and only when that is durable let the Job go."""
        answer = {
            "status": end,
            "job": job["metadata"]["name"],
            "exit_code": exit_code(pods),
            "reason": reason.reason,
            "message": None if reason.message is None else str(reason.message)[:MESSAGE_LENGTH],
        }
        event = CallbackReceived(
            block=token.block,
            attempt=token.attempt,
            segment=token.segment,
            seal=token.seal,
            time=time.time(),
            answer=answer,
            actor="kubernetes",
        )
        await self._facts.report(token.execution, event)
        await self._mark(job, end)

    async def _mark(self, job: Mapping[str, Any], end: End) -> None:
        """From here on the Job is of no concern. Where it has changed meanwhile, that change comes here, and it is told again."""
        metadata = job["metadata"]
        change = {
            "resourceVersion": metadata["resourceVersion"],
            "labels": {TOLD: end},
            "finalizers": [each for each in metadata.get("finalizers") or () if each != TOLD],
        }
        try:
            await self._cluster.patch(metadata["namespace"], metadata["name"], {"metadata": change})
        except Refused as refused:
            if refused.status not in (404, 409):
                raise

    async def _cancel(self, job: Mapping[str, Any], token: Token) -> None:
        await self._end(job, token, "cancelled", [], Why(None, None))
        await self._delete(job)

    async def _delete(self, job: Mapping[str, Any]) -> None:
        await self._cluster.delete(job["metadata"]["namespace"], job["metadata"]["name"])

    def _is_unwanted(self, token: Token) -> bool:
        whole = self._unwanted.get((token.execution, None), -1)
        return token.attempt <= max(whole, self._unwanted.get((token.execution, token.block), -1))

    async def _stop_unwanted(self) -> None:
        """Heed hints that come after their Jobs were seen."""
        while True:
            await self._hinted.wait()
            self._hinted.clear()
            try:
                for uid, job in list(self._open.items()):
                    if (token := _waiting(job)) is not None and self._is_unwanted(token):
                        await self._cancel(job, token)
                        self._open.pop(uid, None)
            except NoetlError as error:
                log.warning("a Job that nobody wants is not deleted yet: %s", error)
                self._hinted.set()
                await asyncio.sleep(self._again_after)


def _version(listed: Mapping[str, Any]) -> str:
    return str(listed["metadata"]["resourceVersion"])


def _waiting(job: Mapping[str, Any]) -> Token | None:
    """Who waits for a Job; None where that is over, or, with a warning, where somebody has taken its token away."""
    metadata = job["metadata"]
    if TOLD in metadata["labels"]:
        return None
    try:
        return read(str((metadata.get("annotations") or {}).get(CALLBACK, "")))
    except InvalidRequest:
        log.warning("Job %s has lost its annotation %s; nobody hears of its end", metadata["name"], CALLBACK)
        return None
