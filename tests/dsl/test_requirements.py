"""`executor.requires`: what a document says that it needs."""

from __future__ import annotations

import pytest

from tests.dsl.kinds import error, warnings

FLOW = "workflow: [{step: a, tool: {kind: noop}}]\n"


def required(text: str) -> str:
    return f"executor: {{profile: local, version: noetl-runtime/1, requires: {text}}}\n{FLOW}"


@pytest.mark.parametrize(
    "text", ["{tools: [python, http]}", "{tools: python}", "{tools: [], features: []}", "{tools: {python: '>=3.11'}, features: [loops, Sub-Playbook, join]}"]
)  # fmt: skip
def test_known_tools_and_features_say_nothing(text: str) -> None:
    assert warnings(required(text)) == []


def test_a_tool_that_cannot_run_here_is_a_warning_by_whatever_name() -> None:
    found = warnings(required("{tools: [snowflake, s3]}"))

    assert found[0].endswith(
        "warning: a required tool kind 'snowflake' is not installed; pip install 'noetl-stream[snowflake]'"
    )
    assert "a required tool kind 'object' is not available" in found[1]


def test_an_unknown_tool_is_an_error_and_an_unknown_feature_a_warning() -> None:
    assert error(required("{tools: [htpt]}")).endswith(
        "error: the required tool 'htpt' is unknown; did you mean 'http'?"
    )
    assert warnings(required("{features: [lop]}"))[0].endswith(
        "warning: the required feature 'lop' is not known here; did you mean 'loop'?"
    )
