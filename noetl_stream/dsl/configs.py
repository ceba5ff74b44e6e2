"""A tool's own configuration: separated from the common keys, checked against its kind's model, compiled."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from noetl_stream.core.plan import Expression, Scope
from noetl_stream.core.values import Value
from noetl_stream.dsl.expressions import compile_value
from noetl_stream.dsl.normalise import COMMON, renamed
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.schema import TASK_SPEC
from noetl_stream.dsl.shapes import unknown_key
from noetl_stream.dsl.source import Node, walk
from noetl_stream.dsl.templates import has_template
from noetl_stream.dsl.text import compile_code
from noetl_stream.ports.tools import Kind

CODE = "code"
"""The key whose text is a program, not a template."""


def config_of(task: Node) -> Node:
    """What is the tool's own of a task: it may stand beside the common keys or under `spec`."""
    spec = task.get("spec")
    entries = {key: each for key, each in (spec.mapping.items() if spec else ()) if key not in TASK_SPEC}
    entries |= {key: each for key, each in task.mapping.items() if key not in COMMON}
    for place in (spec, task):
        pool = place.mapping.get("pool") if place else None
        if pool is not None and (pool.value is None or pool.is_mapping):
            # A mapping, possibly empty, is a connection pool; a text is a worker pool.
            entries["pool"] = pool
    return Node(entries, task.place, {**(spec.keys if spec else {}), **task.keys})


def canonical(config: Node, kind: Kind, site: Site) -> Node:
    """The configuration with the kind's older spellings replaced, and without a pool where there are no connections."""
    for old, new in kind.aliases.items():
        config = renamed(config, old, new, site.subject, site.report)
    if kind.config is None or "pool" in _known(kind.config) or "pool" not in config.mapping:
        return config
    site.report.warn(
        f"{site.subject}: kind '{kind.name}' pools no connections", config.mapping["pool"].place, "remove it"
    )
    return config.without("pool")


def check_config(config: Node, kind: Kind, site: Site) -> None:
    """Report unknown keys, and literal values that the kind's model refuses; templates are not checked."""
    model = kind.config
    if model is None:
        return
    known = _fields(model)
    if model.model_config.get("extra") != "allow":
        for name in config.mapping.keys() - known:
            _report_unknown(name, config, site, known)
    given = {key: each for key, each in config.plain().items() if key in known}
    try:
        model.model_validate(given)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            _report(each, config, site)


def _known(model: type[BaseModel]) -> set[str]:
    """The keys a model reads; a pool too if it reads any key."""
    return _fields(model) | ({"pool"} if model.model_config.get("extra") == "allow" else set())


def _report_unknown(name: str, config: Node, site: Site, known: set[str]) -> None:
    if name in TASK_SPEC:
        place = config.key_place(name)
        site.report.error(f"key '{name}' does not belong to {site.what}", place, "move it under its `spec`")
    else:
        unknown_key(name, config, site, known)


def _fields(model: type[BaseModel]) -> set[str]:
    aliases = {field.alias for field in model.model_fields.values() if field.alias}
    return set(model.model_fields) | aliases


def _report(error: ErrorDetails, config: Node, site: Site) -> None:
    path = [str(each) for each in error["loc"]]
    node = _deepest(config, error["loc"])
    if _is_templated(node) if node is not config else error["type"] != "missing" and _any_template(config):
        return
    if error["type"] == "missing":
        site.report.error(f"{site.subject} needs a key '{'.'.join(path)}'", node.place)
        return
    message = error["msg"].removeprefix("Value error, ")
    where = f"key '{'.'.join(path)}' of {site.subject}" if path else site.subject
    site.report.error(f"{where}: {message[:1].lower()}{message[1:]}", node.place)


def _deepest(node: Node, loc: tuple[int | str, ...]) -> Node:
    """The node a validation error is about; parts of `loc` that name a union's arm are skipped."""
    for part in loc:
        if isinstance(part, str) and part in node.mapping:
            node = node.mapping[part]
        elif isinstance(part, int) and part < len(node.items):
            node = node.items[part]
    return node


def _is_templated(node: Node) -> bool:
    return has_template(node.text or "")


def _any_template(node: Node) -> bool:
    return any(_is_templated(each) for each in walk(node))


def compile_config(config: Node, site: Site) -> Expression:
    """The whole configuration as one expression for a mapping."""
    parts = {
        key: compile_code(each, site.at(key)) if key == CODE else compile_value(each, site.at(key))
        for key, each in config.mapping.items()
    }

    def evaluate(scope: Scope) -> Value:
        return {key: part.evaluate(scope) for key, part in parts.items()}

    return Expression(
        evaluate=evaluate,
        reads=frozenset().union(*(part.reads for part in parts.values())),
        text=", ".join(part.text for part in parts.values() if part.reads),
    )
