"""Plans as pictures."""

from __future__ import annotations

from noetl_stream.dsl.graph import mermaid
from tests.dsl.kinds import compiled


def test_a_plan_is_drawn_with_its_conditions_joins_loops_and_error_arcs() -> None:
    body = """\
workflow:
- step: a "first"
  tool: {kind: noop}
  next:
    spec: {mode: inclusive}
    arcs:
    - {step: each, when: "{{ ctx.total > 10 and ctx.name == 'a very long name' }}"}
    - {step: route}
    - {step: end, on: error, when: "{{ error.kind == 'timeout' }}"}
- step: each
  loop: {in: [1], iterator: x, spec: {mode: parallel}}
  tool: [{kind: noop}, {kind: python, code: "1"}]
  next: end
- step: route
  next: end
- step: end
  tool: [{kind: noop}, {kind: noop}, {kind: noop}, {kind: noop}, {kind: noop}]
"""

    assert (
        mermaid(compiled(body).plan)
        == """\
flowchart TD
    s0["a #quot;first#quot; · noop"]
    s1[["each · noop → python · each x, parallel"]]
    s2{"route"}
    s3["end · noop → noop → noop → noop → … · join all"]
    s0 -->|"ctx.total #gt; 10 and ctx.name == 'a very…"| s1
    s0 --> s2
    s0 -.->|"on error, error.kind == 'timeout'"| s3
    s1 --> s3
    s2 --> s3
    entry(( )) --> s0
"""
    )
