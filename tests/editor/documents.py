"""Documents as people type them: keys in any order, older spellings, comments, every width of indentation."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

CODE = (
    '# a comment of its own\nresult = {"a": 1,\n\n          "b": "{{ not a template }}"}  \n\n# the last line'
)
HEAD: dict[str, Any] = {
    "apiVersion": "noetl.io/v2",
    "kind": "Playbook",
    "metadata": {"name": "shown", "path": "a/b"},
}
INPUTS = st.dictionaries(
    st.sampled_from(["who", "when", "args", "step"]),
    st.sampled_from([1, True, "007", "{{ ctx.x }}"]),
    max_size=3,
)
TOOLS = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("python"), "code": st.just(CODE)},
        optional={"input": INPUTS, "desc": st.just("words: with a colon"), "timeout_seconds": st.just(3)},
    ),
    st.fixed_dictionaries(
        {"kind": st.just("http"), "endpoint": st.just("http://x/{{ workload.b }}")},
        optional={
            "json": INPUTS,
            "headers": st.just({"accept": "*/*"}),
            "args": INPUTS,
            "retry": st.just({"attempts": 2, "backoff": "none", "backoff_seconds": 1}),
            "spec": st.just(
                {"policy": {"rules": [{"then": {"to": "one", "do": "jump"}, "cond": "{{ output }}"}]}}
            ),
        },
    ),
    st.fixed_dictionaries({"kind": st.just("noop")}, optional={"result": st.just([1, {"z": 1, "a": [2]}])}),
)


def _step(name: str, names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    targets = st.sampled_from(names)
    arcs = st.fixed_dictionaries(
        {"step": targets},
        optional={"cond": st.just("{{ event.name == 'call.done' }}"), "set": st.just({"ctx.x": 1})},
    )
    tools = TOOLS.filter(lambda tool: "spec" not in tool)
    pipeline = TOOLS.map(lambda tool: [{"name": "one", **tool}, {"two": {"kind": "noop"}}])
    return st.fixed_dictionaries(
        {"step": st.just(name)},
        optional={
            "desc": st.just("it's said"),
            "args": INPUTS,
            "tool": st.one_of(tools, pipeline),
            "set": st.just({"ctx.y": "{{ 1 }}", "ctx.x": "{{ ctx.y }}"}),
            "next": st.one_of(
                targets,
                st.lists(arcs, min_size=1, max_size=2),
                st.lists(arcs, min_size=1, max_size=2).map(
                    lambda a: {"arcs": a, "spec": {"mode": "inclusive"}}
                ),
            ),
            "output": st.just({"store": {"kind": "cache"}}),
        },
    )


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document that compiles, in somebody's hand."""
    names = draw(
        st.lists(st.sampled_from(["start", "load", "a/b", "end"]), min_size=1, max_size=3, unique=True)
    )
    steps = [draw(_step(name, names)) for name in names]
    workload: dict[str, Any] = draw(
        st.dictionaries(st.sampled_from(["b", "a", "c"]), st.sampled_from([1, [1, 2], {"x": "{{ a }}"}]))
    )
    workload.setdefault("a", 0)
    document = {**HEAD, "workload": workload, "workflow": steps}
    lines = _block(document, 0, draw)
    return (
        draw(st.sampled_from(["", "# head\n\n", "---\n", "%YAML 1.2\n---\n"]))
        + "\n".join(lines)
        + draw(st.sampled_from(["", "\n", "\n\n# tail\n"]))
    )


def _block(value: Any, column: int, draw: st.DrawFn) -> list[str]:
    """The lines of a mapping or list whose entries begin at a column."""
    pad = " " * column
    found: list[str] = []
    pairs = (
        draw(st.permutations(list(value.items()))) if isinstance(value, dict) else [("-", v) for v in value]
    )
    for index, (key, each) in enumerate(pairs):
        if index and draw(st.integers(0, 5)) == 0:
            found += draw(
                st.sampled_from([[f"{pad}# above {key}"], [""], ["", f"{pad}# above {key}", ""], ["   "]])
            )
        found += _pair(pad, key, each, draw)
    return found


def _pair(pad: str, key: str, value: Any, draw: st.DrawFn) -> list[str]:
    lead = f"{pad}-" if key == "-" else f"{pad}{_quoted(key, draw)}:"
    indent = len(pad) + draw(st.integers(1, 4))
    if isinstance(value, str) and "\n" in value:
        header = draw(st.sampled_from(["|", "|-", "|+"]))
        return [f"{lead} {header}", *(f"{' ' * indent}{line}" if line else "" for line in value.split("\n"))]
    if not value or not isinstance(value, dict | list) or draw(st.integers(0, 3)) == 0:
        return [f"{lead} {_flow(value)}{draw(st.sampled_from(['', '', ' # beside']))}"]
    if key == "-" and isinstance(value, dict):
        lines = _block(value, indent + 1, draw)
        return (
            [f"{lead}{lines[0][len(lead) :]}", *lines[1:]]
            if lines[0].strip()[:1] not in ("", "#")
            else [lead, *lines]
        )
    at = len(pad) if isinstance(value, list) and draw(st.booleans()) and key != "-" else indent
    return [f"{lead}{draw(st.sampled_from(['', ' # of it']))}", *_block(value, at, draw)]


def _quoted(key: str, draw: st.DrawFn) -> str:
    return draw(st.sampled_from([key, key, key, f'"{key}"', f"'{key}'"]))


def _flow(value: Any) -> str:
    return json.dumps(value)
