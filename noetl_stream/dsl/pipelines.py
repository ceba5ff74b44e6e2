"""A step's tool into a pipeline of compiled tasks, and what its block must be sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

from noetl_stream.core.credentials import SCRIPT, Grant
from noetl_stream.core.plan import Expression, Path
from noetl_stream.dsl.auth import compile_auth
from noetl_stream.dsl.bindings import compile_bindings
from noetl_stream.dsl.configs import CODE, canonical, check_config, compile_config, config_of
from noetl_stream.dsl.contracts import compile_contract
from noetl_stream.dsl.expressions import compile_number
from noetl_stream.dsl.keychain import aliases_in, with_needed
from noetl_stream.dsl.kinds import EXTRAS, missing_reason
from noetl_stream.dsl.loops import Repetition, compile_iterator
from noetl_stream.dsl.normalise import COMMON
from noetl_stream.dsl.pending import TASK as TASK_PENDING
from noetl_stream.dsl.pending import warn_pending
from noetl_stream.dsl.policy import compile_retry, compile_rule_list, compile_rules
from noetl_stream.dsl.report import Site, suggest
from noetl_stream.dsl.schema import TASK, TASK_SPEC
from noetl_stream.dsl.shapes import Keys
from noetl_stream.dsl.source import Node, Place
from noetl_stream.dsl.storage import compile_storage
from noetl_stream.dsl.tasks import Effects, Fault, Pipeline, Rule, Task
from noetl_stream.dsl.text import context_reads
from noetl_stream.dsl.workbook import merged_nodes
from noetl_stream.dsl.world import World
from noetl_stream.dsl.writes import RECORDED, compile_writes, written_names
from noetl_stream.ports.tools import Kind

LOCAL = frozenset(
    {
        "input",
        "output",
        "event",
        "keychain",
        "now",
        "token",
        "iter",
        "step",
        "loop_index",
        "callback_token",
    }
)
"""Names that a block makes for itself."""
_OUTCOME = frozenset({"result", "response"})
"""In rules and `set` these are the task's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a pipeline is compiled: its step, the outer layers of `spec`, the loop's names."""

    step: str
    node: Node
    tool: Node
    layers: Node | None
    names: tuple[str, ...] = ()


def compile_pipeline(setting: Setting, world: World) -> Pipeline:
    """All tasks of a step's tool, workbook entries already replaced."""
    listed = setting.tool.listed
    names = [_name(node, index, setting) for index, node in enumerate(listed)]
    labels = frozenset(names)
    site = world.site(setting.step, {*labels, *written_names(setting.tool, None), *setting.names})
    _check_duplicates(listed, names, site)
    tasks = tuple(
        _task(name, node, labels, setting, world, site) for name, node in zip(names, listed, strict=True)
    )
    given = compile_bindings(setting.node.get("input"), site.at("input"))
    return Pipeline(
        step=setting.step,
        tasks=tuple(_with_credentials(task, given, world) for task in tasks),
        single=not setting.tool.is_list,
        place=str(setting.tool.place),
        input=given,
        secret_input=given is not None and bool(aliases_in(given.reads, world.keychain)),
        iterator=setting.names[0] if setting.names else None,
        alias=setting.names[1] if len(setting.names) > 1 else None,
        effects=_effects(setting.layers),
        storage=compile_storage(setting.node.get("result"), None, site.at("result")),
        expect=compile_contract(setting.node.get("expect"), site.at("expect")),
        labels={name: index for index, name in enumerate(names)},
    )


def _with_credentials(task: Task, given: Expression | None, world: World) -> Task:
    """The task, knowing which credentials it reads: in its step's input, its own keys, its rules, and what it is given."""
    rules = (each for rule in task.rules for each in (rule.when, rule.attempts, rule.delay))
    sites = (given, task.config, task.input, task.timeout, *rules)
    reads = frozenset[Path]().union(*(each.reads for each in sites if each is not None))
    granted = {alias for grant in task.auth for alias in grant.needs}
    return replace(task, credentials=aliases_in(reads, world.keychain) | granted)


def _effects(layers: Node | None) -> Effects:
    found = layers.get("effects") if layers else None
    return cast(Effects, found.text) if found and found.text else "at_least_once"


def _kept_effects(layers: Node | None, kind: Kind | None, site: Site) -> Effects:
    """What is said of a task's effects, if its kind can keep it."""
    said = layers.get("effects") if layers else None
    able = kind is None or kind.config is None or kind.once or kind.nature != "write"
    if said is not None and said.text == "exactly_once" and not able:
        site.report.error(
            f"{site.subject} cannot run `exactly_once`: its kind keeps no keys",
            said.place,
            "write `at_most_once`, or leave the effect to an SQL task",
        )
    return _effects(layers)


