"""Playbooks that the tests of the command line run, break and look at."""

from __future__ import annotations

HELLO = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: hello, path: examples/hello, description: Greets}
workload: {who: world, style: {mark: "!"}}
workflow:
  - step: start
    tool:
      kind: python
      input: {who: "{{ workload.who }}", mark: "{{ workload.style.mark }}"}
      code: |
        result = {"greeting": f"Hello, {who}{mark}"}
    next: shout
  - step: shout
    tool: {kind: noop, result: "{{ start.greeting | upper }}"}
"""

FAILING = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: failing, path: examples/failing}
workflow:
  - step: start
    tool: {kind: noop}
    next: load
  - step: load
    tool:
      kind: python
      code: |
        print("looking for the month")
        raise ValueError("there is no month 13")
"""

SLEEPING = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: sleeping, path: examples/sleeping}
workflow:
  - step: start
    tool:
      kind: python
      code: |
        import time
        time.sleep(300)
"""

TABLE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: table, path: examples/table}
workflow:
  - step: squares
    loop: {in: [1, 2, 3], iterator: n, spec: {mode: parallel}}
    tool: {kind: python, input: {n: "{{ iter.n }}"}, code: "result = n * n"}
    next: rows
  - step: rows
    tool: {kind: duckdb, query: "select i, 2 * i as twice from range(500) t(i)"}
"""

BROKEN = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: broken}
workflow:
  - step: start
    tool:
      kind: pyhton
      code: "result = 1"
    next:
      arcs:
        - step: nowhere
  - step: second
    inptu: {a: 1}
    tool: {kind: noop}
"""
BROKEN_AT = ("7:13", "11:17", "13:5")
"""Line and column of each error in it."""

WARNED = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: warned}
workflow:
  - step: start
    tool: {kind: noop}
  - step: lonely
    tool: {kind: noop}
"""

CUT_OFF = "kind: [Playbook\n"
