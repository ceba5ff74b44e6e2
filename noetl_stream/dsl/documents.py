"""Any document of the language: a playbook or a subscription, told apart by its `kind`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from noetl_stream.dsl.compiler import Compiled, compile_playbook
from noetl_stream.dsl.source import load
from noetl_stream.dsl.subscription import CompiledSubscription, compile_subscription
from noetl_stream.ports.tools import Kind


def compile_document(
    text: str,
    *,
    file: str,
    kinds: Mapping[str, Kind],
    environment: Mapping[str, str] | None = None,
    pools: Iterable[str] | None = None,
) -> Compiled | CompiledSubscription:
    """Compile whichever it is. Raises InvalidPlaybook like the two that it chooses between."""
    if is_subscription(text, file):
        return compile_subscription(text, file=file, environment=environment, pools=pools)
    return compile_playbook(text, file=file, kinds=kinds, pools=pools)


def is_subscription(text: str, file: str) -> bool:
    """Whether the document says so. Raises InvalidPlaybook for what cannot be read."""
    kind = load(text, file).get("kind")
    return kind is not None and kind.text == "Subscription"
