"""The tools that are built in, and the schema of the documents that use them; an installed plugin changes neither."""

from __future__ import annotations

from noetl_stream.editor.json_schema import playbook_schema
from noetl_stream.tools.builtin import BUILTIN

KINDS = {name: plugin.kind for name, plugin in BUILTIN.items()}
SCHEMA = playbook_schema(KINDS)
