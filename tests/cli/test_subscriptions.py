"""Subscriptions on the command line: checked, stored, and never run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from noetl_stream.cli.main import app
from tests.cli.commands import written
from tests.cli.conftest import Up

CANARY = "canary-5up3r-s3cr3t"
ORDERS = f"""\
apiVersion: noetl.io/v1
kind: Subscription
metadata: {{name: orders, path: subs/orders}}
keychain: [{{name: login, kind: static, data: {{password: {CANARY}}}}}]
spec: {{source: kafka, topic: "${{STAGE}}", auth: login, dispatch: {{playbook: hello}}}}
"""


def test_validate_accepts_one_and_names_its_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = written(tmp_path, "orders.yaml", ORDERS)
    bad = written(tmp_path, "bad.yaml", ORDERS.replace("kafka", "kafka, mode: pul"))
    monkeypatch.setenv("NOETL_STREAM_ENVIRONMENT", "STAGE")
    monkeypatch.setenv("STAGE", "prod")

    accepted, refused = (CliRunner().invoke(app, ["validate", str(file)]) for file in (good, bad))

    assert (accepted.exit_code, accepted.stderr) == (0, "")
    assert refused.exit_code == 2
    assert "key 'spec.mode' of the subscription is one of pull, push; did you mean 'pull'?" in refused.stderr
    assert CANARY not in accepted.output + refused.output


def test_a_variable_that_is_not_shown_is_a_warning(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["validate", str(written(tmp_path, "orders.yaml", ORDERS)), "--json"])

    (problem,) = json.loads(ended.stdout)["problems"]
    assert (ended.exit_code, problem["severity"]) == (0, "warning")
    assert problem["message"].startswith("the variable 'STAGE' is not one that the deployment shows")


def test_running_one_says_what_to_do_instead(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["run", str(written(tmp_path, "orders.yaml", ORDERS))])

    assert ended.exit_code == 2
    assert (
        "store it with `noetl-stream register FILE`, and run the playbook of its `dispatch`" in ended.output
    )


@pytest.mark.slow
def test_the_catalog_keeps_one_and_nobody_can_submit_it(up: Up, tmp_path: Path) -> None:
    registered = up("register", written(tmp_path, "orders.yaml", ORDERS), "--json").json()
    submitted = up("submit", "subs/orders", "--wait")

    assert [(each["path"], each["version"]) for each in registered] == [("subs/orders", 1)]
    assert submitted.code == 2
    assert "'subs/orders' is a subscription, which is not run itself" in submitted.err
