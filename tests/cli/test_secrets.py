"""I9 on the command line: a run that uses a secret, and one that fails over it, show it nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import noetl, written

CANARY = "canary-5up3r-s3cr3t"
DOCUMENT = f"""\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: secrets}}
keychain:
- {{name: login, kind: static, data: {{password: {CANARY}}}}}
workflow:
- step: use
  tool:
    kind: python
    input: {{password: "{{{{ keychain.login.password }}}}"}}
    code: |
      result = {{"length": len(password), "echo": "it is " + password}}
  set: {{ctx.kept: "{{{{ use.echo }}}}"}}
  next: fail
- step: fail
  tool:
    kind: python
    input: {{password: "{{{{ keychain.login.password }}}}"}}
    code: |
      raise ValueError("no luck with " + password)
"""


@pytest.mark.slow
def test_neither_output_nor_report_nor_log_shows_a_secret(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    ended = noetl("run", written(tmp_path, "secrets.yaml", DOCUMENT), "--report", report, "--json")

    shown = ended.out + ended.err + report.read_text()
    assert ended.code == 1
    assert '"length": 19' in shown
    assert "it is [keychain.login]" in shown
    assert "no luck with [keychain.login]" in shown
    assert CANARY not in shown
