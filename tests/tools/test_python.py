"""The python tool, as the language describes it, in real processes."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pydantic import ValidationError

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import ToolError
from noetl_stream.tools.python import Python, PythonConfig
from noetl_stream.tools.warm.pool import WarmPool
from tests.contract.cache import KEY, flights
from tests.tools.conftest import Run, runner, runs, unreachable, until

pytestmark = pytest.mark.slow


@pytest.fixture
def run(pool: WarmPool) -> Run:
    return runner(Python(pool, unreachable))


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("result = x + 1", 2),
        ("return x + 1", 2),
        ("if x == 1:\n    return 'one'\nreturn 'more'", "one"),
        ("if x > 1:\n    return 'more'\nresult = 'fell through'", "fell through"),
        ("result = 1\nreturn None", None),
        ("result = 1\ndef main(x):\n    return 2", 1),
        ("def main(x):\n    return x + 1", 2),
        ("def main(x, y=5):\n    return x + y", 6),
        ("def main(**kw):\n    return sorted(kw)", ["rows", "x"]),
        ("def main(x, **kw):\n    return sorted(kw)", ["rows"]),
        ("def main(x, /, *more, rows):\n    return [x, more, rows]", [1, [], [1, 2]]),
        ("def main(input_data):\n    return input_data['x']", 1),
        ("def main(args):\n    return args['x']", 1),
        ("def main(context):\n    return context['tenant']", "acme"),
        ("async def main(x):\n    import asyncio\n    await asyncio.sleep(0)\n    return x", 1),
        ("if x > 1:\n    return 0\ndef main(x):\n    return x + 1", 2),
        ("y = 1", None),
        ("async def main(x):\n    return x\nreturn main(x)", 1),
        ("if x > 1:\n    return 0\nglobal y\ny = 1\ndef main():\n    return y", 1),
        ("from __future__ import annotations\nif x:\n    return 'future'", "future"),
        ("global x\nx = 5\nreturn x", 5),
        ("args = args['x']\njson = json.dumps(args)\nreturn [args, json]", [1, "1"]),
        (
            "def f():\n    return [x, datetime.date(2024, 1, 2).year, context['tenant']]\nreturn f()",
            [1, 2024, "acme"],
        ),
        ("def set_it():\n    global result\n    result = 'set'\nset_it()\nif x > 1:\n    return 0", "set"),
        ("from datetime import timedelta\nresult = [b'ab', timedelta(seconds=90)]", ["YWI=", 90.0]),
        ("from decimal import Decimal\nresult = Decimal('6.00')", 6),
        ("d = {'a': 1}\nresult = [d.keys(), d.values(), range(2)]", [["a"], [1], [0, 1]]),
        ("result = __name__", "noetl_task"),
        ("result = [json.dumps(x), datetime.date(2024, 1, 2)]", ["1", "2024-01-02"]),
        ("result = input_data == args == {'x': x, 'rows': rows}", True),
        ("def f(n):\n    return 1 if n == 0 else n * f(n - 1)\nresult = f(5)", 120),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nresult = P(3)", {"x": 3}),
        (
            "from decimal import Decimal as D\nresult = [D('19.99'), D('1.00000000000000000001')]",
            [19.99, "1.00000000000000000001"],
        ),
        ("result = {1: float('nan'), 'f': '{{ braces }}'}", {"1": None, "f": "{{ braces }}"}),
    ],
)
async def test_a_result_is_what_code_returns_or_assigns_or_main_yields(
    run: Run, code: str, result: Any
) -> None:
    fields = {"input": {"x": 1, "rows": [1, 2]}, "context": {"tenant": "acme"}}

    assert await run({"code": code}, **fields) == result


async def test_the_context_is_read_only_and_knows_the_execution(run: Run) -> None:
    code = "result = [context['execution_id'], 'load' in context, context.get('nope', 0), sorted(context.keys())]"

    assert await run({"code": code}, context={"ctx": {}}) == ["7", False, 0, ["ctx", "execution_id"]]
    with pytest.raises(ToolError, match="does not support item assignment"):
        await run({"code": "context['x'] = 1"})


async def test_an_input_with_a_reserved_name_wins(run: Run) -> None:
    inputs = {"context": "mine", "args": 1, "input_data": 2, "json": 3}

    code = "result = [context, args, input_data, json]"
    assert await run({"code": code}, input=inputs) == ["mine", 1, 2, 3]
    assert await run({"code": "def main(context):\n    return context"}, input=inputs) == "mine"


async def test_an_input_named_result_is_not_the_result(run: Run) -> None:
    assert await run({"code": "def main():\n    return 'computed'"}, input={"result": "given"}) == "computed"
    assert await run({"code": "result = result * 2"}, input={"result": 21}) == 42
    assert await run({"code": "result = 5"}, input={"result": 5}) == 5
    assert await run({"code": "if result > 5:\n    return 0\nresult = 5"}, input={"result": 5}) == 5
    assert await run({"code": "result.append(1)"}, input={"result": []}) is None


async def test_the_context_may_be_returned(run: Run) -> None:
    assert await run({"code": "result = context"}, context={"tenant": "acme"}) == {
        "execution_id": "7",
        "tenant": "acme",
    }


async def test_the_execution_is_what_it_is(run: Run) -> None:
    assert await run({"code": "result = context['execution_id']"}, context={"execution_id": "mine"}) == "7"


async def test_a_small_table_is_a_list_of_plain_rows(run: Run) -> None:
    """What JSON would say of it, as templates do: code may print it, join it, take it for a list."""
    table = pa.table(
        {
            "at": [datetime(2024, 1, 2, 3, 4, tzinfo=UTC)],
            "day": [date(2024, 1, 2)],
            "price": [Decimal("19.99")],
            "count": [Decimal(6)],
            "raw": [b"ab"],
            "tags": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "nested": [{"days": [date(2024, 1, 2), None]}],
        }
    )
    plain = {
        "at": "2024-01-02T03:04:00+00:00",
        "day": "2024-01-02",
        "price": 19.99,
        "count": 6,
        "raw": "YWI=",
        "tags": {"k": 1},
        "nested": {"days": ["2024-01-02", None]},
    }
    code = "t.append({'more': 1})\nresult = [isinstance(t, list), json.loads(json.dumps(t)), len(t + [1])]"

    assert await run({"code": code}, input={"t": table}) == [True, [plain, {"more": 1}], 3]
    assert await run({"code": "result = t"}, input={"t": table}) == [plain]


async def test_a_large_table_is_read_as_it_is_asked_for(run: Run) -> None:
    table = pa.table({"n": range(20_000), "day": [date(2024, 1, 2)] * 20_000})
    code = "result = [type(t).__name__, len(t), t[-1], sum(r['n'] for r in t), t['n'].sum()]"

    assert await run({"code": code}, input={"t": table}) == [
        "Rows",
        20_000,
        {"n": 19_999, "day": "2024-01-02"},
        199_990_000,
        199_990_000,
    ]
    passed_on = await run({"code": "result = t"}, input={"t": table})
    assert passed_on.equals(table)


async def test_nothing_of_one_call_is_seen_by_the_next(run: Run) -> None:
    await run({"code": "leak = 1\nx.append(4)\nresult = x"}, input={"x": [1]})

    assert await run({"code": "result = ['leak' in globals(), x]"}, input={"x": [1]}) == [False, [1]]


async def test_libraries_are_bound_to_their_aliases(run: Run) -> None:
    libs = {
        "m": "math",
        "p": {"from": "os", "import": "path"},
        "sub": {"from": "concurrent", "import": "futures"},
    }
    code = "result = [m.sqrt(4), p.basename('/a/b'), sub.__name__]"

    assert await run({"code": code, "libs": libs}) == [2.0, "b", "concurrent.futures"]
    assert await run({"code": "result = 1", "libs": ["pandas==2", {"name": "numpy"}]}) == 1


async def test_a_missing_library_is_an_error_of_the_task(run: Run) -> None:
    with pytest.raises(ToolError, match="ModuleNotFoundError: No module named 'no_such_library'") as missing:
        await run({"code": "result = 1", "libs": {"x": "no_such_library"}})
    assert (missing.value.kind, missing.value.retryable) == ("python", False)


async def test_an_error_names_its_type_its_line_and_its_own_frames_alone(run: Run) -> None:
    code = "def load(row):\n    return row['amount']\n\nresult = load({})"

    with pytest.raises(ToolError, match=r"^KeyError: 'amount' \(line 2 of the code\)$") as failed:
        await run({"code": code})

    error = failed.value
    assert (error.kind, error.code, error.retryable, error.line) == ("python", "KeyError", False, 2)
    assert "    return row['amount']" in (error.trace or "")
    assert "noetl_stream" not in (error.trace or "")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("x = (\n1 +", r"SyntaxError: .* \(line \d of the code\)"),
        ("raise SystemExit(3)", r"SystemExit: 3 \(line 1 of the code\)"),
        (
            "def main(missing):\n    pass",
            r"main\(\) needs 'missing', which is no input .*; its inputs are: x",
        ),
        ("result = {1, 2}", r"the result holds a set, which is not JSON; return mappings"),
        ("result = 2**80", r"Integer exceeds 64-bit range"),
        ("class E(Exception):\n    def __str__(self): 1/0\nraise E", r"E: \(its text could not be read"),
    ],
)
async def test_what_code_does_wrong_is_told_in_a_sentence(run: Run, code: str, sentence: str) -> None:
    with pytest.raises(ToolError, match=sentence) as failed:
        await run({"code": code}, input={"x": 1})
    assert failed.value.kind == "python"


async def test_a_long_traceback_is_capped(run: Run) -> None:
    with pytest.raises(ToolError) as failed:
        await run({"code": "raise ValueError('x' * 100_000)"})
    assert len(failed.value.trace or "") <= 8 << 10


async def test_prints_do_not_disturb_the_answer(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    code = "import os, sys\nprint('seen')\nos.write(1, b'raw')\nos.system('echo noise')\nprint('z' * 10**6)\nresult = 1"

    with caplog.at_level("INFO"):
        assert await run({"code": code}) == 1

    printed = caplog.records[-1].getMessage()
    assert "seen" in printed
    assert len(printed) < 70_000


async def test_a_child_inherits_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")

    names = await run({"code": "import os\nresult = sorted(os.environ)"})

    assert "DATABASE_PASSWORD" not in names
    assert "PATH" in names


async def test_a_frame_is_rows_polars_or_arrow_as_code_asks(run: Run, tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    inputs = {"load": {"rows": await cache.frame(await cache.put_table(KEY, flights()))}}
    asked = {
        "result = [len(f), f[0], f[-1]['delay'], [r['carrier'] for r in f], f == list(f)]": [
            3,
            {"carrier": "AA", "delay": 3},
            12,
            ["AA", "UA", "AA"],
            True,
        ],
        "result = f['delay'].sum() + f.height + len(f.polars().filter(f['delay'] > 3))": 19,
        "result = [f.arrow().column_names, f[1:]]": [
            ["carrier", "delay"],
            [{"carrier": "UA", "delay": None}, {"carrier": "AA", "delay": 12}],
        ],
    }

    for code, result in asked.items():
        assert await run({"code": f"f = load['rows']\n{code}"}, input=inputs) == result


@pytest.mark.parametrize(
    ("frames", "kind"),
    [("polars", "DataFrame"), ("arrow", "Table"), ("list", "list"), ("rows", "ListedRows")],
)
async def test_a_task_states_what_its_frames_are(run: Run, frames: str, kind: str) -> None:
    config = {"code": "result = type(t).__name__", "frames": frames}

    assert await run(config, input={"t": flights()}) == kind


@pytest.mark.parametrize(
    "code",
    [
        "import polars as pl\nresult = pl.DataFrame({'n': [1, 2], 's': ['a', 'b']})",
        "import polars as pl\nresult = pl.LazyFrame({'n': [1, 2], 's': ['a', 'b']})",
        "import pyarrow as pa\nresult = pa.table({'n': [1, 2], 's': ['a', 'b']})",
    ],
)
async def test_a_returned_frame_is_an_arrow_table(run: Run, code: str) -> None:
    table = await run({"code": code})

    assert isinstance(table, pa.Table)
    assert table.to_pylist() == [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]


async def test_frames_may_stand_anywhere_in_a_result(run: Run) -> None:
    code = "import polars as pl\nresult = {'all': t.arrow(), 'n': 3, 'more': [pl.DataFrame({'a': [1]}), t['delay']]}"

    value = await run({"code": code}, input={"t": flights()})

    assert value["all"].equals(flights())
    assert value["more"][0].to_pylist() == [{"a": 1}]
    assert (value["n"], value["more"][1]) == (3, [3, None, 12])


async def test_a_lazy_frame_given_by_an_earlier_task_arrives(run: Run) -> None:
    assert await run({"code": "result = f['a'].sum()"}, input={"f": pl.LazyFrame({"a": [1, 2]})}) == 3


async def test_a_script_is_read_and_never_rendered(run: Run, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("result = '{{ x }}' + x")

    assert await run({"script": {"uri": str(tmp_path / "task.py")}}, input={"x": "!"}) == "{{ x }}!"
    with pytest.raises(ToolError, match=r"the script '.*nope.py' cannot be read .*; check its path"):
        await run({"script": {"uri": str(tmp_path / "nope.py")}})


@pytest.mark.parametrize("config", [{}, {"code": "1", "script": {"uri": "x"}}, {"script": {}}, {"kode": "1"}])
def test_a_config_is_one_program_and_nothing_unknown(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PythonConfig.model_validate(config)


async def test_a_loop_without_end_is_stopped_and_its_slot_is_free(run: Run, pool: WarmPool) -> None:
    await run({"code": "result = 1"})
    before = pool.pids

    with pytest.raises(ToolError, match=r"python task ran longer than 0.2 s and was stopped") as stopped:
        await run({"code": "while True: pass"}, timeout=0.2)

    assert (stopped.value.kind, stopped.value.retryable) == ("timeout", True)
    assert await run({"code": "result = 2"}) == 2
    assert before.isdisjoint(pool.pids)


async def test_a_cancelled_call_takes_all_its_processes_along(run: Run, tmp_path: Path) -> None:
    code = (
        f"import subprocess\np = subprocess.Popen(['sleep', '60'])\nopen({str(tmp_path / 'pid')!r}, 'w')"
        ".write(str(p.pid))\np.wait()"
    )
    running = asyncio.create_task(run({"code": code}))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    pid = int((tmp_path / "pid").read_text())

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not runs(pid))
