"""The tables of the language: which keys a document, a step, a loop, a route and a rule have, in canonical spelling."""

from __future__ import annotations

from typing import Final

from noetl_stream.core.lanes import LANES
from noetl_stream.dsl.shapes import Anything, Choice, Either, Flag, Keys, Many, Number, Shape, Templated, Text

ANY: Final = Anything()
TEXT: Final = Text()
NUMBER: Final = Number()
FLAG: Final = Flag()
MAPPING: Final = Keys(keys={}, open=True)
BINDINGS: Final = Templated(MAPPING)
TEXTS: Final = Many(TEXT)
WORDS: Final = Either(scalar=TEXT, list=TEXTS)
BACKOFF: Final = Choice(("fixed", "linear", "exponential"))

ACTIONS: Final = ("continue", "retry", "jump", "break", "fail")

THEN: Final = Keys(
    keys={
        "do": Choice(ACTIONS),
        "attempts": NUMBER,
        "backoff": BACKOFF,
        "delay": NUMBER,
        "to": TEXT,
        "set": MAPPING,
    }
)
RULE: Final = Keys(
    keys={"when": Either(scalar=ANY), "then": THEN, "else": Keys(keys={"then": THEN, **THEN.keys})}
)
ALLOW: Final = Keys(keys={"allow": FLAG}, required=("allow",))
ADMIT: Final = Keys(
    keys={
        "mode": TEXT,
        "rules": Many(
            Keys(
                keys={
                    "when": Either(scalar=ANY),
                    "then": ALLOW,
                    "else": Keys(keys={"then": ALLOW, "allow": FLAG}),
                }
            )
        ),
    }
)
LIMITS: Final = Keys(keys={"max_payload_bytes": NUMBER})
POLICY_OF_SPEC: Final = Keys(
    keys={
        "admit": ADMIT,
        "rules": Many(RULE),
        "defaults": Keys(keys={"timeout_s": NUMBER}),
        "results": MAPPING,
        "limits": LIMITS,
        "exec": ANY,
        "on_error": Choice(("fail", "continue")),
    }
)
JOIN: Final = Either(
    scalar=Choice(("all", "any")), mapping=Keys(keys={"quorum": NUMBER}, required=("quorum",))
)
EFFECTS: Final = Choice(("at_least_once", "at_most_once", "exactly_once"))

FRAME: Final = Keys(
    keys={
        **dict.fromkeys(
            (
                "max_rows",
                "row_concurrency",
                "max_seconds",
                "max_bytes",
                "lease_seconds",
                "heartbeat_seconds",
                "max_attempts",
            ),
            NUMBER,
        ),
        "process": Choice(("row", "frame")),
    }
)
_LAYER: Final[dict[str, Shape]] = {
    "policy": POLICY_OF_SPEC,
    "timeout": NUMBER,
    "pool": TEXT,
    "effects": EFFECTS,
    "priority": Choice(LANES),
}
"""What any layer of `spec` may say."""
_LOOPING: Final[dict[str, Shape]] = {
    "mode": Choice(("sequential", "parallel", "cursor")),
    "max_in_flight": NUMBER,
    "frame": FRAME,
}
"""What a loop's layer may say, and those around it."""
LOOP_SPEC: Final = Keys(keys={**_LAYER, **_LOOPING})
CURSOR: Final = Keys(
    keys={"kind": TEXT, "auth": ANY, "claim": TEXT, "options": MAPPING}, required=("kind", "claim"), open=True
)
"""Further keys are its tool's."""
LOOP: Final = Keys(
    keys={
        "in": Either(scalar=ANY, list=ANY),
        "iterator": TEXT,
        "spec": LOOP_SPEC,
        "cursor": CURSOR,
        "while": Either(scalar=ANY),
        "frames": Either(scalar=ANY, list=ANY),
        "rows": NUMBER,
    }
)

