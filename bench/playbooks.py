"""The playbooks that are measured, as text."""

from __future__ import annotations

import json

PARALLEL = {"mode": "parallel", "max_in_flight": 64}
TOGETHER = 100
"""Iterations to a block, where they travel together."""
BUNDLES = {"mode": "parallel", "max_in_flight": 4 * TOGETHER, "frame": {"max_rows": TOGETHER}}


def playbook(name: str, steps: list[dict[str, object]], **workload: object) -> str:
    """A document at `bench/<name>`."""
    document = {
        "apiVersion": "noetl.io/v2",
        "kind": "Playbook",
        "metadata": {"name": name, "path": f"bench/{name}"},
        "workload": workload,
        "workflow": steps,
    }
    return json.dumps(document)


def chain(length: int) -> str:
    """`length` noop steps, one after the other."""
    steps: list[dict[str, object]] = [
        {"step": f"s{i}", "tool": {"kind": "noop"}, **({"next": f"s{i + 1}"} if i + 1 < length else {})}
        for i in range(length)
    ]
    return playbook(f"chain{length}", steps)


def fan(width: int, *, together: bool = False) -> str:
    """One parallel loop of `width` noop iterations, each by itself or many to a block."""
    loop = {"in": f"{{{{ {width} }}}}", "iterator": "i", "spec": BUNDLES if together else PARALLEL}
    name = f"bundles{width}" if together else f"fan{width}"
    return playbook(name, [{"step": "start", "loop": loop, "tool": {"kind": "noop"}}])


def loops(n: int) -> dict[str, str]:
    """Loops of `n` noop iterations, by kind."""
    items = [{"id": k} for k in range(1_000)]
    found = {
        "parallel": {"in": f"{{{{ {n} }}}}", "iterator": "i", "spec": PARALLEL},
        "bundles": {"in": f"{{{{ {n} }}}}", "iterator": "i", "spec": BUNDLES},
        "sequence": {"in": f"{{{{ {n} }}}}", "iterator": "i", "spec": {"frame": BUNDLES["frame"]}},
        "while": {"while": f"{{{{ loop_index < {n} }}}}", "iterator": "i"},
        "list": {"in": f"{{{{ workload.items * {n // 1_000} }}}}", "iterator": "i", "spec": PARALLEL},
    }
    tool = {"kind": "noop"}
    return {
        kind: playbook(kind, [{"step": "each", "loop": loop, "tool": tool}], items=items)
        for kind, loop in found.items()
    }