def _name(node: Node, index: int, setting: Setting) -> str:
    if (name := node.get("name")) is not None:
        return str(name.value)
    return f"task_{index}" if setting.tool.is_list else setting.step


def _check_duplicates(nodes: list[Node], names: list[str], site: Site) -> None:
    for index, (node, name) in enumerate(zip(nodes, names, strict=True)):
        if name in names[:index]:
            site.report.error(
                f"{site.subject} has two tasks named '{name}'", node.place, "rename one of them"
            )


def _task(name: str, node: Node, labels: frozenset[str], setting: Setting, world: World, site: Site) -> Task:
    subject = (
        f"the tool of {site.subject}" if not setting.tool.is_list else f"task '{name}' of {site.subject}"
    )
    site = replace(site, subject=subject)
    repeat = _repeat(node, setting, world, site)
    site = site.knowing(repeat.names)
    warn_pending(node, TASK_PENDING, site)
    kind, fault = _kind(node, site, world)
    config, ends = _ends(_checked_config(node, kind, site), kind, site)
    config, script = _of_script(config, site)
    spec = node.get("spec")
    layers = merged_nodes(setting.layers, spec)
    timeout = _timeout(node, layers)
    writes = node.get("set")
    # What a child is asked for stands in the log.
    given = replace(site, hidden=RECORDED) if kind and kind.name == "playbook" else site
    return Task(
        name=name,
        kind=kind.name if kind else "unknown",
        place=f"{subject} ({node.place})",
        config=compile_config(config, given),
        input=compile_bindings(node.get("input"), given.at("input")),
        auth=(*ends, *compile_auth(node.get("auth"), site.at("auth")), *script),
        writes=compile_writes(writes, site.at("set")) if writes else None,
        rules=(*_rules(node, layers, labels, world, site), *_of_frame(setting, site)),
        timeout=compile_number(timeout, site.at("timeout")) if timeout else None,
        fault=fault,
        effects=_kept_effects(layers, kind, site),
        storage=compile_storage(node.get("output"), node.get("output_select"), site.at("output")),
        returns=_returns(node),
        repeat=repeat.loop,
        code_below=_code_below(config),
    )


def _ends(config: Node, kind: Kind | None, site: Site) -> tuple[Node, tuple[Grant, ...]]:
    """The config without what its ends say of their credentials, and these, each under its end's name."""
    grants: list[Grant] = []
    for name in kind.ends if kind else ():
        end = config.get(name)
        if end is None or (auth := end.get("auth")) is None:
            continue
        found = compile_auth(auth, site.at(f"{name}.auth"))
        if len(found) > 1:
            site.report.error(
                f"{site.subject}: `{name}.auth` names {len(found)} credentials, and an end has one",
                auth.place,
                "name the one that it connects with",
            )
        grants += (replace(each, name=name) for each in found[:1])
        config = Node({**config.mapping, name: end.without("auth")}, config.place, config.keys)
    return config, tuple(grants)


def _of_script(config: Node, site: Site) -> tuple[Node, tuple[Grant, ...]]:
    """The config without what its script's `source` says of a credential, and this, under a name of its own."""
    script, auth = config.get("script"), config.get("script", "source", "auth")
    if script is None or auth is None:
        return config, ()
    source = script.mapping["source"].without("auth")
    bare = Node({**script.mapping, "source": source}, script.place, script.keys)
    found = compile_auth(auth, site.at("script.source.auth"))
    named = tuple(replace(each, name=SCRIPT) for each in found[:1])
    return Node({**config.mapping, "script": bare}, config.place, config.keys), named


def _code_below(config: Node) -> Place | None:
    """The line above a task's code, where this is a block of text."""
    code = config.get("code")
    return code.place if code is not None and code.block else None


def _repeat(node: Node, setting: Setting, world: World, site: Site) -> Repetition:
    """A task's own loop. A lone tool's is its step's, unless the step has another."""
    iterator = node.get("iterator")
    if iterator is None or not (setting.tool.is_list or setting.node.get("loop")):
        return Repetition()
    return compile_iterator(setting.step, iterator, world, replace(site, hidden=RECORDED))


def _kind(node: Node, site: Site, world: World) -> tuple[Kind | None, Fault | None]:
    """The kind a task names, and why it cannot run here if so."""
    named = node.get("kind")
    if named is None:
        if node.is_mapping:
            site.report.error(
                f"{site.subject} needs a key 'kind'", node.place, "write `kind: python`, `kind: http`, …"
            )
        return None, None
    name = str(named.value)
    if name not in EXTRAS and name not in world.kinds:
        known = {*EXTRAS, *world.kinds}
        site.report.error(f"unknown tool kind '{name}' in {site.subject}", named.place, suggest(name, known))
        return None, None
    kind = world.kinds.get(name, Kind(name=name, config=None, nature="write", installed=False))
    reason = missing_reason(name, world.kinds)
    if reason:
        site.report.warn(f"{site.subject}: {reason}", named.place)
    return kind, Fault(kind="not_installed", message=reason) if reason else None