ARC: Final = Keys(
    keys={
        "step": TEXT,
        "when": Either(scalar=ANY),
        "set": MAPPING,
        "on": Choice(("error",)),
        "args": MAPPING,
    },
    required=("step",),
)
NEXT: Final = Either(
    scalar=TEXT,
    list=Many(Either(scalar=TEXT, mapping=ARC)),
    mapping=Keys(
        keys={
            "spec": Keys(
                keys={
                    "mode": Choice(("exclusive", "inclusive")),
                    "on_no_match": Choice(("complete", "quiet", "fail")),
                }
            ),
            "arcs": Many(Either(scalar=TEXT, mapping=ARC)),
        },
        required=("arcs",),
        elsewhere=dict.fromkeys(("mode", "on_no_match"), "move it under `spec`"),
    ),
)
STORE: Final = Keys(
    keys={
        "store": Either(
            scalar=TEXT,
            mapping=Keys(
                keys={
                    "kind": Choice(("auto", "kv", "disk", "s3", "gcs", "object", "log")),
                    "ttl": ANY,
                    "driver": TEXT,
                    "bucket": TEXT,
                    "prefix": TEXT,
                }
            ),
        ),
        "select": Many(
            Either(scalar=TEXT, mapping=Keys(keys={"path": TEXT, "as": TEXT}, required=("path",)))
        ),
        "output_select": Either(list=TEXTS, mapping=Keys(keys={"strategy": TEXT, "threshold_kb": NUMBER})),
        "inline_max_bytes": NUMBER,
        "durable": Choice(("log",)),
        "scope": TEXT,
    }
)
EXPECT: Final = Keys(
    keys={
        "schema": MAPPING,
        "not_null": WORDS,
        "unique": Either(scalar=TEXT, list=Many(WORDS)),
        "checks": TEXTS,
        "rows": Keys(keys={"min": NUMBER, "max": NUMBER}),
        "on_violation": Choice(("fail", "quarantine", "warn")),
    }
)
STEP_SPEC: Final = Keys(keys={**_LAYER, **_LOOPING, "join": JOIN})
STEP: Final[dict[str, Shape]] = {
    "step": TEXT,
    "desc": TEXT,
    "input": BINDINGS,
    "tool": Either(mapping=ANY, list=ANY),
    "loop": LOOP,
    "set": MAPPING,
    "next": NEXT,
    "spec": STEP_SPEC,
    "result": STORE,
    "expect": EXPECT,
    "on_error": Keys(keys={"step": TEXT, "set": MAPPING}, required=("step",)),
}

RETRY: Final = Either(
    scalar=NUMBER,
    mapping=Keys(
        keys={
            "max_attempts": NUMBER,
            "backoff": BACKOFF,
            "delay": NUMBER,
            "retry_on": WORDS,
            "retry_on_status": Either(scalar=NUMBER, list=Many(NUMBER)),
        }
    ),
)
ITERATOR: Final = Keys(keys={"items": Either(scalar=ANY, list=ANY), "item": TEXT}, required=("items",))
ASSERT: Final = Keys(
    keys={"expects": Either(list=TEXTS, mapping=MAPPING), "returns": Either(list=TEXTS, mapping=MAPPING)}
)
TASK: Final[dict[str, Shape]] = {
    "kind": TEXT,
    "name": TEXT,
    "desc": TEXT,
    "task": ANY,
    "input": BINDINGS,
    "auth": ANY,
    "set": MAPPING,
    "spec": MAPPING,
    "timeout": NUMBER,
    "output": STORE,
    "output_select": ANY,
    "retry": RETRY,
    "pool": Either(scalar=TEXT, mapping=MAPPING),
    "iterator": ITERATOR,
    "assert": ASSERT,
}
TASK_SPEC: Final[dict[str, Shape]] = {**_LAYER, "pool": TASK["pool"]}

SPEC: Final = Keys(keys={**STEP_SPEC.keys, "entry_step": TEXT, "final_step": TEXT, "no_next_is_error": FLAG})
"""`executor.spec`: the outermost layer, so it may hold what any inner one may."""
