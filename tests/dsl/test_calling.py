"""Which playbooks a document starts: each that it names and that no catalog knows is told at its place."""

from __future__ import annotations

from noetl_stream.dsl.calling import missing_children

DOCUMENT = """\
policy: {on_failure: {playbook: tidy}}
workbook:
- {name: w, tool: {kind: playbook, path: known}}
workflow:
- {step: a, tool: {kind: playbook, path: knwon}}
- {step: b, tool: {kind: playbook, path: "{{ workload.path }}"}}
- {step: c, tool: {kind: playbook, path: "{% if x %}known{% endif %}"}}
- {step: d, tool: {kind: python, path: elsewhere}}
"""


def test_a_child_that_nobody_knows_is_told_and_one_that_a_template_names_is_left_to_the_run() -> None:
    found = missing_children(DOCUMENT, "a.yaml", {"known"})

    assert [str(each) for each in found] == [
        "a.yaml:5:42: warning: the playbook 'knwon' that it starts is not in the catalog; did you mean 'known'?",
        "a.yaml:1:33: warning: the playbook 'tidy' that it starts is not in the catalog; "
        "register it with `noetl-stream register FILE`",
    ]


def test_a_subscription_starts_the_playbook_that_it_dispatches_to() -> None:
    (found,) = missing_children("spec: {dispatch: {playbook: p}}\n", "a.yaml", ())

    assert found.message == "the playbook 'p' that it starts is not in the catalog"