def _checked_config(node: Node, kind: Kind | None, site: Site) -> Node:
    config = config_of(node)
    common = Node({k: v for k, v in node.mapping.items() if k in COMMON}, node.place, node.keys)
    if node.is_mapping:
        Keys(keys={**TASK, "workbook": TASK["name"]}).check(common, site)
    else:
        site.report.error(f"{site.subject} is a mapping with a `kind`, not {node.word}", node.place)
    if (spec := node.get("spec")) is not None:
        known = Node({k: v for k, v in spec.mapping.items() if k in TASK_SPEC}, spec.place, spec.keys)
        Keys(keys=TASK_SPEC).check(known, site.at("spec"))
    if kind is not None:
        config = canonical(config, kind, site)
        check_config(config, kind, site)
    return config


def _timeout(node: Node, layers: Node | None) -> Node | None:
    own = node.get("timeout")
    if own is not None or layers is None:
        return own
    return layers.get("timeout") or layers.get("policy", "defaults", "timeout_s")


def _rules(
    node: Node, layers: Node | None, labels: frozenset[str], world: World, site: Site
) -> tuple[Rule, ...]:
    """`retry`, then the task's policy, then what the document says for every task."""
    retry, default = node.get("retry"), world.document.get("policy", "retry")
    policy = layers.get("policy") if layers else None
    first = (compile_retry(retry, site),) if retry else ()
    own = (*first, *compile_rules(policy, labels, site.at("spec.policy")))
    if _effects(layers) == "at_most_once" and any(rule.do == "retry" for rule in own):
        site.report.warn(
            f"{site.subject} runs `at_most_once`, so that its `retry` counts as `fail`",
            node.place,
            "remove one of them",
        )
    last: tuple[Rule, ...] = ()
    if default is not None:
        last = (
            compile_rule_list(default, labels, site) if default.is_list else (compile_retry(default, site),)
        )
    return (*own, *last)


def _of_frame(setting: Setting, site: Site) -> tuple[Rule, ...]:
    """How often a cursor's rows are tried, where no other rule decides."""
    attempts = setting.layers.get("frame", "max_attempts") if setting.layers else None
    if attempts is None or not setting.node.get("loop", "cursor"):
        return ()
    return (compile_retry(attempts, site),)


def _returns(node: Node) -> tuple[str, ...]:
    returns = node.get("assert", "returns")
    if returns is None:
        return ()
    return tuple(str(each.value) for each in returns.items) or tuple(returns.mapping)


def block_reads(pipeline: Pipeline, tool: Node, world: World) -> frozenset[Path]:
    """The paths a step's block must be sent: what its expressions read, but for what the block itself makes.

    A name that may also come from outside is sent: until its task has run it means that.
    """
    made = {*pipeline.labels, *written_names(tool, None)} - world.names
    own = LOCAL | made | {name for name in (pipeline.iterator, pipeline.alias) if name}
    own |= {name for task in pipeline.tasks if task.repeat for name in (task.repeat.iterator, "item")}
    found = _from_outside(_before(pipeline), own)
    found |= _from_outside(_after(pipeline), own | _OUTCOME | {pipeline.step})
    opened = with_needed({alias for task in pipeline.tasks for alias in task.credentials}, world.keychain)
    found |= _from_outside(
        (part for name, each in world.keychain.items() if name in opened for part in each.rendered), own
    )
    for task in tool.listed:
        kind, code = task.get("kind"), config_of(task).get(CODE)
        if kind is not None and kind.text == "python":
            found |= context_reads(code.text) if code and code.text else {("*",)}
    return frozenset(found)


def _from_outside(expressions: Iterable[Expression | None], own: frozenset[str] | set[str]) -> set[Path]:
    return {path for each in expressions if each for path in each.reads if path[0] not in own}


def _before(pipeline: Pipeline) -> Iterable[Expression | None]:
    yield pipeline.input
    yield from (pipeline.storage.inline, pipeline.storage.ttl) if pipeline.storage else ()
    expect = pipeline.expect
    yield from (expect.checks, expect.least, expect.most) if expect else ()
    for task in pipeline.tasks:
        yield from (task.config, task.input, task.timeout)
        yield from (each for grant in task.auth for each in (grant.alias, grant.settings))
        yield from (task.storage.inline, task.storage.ttl) if task.storage else ()
        yield task.repeat.items if task.repeat else None


def _after(pipeline: Pipeline) -> Iterable[Expression | None]:
    for task in pipeline.tasks:
        yield task.writes
        for rule in task.rules:
            yield from (rule.when, rule.attempts, rule.delay, rule.writes)
