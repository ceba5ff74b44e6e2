"""What every SQL kind owes, whatever it stands on. A kind's tests inherit this suite and give its `tool` and `run` fixtures."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Tool
from tests.tools.conftest import Run


def rows(shape: dict[str, Any]) -> list[dict[str, Any]]:
    table = shape["rows"]
    assert isinstance(table, pa.Table)
    listed: list[dict[str, Any]] = table.to_pylist()
    return listed


class SqlContract:
    """`endless` is a query that never ends; `twice` and `twice_code` are how the kind tells of a value that is there already."""

    endless: ClassVar[str]
    twice: ClassVar[str]
    twice_code: ClassVar[str]

    async def test_every_statement_has_its_result_and_the_last_result_set_stands_on_top(
        self, run: Run
    ) -> None:
        script = """
            CREATE TABLE t (n INT); -- a comment; it is no statement
            INSERT INTO t VALUES (1), (2), (3);
            SELECT sum(n) AS total FROM t;
            SELECT n FROM t WHERE n > 9;
            UPDATE t SET n = n + 1 WHERE n > 1;
        """

        result = await run({"query": script})

        assert list(result) == [*(f"command_{n}" for n in range(5)), "rows", "columns", "row_count"]
        assert result["command_0"] == {"rows": [], "columns": [], "row_count": 0}
        assert result["command_1"] == {"rows": [], "columns": [], "row_count": 3}
        assert rows(result["command_2"]) == [{"total": 6}]
        assert (rows(result), result["columns"], result["row_count"]) == ([], ["n"], 0)
        assert result["command_4"]["row_count"] == 2

    async def test_without_a_result_set_the_last_statements_count_stands_on_top(self, run: Run) -> None:
        result = await run(
            {"commands": ["CREATE TABLE t (n INT) -- no end", "INSERT INTO t VALUES (1), (2)"]}
        )

        assert (result["rows"], result["columns"], result["row_count"]) == ([], [], 2)

    async def test_returning_is_a_result_set(self, run: Run) -> None:
        result = await run(
            {"command": "CREATE TABLE t (n INT); INSERT INTO t VALUES (4) RETURNING n * 2 AS m"}
        )

        assert rows(result) == [{"m": 8}]

    async def test_two_columns_of_one_name_stay_two(self, run: Run) -> None:
        assert rows(await run({"query": "SELECT 1 AS a, 2 AS a, 3 AS a"})) == [{"a": 1, "a_1": 2, "a_2": 3}]

    async def test_statements_commit_one_by_one_unless_they_are_a_transaction(
        self, run: Run, tmp_path: Path
    ) -> None:
        database = {"database": str(tmp_path / "kept.db")}
        await run({"query": "CREATE TABLE t (n INT UNIQUE)", **database})
        twice = {"query": "INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)", **database}

        with pytest.raises(ToolError, match=f"^command_1: {self.twice}") as failed:
            await run({**twice, "transaction": True})
        assert (failed.value.kind, failed.value.code, failed.value.retryable) == (
            "sql",
            self.twice_code,
            False,
        )
        assert rows(await run({"query": "SELECT n FROM t", **database})) == []

        with pytest.raises(ToolError, match=f"^command_1: {self.twice}"):
            await run(twice)
        assert rows(await run({"query": "SELECT n FROM t", **database})) == [{"n": 1}]

    @pytest.mark.parametrize("config", [{}, {"query": ""}, {"script": "-- nothing\n"}, {"commands": []}])
    async def test_no_statement_is_an_error(self, run: Run, config: dict[str, Any]) -> None:
        with pytest.raises(ToolError, match=r"^no sql command provided$") as refused:
            await run(config)
        assert (refused.value.kind, refused.value.retryable) == ("validation", False)

    async def test_parameters_are_bound_and_dealt_out(self, run: Run) -> None:
        text = "SELECT ? AS a; SELECT ? AS b, ? AS c"
        named = {
            "query": "SELECT $low AS a; SELECT $high AS b",
            "params": {"low": 1, "high": "x'; DROP TABLE t"},
        }

        assert rows(await run({"query": text, "params": [1, 2, "%s"]})) == [{"b": 2, "c": "%s"}]
        assert rows(await run({"query": "SELECT ?1 AS a, ?1 AS b", "params": [5]})) == [{"a": 5, "b": 5}]
        assert rows(await run(named)) == [{"b": "x'; DROP TABLE t"}]

    @pytest.mark.parametrize(
        ("params", "sentence"),
        [
            ([1], "the statements take 2 params or more, 1 are given"),
            ([1, 2, 3], "the statements take 2 params, 3 are given; give one for each"),
            ({"x": 1}, r"the SQL names \$1, which is not in `params` \(x\)"),
        ],
    )
    async def test_parameters_that_do_not_fit_are_told(self, run: Run, params: Any, sentence: str) -> None:
        with pytest.raises(ToolError, match=sentence) as refused:
            await run({"query": "SELECT ?; SELECT ?", "params": params})
        assert refused.value.kind == "sql"

    async def test_a_query_without_end_is_stopped(self, run: Run, tool: Tool) -> None:
        with pytest.raises(
            ToolError, match=rf"the {tool.kind} task ran longer than 0.1 s and was stopped"
        ) as stopped:
            await run({"query": self.endless}, timeout=0.1)

        assert (stopped.value.kind, stopped.value.retryable) == ("timeout", True)
        assert rows(await run({"query": "SELECT 1 AS n"})) == [{"n": 1}]

    async def test_a_cancelled_query_leaves_its_thread(self, run: Run) -> None:
        """close() waits for the threads: it would hang if the query still ran."""
        running = asyncio.ensure_future(run({"query": self.endless}))
        await asyncio.sleep(0)
        running.cancel()

        with pytest.raises(asyncio.CancelledError):
            await running


class ServerContract(SqlContract):
    """A server's own dialect: beside a mapping a question mark is an operator there, so that a place is one beside a list alone."""

    @pytest.mark.parametrize(
        ("params", "sentence"),
        [
            ([1], "the statements take 2 params or more, 1 are given"),
            ([1, 2, 3], "the statements take 2 params, 3 are given; give one for each"),
        ],
    )
    async def test_parameters_that_do_not_fit_are_told(self, run: Run, params: Any, sentence: str) -> None:
        with pytest.raises(ToolError, match=sentence):
            await run({"query": "SELECT ?; SELECT ?", "params": params})
