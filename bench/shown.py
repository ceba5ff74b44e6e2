"""How the figures of a run are printed: one JSON object for machines, or a line for each."""

from __future__ import annotations

import json
from collections.abc import Mapping


def show(found: Mapping[str, float], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, figure in found.items():
        print(f"{name:40} {figure:>12,}")
