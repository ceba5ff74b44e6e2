"""`effects: exactly_once` on a database: what every SQL kind that promises it owes. A kind's tests inherit this suite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeAlias

import pytest

from noetl_stream.errors import ToolError
from tests.contract.sql import rows
from tests.tools.conftest import Run

Count: TypeAlias = Callable[[], Awaitable[int]]
BOOK = "INSERT INTO effects VALUES (1); SELECT count(*) AS n FROM effects"


class OnceContract:
    """The fixture `once` runs with the key "k1" unless told otherwise, on a database that is kept; `effects` is a table there."""

    large: ClassVar[str] = "repeat('x', 17000000)"

    @pytest.fixture
    async def effects(self, once: Run) -> Count:
        """How many effects there are, outside of any promise."""
        await once({"query": "CREATE TABLE effects (n INT)"}, once=False)

        async def count() -> int:
            found = await once({"query": "SELECT count(*) AS n FROM effects"}, once=False)
            return int(rows(found)[0]["n"])

        return count

    async def test_a_second_call_with_the_key_is_given_the_first_ones_result(
        self, once: Run, effects: Count
    ) -> None:
        first = await once({"query": BOOK})
        again = await once({"query": BOOK})

        assert again == first
        assert (rows(again), again["command_0"]["row_count"]) == ([{"n": 1}], 1)
        assert await effects() == 1

    async def test_another_key_is_another_effect(self, once: Run, effects: Count) -> None:
        await once({"query": BOOK})
        second = await once({"query": BOOK}, effect_key="k2")

        assert (rows(second), await effects()) == ([{"n": 2}], 2)

    async def test_a_failure_leaves_neither_effect_nor_key(self, once: Run, effects: Count) -> None:
        with pytest.raises(ToolError, match=r"^command_1: ") as failed:
            await once({"query": "INSERT INTO effects VALUES (1); INSERT INTO nowhere VALUES (1)"})

        assert (failed.value.kind, await effects()) == ("sql", 0)
        await once({"query": BOOK})
        assert await effects() == 1

    async def test_of_many_at_the_same_moment_one_causes_the_effect(self, once: Run, effects: Count) -> None:
        ended = await asyncio.gather(*(once({"query": BOOK}) for _ in range(8)), return_exceptions=True)

        results = [each for each in ended if not isinstance(each, BaseException)]
        assert results
        assert all(each == results[0] for each in results)
        assert all(each.retryable for each in ended if isinstance(each, ToolError))
        assert await effects() == 1

    @pytest.mark.parametrize("word", ["BEGIN", "COMMIT", "ROLLBACK"])
    async def test_a_transaction_of_its_own_is_refused(self, once: Run, effects: Count, word: str) -> None:
        with pytest.raises(ToolError, match=rf"command_1: {word} has no place in a task that runs `exactly_once`") as refused:  # fmt: skip
            await once({"query": f"INSERT INTO effects VALUES (1); /* now */ {word.lower()}"})

        assert (refused.value.kind, await effects()) == ("validation", 0)

    async def test_a_result_too_large_to_be_stored_leaves_no_effect(self, once: Run, effects: Count) -> None:
        large = f"INSERT INTO effects VALUES (1); SELECT {self.large} AS t"

        with pytest.raises(ToolError, match="the result of an `exactly_once` task is stored with its effect") as refused:  # fmt: skip
            await once({"query": large})

        assert (refused.value.code, await effects()) == ("too_large", 0)
