"""Bad input, one row each: a task that cannot end well, and the error that its execution ends with.

A kind's owner adds rows to `FAULTS`; `test_faults` runs them all on one worker with one slot. In a task and in a sentence
`<name>` stands for what `Places` has under that name; `…` in a sentence for whatever may stand there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from tests.tools.kubernetes_api import UNPULLABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where servers and files are. Nobody listens at `dead`, nobody answers at `mute`; `near` is a metadata service."""

    site: str
    postgres: str
    nats: str
    s3: str
    strict_s3: str
    bucket: str
    kafka: str
    guarded_kafka: str
    topic: str
    files: str
    dead: str
    mute: str
    near: str = "169.254.169.254"

    def filled(self, text: str) -> str:
        for place in fields(self):
            text = text.replace(f"<{place.name}>", getattr(self, place.name))
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody answers a task that asks."""

    value: Any
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """`task` are the keys of a tool of this `kind`, `more` further lines of the document; `error`, `code` and `told` its error."""

    kind: str
    id: str
    task: str
    error: str
    code: str | None
    told: str
    more: str = ""
    answer: Answer | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.id}"

    def document(self, path: str, places: Places) -> str:
        return places.filled(
            f"apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {{name: fault, path: {path}}}\n{self.more}\n{KEYCHAIN}"
            f"workflow:\n- step: task\n  tool: {{kind: {self.kind}, {self.task}}}\n"
        )

    def says(self, sentence: str, places: Places) -> bool:
        """Whether a sentence is the one that the row tells."""
        parts = (re.escape(part) for part in places.filled(self.told).split("…"))
        return re.fullmatch(".*".join(parts), sentence, re.DOTALL) is not None


SECRETS = ("s3cret-word", "not-the-word")
"""What no error may show."""
KEYCHAIN = """\
keychain:
- {name: shop, kind: static, data: {dsn: "<postgres>"}}
- {name: shop_wrong, kind: static, data: {dsn: "<postgres>", password: not-the-word}}
- {name: shop_dead, kind: static, data: {dsn: "postgresql://ann:s3cret-word@<dead>/shop"}}
- {name: shop_mute, kind: static, data: {dsn: "postgresql://ann:s3cret-word@<mute>/shop"}}
- {name: shop_empty, kind: static, data: {password: s3cret-word}}
- {name: lake, kind: static, data: {account: acme, user: ann, password: s3cret-word}}
- {name: bus, kind: static, data: {url: "<nats>"}}
- {name: bus_wrong, kind: static, data: {url: "<nats>", user: ann, password: not-the-word}}
- {name: bus_dead, kind: static, data: {url: "nats://ann:s3cret-word@<dead>"}}
- {name: bus_mute, kind: static, data: {url: "nats://ann:s3cret-word@<mute>"}}
- {name: bus_near, kind: static, data: {url: "nats://<near>:4222"}}
- {name: store, kind: static, data: {access_key_id: ann, secret_access_key: s3cret-word, endpoint: "<s3>"}}
- {name: store_wrong, kind: static, data: {access_key_id: ann, secret_access_key: not-the-word, endpoint: "<strict_s3>"}}
- {name: store_dead, kind: static, data: {access_key_id: ann, secret_access_key: s3cret-word, endpoint: "http://<dead>"}}
- {name: store_mute, kind: static, data: {access_key_id: ann, secret_access_key: s3cret-word, endpoint: "http://<mute>"}}
- {name: store_near, kind: static, data: {access_key_id: ann, secret_access_key: s3cret-word, endpoint: "http://<near>"}}
- {name: events, kind: static, data: {bootstrap: "<kafka>"}}
- {name: events_wrong, kind: static, data: {bootstrap: "<guarded_kafka>", username: ann, password: not-the-word, mechanism: SCRAM-SHA-256}}
- {name: events_dead, kind: static, data: {bootstrap: "<dead>"}}
- {name: events_near, kind: static, data: {bootstrap: "<near>:9092"}}
- {name: events_mute, kind: static, data: {bootstrap: "<mute>"}}
"""

LATE = "task 'task' did not end within 0.5 s; raise `timeout` or make it faster"
WASM_BABBLES = '(module (memory (export "memory") 1) (data (i32.const 0) "hello") (func (export "alloc") (param i32) (result i32) (i32.const 64)) (func (export "run") (param i32 i32) (result i64) (i64.const 5)))'
UNANSWERED = "nobody answered within 0.5 s; raise `timeout`, or ask again"
NEAR = "'<near>' is a metadata service (<near>), which no task may call; use another host"
DEAD = "GET http://<dead>/… got no answer (All connection attempts failed); it can be tried again"
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
CROSS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = -1"
WASM_LOOP = '(module (memory (export "memory") 1) (func (export "_start") (loop $on (br $on))))'
WASM_RANDOM = """(module (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32))) (memory (export "memory") 1) (func (export "_start")))"""
WASM_GROWS = """(module (memory (export "memory") 1) (func (export "_start") (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable))"""
LONG = "\"{{ 'x' * 700000 }}\""

FAULTS = (
    Fault("http", "wrong credentials", "url: <site>/status/401", "auth", None, "GET <site>/status/401 answered 401 Unauthorized"),
    Fault("http", "not there", "url: <site>/status/404", "client_error", None, "GET <site>/status/404 answered 404 Not Found"),
    Fault("http", "too often", "url: <site>/status/429", "rate_limit", None, "GET <site>/status/429 answered 429 Too Many Requests"),
    Fault("http", "broken service", "url: <site>/status/500", "server_error", None, "GET <site>/status/500 answered 500 Internal Server Error"),
    Fault("http", "refused connection", "url: 'http://<dead>/'", "connection", None, DEAD),
    Fault("http", "hangs up", "url: <site>/drop", "connection", None, "GET <site>/drop got no answer (Server disconnected without sending a response.); it can be tried again"),
    Fault("http", "never answers", "url: <site>/slow, timeout: 0.5", "timeout", None, LATE),
    Fault("http", "unknown host", "url: 'http://nowhere.invalid/'", "connection", None, "the host 'nowhere.invalid' cannot be resolved (…); check the url"),
    Fault("http", "no url", "url: not a url", "validation", None, "'not a url' is no http url (…); check it"),
    Fault("http", "metadata service", "url: 'http://<near>/'", "client_error", "refused_address", NEAR),
    Fault("http", "metadata service in IPv6", "url: 'http://[::ffff:<near>]/'", "client_error", "refused_address", "'::ffff:<near>' is a metadata service (::ffff:<near>), which no task may call; use another host"),
    Fault("http", "redirect to a metadata service", "url: '<site>/redirect?to=http://<near>/'", "client_error", "refused_address", NEAR),
    Fault("http", "unlisted host", "url: <site>/", "client_error", "refused_host", "'localhost' is none of the hosts that the playbook allows; add it to `policy.network.allow`", more="policy: {network: {allow: [bank.example]}}"),
    Fault("http", "unknown alias", "url: <site>/, auth: nobody", "credential", None, "credential 'nobody' is not in the keychain of tenant 'default' for playbook '…'; set it with `noetl-stream keychain set nobody`"),
    Fault("http", "unreachable provider", "url: <site>/, auth: {key: nobody, source: vault}", "credential", None, "credential 'nobody' cannot be had: this worker is not told how to reach vault; add a section `vault` to the file of NOETL_STREAM_KEYCHAIN_PROVIDERS"),
    Fault("postgres", "wrong credentials", "auth: shop_wrong, query: SELECT 1", "auth", "refused", "no connection: … password authentication failed for user \"tests\""),
    Fault("postgres", "refused connection", "auth: shop_dead, query: SELECT 1", "connection", "unreachable", "no connection: … Connection refused …"),
    Fault("postgres", "never answers", "auth: shop_mute, query: SELECT 1, timeout: 0.5", "timeout", None, LATE),
    Fault("postgres", "no credential", "query: SELECT 1", "credential", None, "the postgres task names no credential; give it `auth: <alias>`, an alias of the keychain"),
    Fault("postgres", "credential without a host", "auth: shop_empty, query: SELECT 1", "credential", None, "credential 'shop_empty' has no host and no user; give it `host`, `user` and `password`"),
    Fault("postgres", "malformed", "auth: shop, query: SELEC 1", "sql", "42601", "command_0: syntax error at or near \"SELEC\" (line 1, column 1 of the statement)"),
    Fault("postgres", "unknown table", "auth: shop, query: SELECT * FROM nowhere", "sql", "42P01", "command_0: relation \"nowhere\" does not exist (line 1, column 15 of the statement)"),
    Fault("postgres", "unbound name", "auth: shop, query: SELECT $n, params: {m: 1}", "sql", None, "the SQL names $n, which is not in `params` (m)"),
    Fault("postgres", "nothing to run", "auth: shop, query: ' '", "validation", None, "no sql command provided"),
    Fault("postgres", "endless", "auth: shop, query: SELECT pg_sleep(1000), timeout: 0.5", "timeout", None, LATE),
    Fault("sqlite", "malformed", "query: SELEC 1", "sql", "SQLITE_ERROR", "command_0: near \"SELEC\": syntax error"),
    Fault("sqlite", "no folder", "query: SELECT 1, database: <files>/none/x.db", "sql", "SQLITE_CANTOPEN", "unable to open database file"),
    Fault("sqlite", "no database", "query: SELECT * FROM t, database: <files>/text", "sql", "SQLITE_NOTADB", "command_0: file is not a database"),
    Fault("sqlite", "endless", f"query: '{COUNT}', timeout: 0.5", "timeout", None, LATE),
    Fault("duckdb", "malformed", "query: SELEC 1", "sql", "ParserException", "Parser Error: syntax error at or near \"SELEC\"…"),
    Fault("duckdb", "no file", "query: \"SELECT * FROM '<files>/none.parquet'\"", "sql", "IOException", "command_0: IO Error: No files found that match the pattern \"<files>/none.parquet\""),
    Fault("duckdb", "metadata service", "query: \"SELECT * FROM 'http://<near>/x.parquet'\"", "sql", "Error", "command_0: …httpfs…"),
    Fault("duckdb", "unbound name", "query: SELECT $n, params: {m: 1}", "sql", None, "the SQL names $n, which is not in `params` (m)"),
    Fault("duckdb", "endless", f"query: '{CROSS}', timeout: 0.5", "timeout", None, LATE),
    Fault("adbc", "wrong credentials", "driver: postgresql, auth: shop_wrong, query: SELECT 1", "auth", "refused", "no connection: … password authentication failed for user \"tests\""),
    Fault("adbc", "refused connection", "driver: postgresql, auth: shop_dead, query: SELECT 1", "connection", "unreachable", "no connection: … Connection refused …"),
    Fault("adbc", "never answers", "driver: postgresql, auth: shop_mute, query: SELECT 1, timeout: 0.5", "timeout", None, LATE),
    Fault("adbc", "no credential", "driver: postgresql, query: SELECT 1", "credential", None, "the adbc task names no credential; give it `auth: <alias>`, an alias of the keychain"),
    Fault("adbc", "malformed", "driver: postgresql, auth: shop, query: SELEC 1", "sql", "42601", "command_0: … syntax error at or near \"SELEC\" …"),
    Fault("adbc", "endless", "driver: postgresql, auth: shop, query: SELECT pg_sleep(1000), timeout: 0.5", "timeout", None, LATE),
    Fault("snowflake", "no credential", "query: SELECT 1", "credential", None, "the snowflake task names no credential; give it `auth: <alias>`, an alias of the keychain"),
    Fault("snowflake", "credential without an account", "auth: shop_empty, query: SELECT 1", "credential", None, "credential 'shop_empty' has no `account` or no `user`; give it both, and `password`, `token` or `private_key`"),
    Fault("snowflake", "unlisted host", "auth: lake, query: SELECT 1", "client_error", "refused_host", "'acme.snowflakecomputing.com' is none of …", more="policy: {network: {allow: [bank.example]}}"),
    Fault("transfer", "wrong credentials", "source: {kind: postgres, auth: shop_wrong, table: t}, target: {kind: frame}", "auth", "refused", "postgres table t: no connection: …password authentication failed for user \"tests\""),
    Fault("transfer", "refused connection", "source: {kind: postgres, auth: shop_dead, table: t}, target: {kind: frame}", "connection", "unreachable", "postgres table t: no connection: it cannot be reached"),
    Fault("transfer", "never answers", "source: {kind: postgres, auth: shop_mute, table: t}, target: {kind: frame}, timeout: 0.5", "timeout", None, LATE),
    Fault("transfer", "metadata service", "source: {kind: kafka, auth: events_near, topic: t}, target: {kind: frame}", "client_error", "refused_address", NEAR),
    Fault("transfer", "no credential", "source: {kind: postgres, table: t}, target: {kind: frame}", "credential", None, "the source of the transfer names no credential; give it `auth: <alias>`, an alias of the keychain"),
    Fault("transfer", "malformed", "source: {kind: postgres, auth: shop, query: SELEC}, target: {kind: parquet, path: <files>/out.parquet}", "sql", "42601", "postgres query: syntax error at or near …"),
    Fault("transfer", "endless", "source: {kind: postgres, auth: shop, query: SELECT pg_sleep(1000)}, target: {kind: parquet, path: <files>/out.parquet}, timeout: 0.5", "timeout", None, LATE),
    Fault("transfer", "no file", "source: {kind: parquet, path: <files>/none.parquet}, target: {kind: frame}", "client_error", None, "parquet <files>/none.parquet: there is no file '<files>/none.parquet'; check its path"),
    Fault("transfer", "another form", "source: {kind: parquet, path: <files>/text}, target: {kind: parquet, path: <files>/out.parquet}", "validation", None, "parquet <files>/text: Parquet magic bytes not found in footer. …; check the file, or say the column's type in `types`"),
    Fault("transfer", "a file for a folder", "source: {kind: csv, path: <files>/rows.csv}, target: {kind: parquet, path: <files>/text/out.parquet}", "client_error", None, "parquet <files>/text/out.parquet: '<files>/text/out.parquet': …; check the path and its rights"),
    Fault("object", "wrong credentials", "auth: store_wrong, uri: <bucket>/x", "auth", "InvalidAccessKeyId", "the store refuses the credential for <bucket>/x (InvalidAccessKeyId); renew it, or allow it this operation"),
    Fault("object", "refused connection", "auth: store_dead, uri: s3://shop/x", "connection", None, "the store of s3://shop/x does not answer; check its endpoint and the network"),
    Fault("object", "never answers", "auth: store_mute, uri: s3://shop/x, timeout: 0.5", "timeout", None, LATE),
    Fault("object", "metadata service", "auth: store_near, uri: s3://shop/x", "client_error", "refused_address", NEAR),
    Fault("object", "no credential", "uri: s3://shop/x", "credential", None, "the object task names no credential; give it `auth: <alias>`, an alias of the keychain"),
    Fault("object", "no bucket", "auth: store, uri: s3://nowhere-at-all/x", "client_error", "no_such_bucket", "the bucket of s3://nowhere-at-all/x is not there; create it, or correct its name"),
    Fault("object", "not there", "auth: store, uri: <bucket>/none", "client_error", "not_found", "there is no object <bucket>/none; check its key"),
    Fault("object", "too long", "auth: store, uri: <bucket>/long, max_bytes: 10", "client_error", "too_large", "<bucket>/long has 100 bytes, 10 are read at most; raise `max_bytes`, or read it in place with duckdb or polars"),
    Fault("object", "another form", "auth: store, uri: <bucket>/long, format: parquet", "validation", None, "<bucket>/long does not read as parquet (…); say its `format`"),
    Fault("object", "escape by ..", "uri: 'file://<files>/../secret'", "validation", None, "'…/../secret' is no key; write one without `.` and `..` as its parts"),
    Fault("object", "escape by a link", "uri: 'file://<files>/link'", "client_error", "refused_path", "'file://<files>/link' is not under the folder that is open to tasks; name a file under it"),
    Fault("object", "file of the machine", "uri: file:///etc/passwd", "client_error", "refused_path", "'file:///etc/passwd' is not under the folder that is open to tasks; name a file under it"),
    Fault("object", "unknown scheme", "auth: store, uri: 'ftp://shop/x'", "validation", None, "no store has the scheme of 'ftp://…'; use s3, gs, az or file"),
    Fault("object", "no address", "auth: store, uri: 's3://[shop/x'", "validation", None, "'s3://[shop/x' is no address; write s3://bucket/key"),
    Fault("kafka", "wrong credentials", "auth: events_wrong, operation: consume, topic: t", "auth", None, "Kafka at … refuses the login as 'ann'; check user, password and `mechanism`"),
    Fault("kafka", "refused connection", "auth: events_dead, operation: consume, topic: t", "connection", "KafkaConnectionError", "Kafka at … failed (KafkaConnectionError); is it running, and is its address right?"),
    Fault("kafka", "never answers", "auth: events_mute, operation: consume, topic: t, timeout: 0.5", "timeout", None, LATE),
    Fault("kafka", "metadata service", "auth: events_near, operation: consume, topic: t", "client_error", "refused_address", NEAR),
    Fault("kafka", "topic of the platform", "operation: produce, topic: <topic>, value: 1", "credential", None, "the task names no credential, and topic '<topic>' of the platform's own cluster is not open to tasks; give it `auth: <alias>`, or list the topic in NOETL_STREAM_KAFKA_TOPICS"),
    Fault("kafka", "no topic", "auth: events, operation: produce, topic: nowhere, value: 1", "client_error", "unknown_topic", "there is no topic 'nowhere'; create it, or correct its name"),
    Fault("kafka", "no partition", "auth: events, operation: produce, topic: <topic>, value: 1, partition: 77", "client_error", "unknown_partition", "topic '<topic>' has no partition 77; it has 0 to 0"),
    Fault("kafka", "no offset", "auth: events, operation: consume, topic: <topic>, start: {\"0\": 777}", "client_error", "offset_out_of_range", "<topic>[0] holds the offsets 0 to 1, not 777; begin with one of them"),
    Fault("kafka", "too long", f"auth: events, operation: produce, topic: <topic>, value: [{LONG}, {LONG}]", "client_error", "too_large", "a record is larger than topic '<topic>' takes; send less, or a reference"),
    Fault("kafka", "another form", "auth: events, operation: consume, topic: <topic>", "validation", "unreadable_record", "<topic>[0]@0 does not read as json (…); say its `format`, or begin after it"),
    Fault("kafka", "no schema", "auth: events, operation: produce, topic: <topic>, value: 1, format: avro, avro_schema: {type: nothing}", "validation", None, "`avro_schema` is no Avro schema (…); correct it"),
    Fault("nats", "wrong credentials", "auth: bus_wrong, operation: get, bucket: b, key: k", "auth", None, "NATS at … refuses the credential; renew it, or grant the subject"),
    Fault("nats", "refused connection", "auth: bus_dead, operation: get, bucket: b, key: k", "connection", None, "no NATS answers at <dead>; is it running, and is its address right?"),
    Fault("nats", "never answers", "auth: bus_mute, operation: get, bucket: b, key: k, timeout: 0.5", "timeout", None, LATE),
    Fault("nats", "metadata service", "auth: bus_near, operation: get, bucket: b, key: k", "client_error", "refused_address", NEAR),
    Fault("nats", "no credential", "operation: get, bucket: b, key: k", "credential", None, "the nats task names no credential; give it `auth: <alias>`, an alias of the keychain"),
    Fault("nats", "no bucket", "auth: bus, operation: get, bucket: nowhere, key: k", "client_error", "not_found", "NATS has no such bucket, key, stream or consumer (BucketNotFoundError)"),
    Fault("nats", "nobody there", "auth: bus, operation: request, subject: nowhere, value: 1", "client_error", "no_responders", "nobody answers on this subject; start who shall, or correct it"),
    Fault("nats", "too long", f"auth: bus, operation: publish, subject: nowhere, value: [{LONG}, {LONG}]", "client_error", "too_large", "the value is larger than the server takes; send less, or a reference"),
    Fault("mcp", "refused connection", "endpoint: 'http://<dead>/mcp', method: tools/list", "connection", None, "no MCP server answers at http://<dead>/mcp (ConnectError); is it running, and is its address right?"),
    Fault("mcp", "wrong credentials", "endpoint: <site>/status/401, method: tools/list", "auth", None, "the MCP server at <site>/status/401 answered 401; check address and credential"),
    Fault("mcp", "never answers", "endpoint: 'http://<mute>/mcp', method: tools/list, timeout: 0.5", "timeout", None, LATE),
    Fault("mcp", "no server of its kind", "endpoint: <site>/, method: tools/list, timeout: 5", "client_error", "-32700", "the MCP server at <site>/ refuses the request (Failed to parse JSON response: …"),
    Fault("mcp", "metadata service", "endpoint: 'http://<near>/mcp', method: tools/list", "client_error", "refused_address", NEAR),
    Fault("subscription", "refused connection", "auth: events_dead, source: kafka, topic: t, group: g", "connection", "KafkaConnectionError", "Kafka at … failed (KafkaConnectionError); is it running, and is its address right?"),
    Fault("subscription", "wrong credentials", "auth: bus_wrong, source: nats, stream: s, consumer: c", "auth", None, "NATS at … refuses the credential; renew it, or grant the subject"),
    Fault("subscription", "no stream", "auth: bus, source: nats, stream: nowhere, consumer: c", "client_error", "not_found", "NATS has no such bucket, key, stream or consumer (stream not found)"),
    Fault("subscription", "no topic", "auth: events, source: kafka, topic: nowhere, group: g", "client_error", "unknown_topic", "there is no topic 'nowhere'; create it, or correct its name"),
    Fault("subscription", "messages of elsewhere", "auth: events, source: kafka, operation: ack, topic: <topic>, group: g, ids: [x]", "validation", None, "'x' is no message of topic '<topic>'; give `ids` those of a poll"),
    Fault("subscription", "source that is not here", "source: pubsub, subscription: s", "not_installed", None, "source 'pubsub' is not available in this version; use kafka or nats"),
    Fault("shell", "never ends", "command: \"trap '' TERM; (trap '' TERM; sleep 1000) & sleep 1000\", timeout: 0.5", "timeout", None, LATE),
    Fault("shell", "prints for ever", "command: cat /dev/zero, timeout: 0.5", "timeout", None, LATE),
    Fault("shell", "exit status", "command: 'echo too bad >&2; exit 3'", "client_error", "3", "the shell task ended with exit status 3: too bad; see its `stderr`"),
    Fault("shell", "no program", "command: [nowhere-at-all]", "client_error", "127", "the shell task ended with exit status 127: …nowhere-at-all: not found; see its `stderr`"),
    Fault("shell", "too much time of the processor", "command: 'while :; do :; done', limits: {cpu_seconds: 1}", "client_error", "-9", "the shell task ended with signal 9; see its `stderr`"),
    Fault("shell", "too much memory", "command: [python3, -c, bytearray(1 << 30)], limits: {memory_bytes: 200000000}", "client_error", "1", "the shell task ended with exit status 1: MemoryError; see its `stderr`"),
    Fault("script", "no file", "script: {uri: <files>/none.sh}", "client_error", None, "the script '<files>/none.sh' cannot be read (…); check its path"),
    Fault("script", "refused connection", "script: {uri: 'http://<dead>/x.sh'}", "connection", None, DEAD),
    Fault("script", "metadata service", "script: {uri: 'http://<near>/x.sh'}", "client_error", "refused_address", NEAR),
    Fault("script", "exit status", "script: exit 4", "client_error", "4", "the script task ended with exit status 4; see its `stderr`"),
    Fault("script", "no interpreter", "script: x, interpreter: nowhere-at-all", "client_error", "127", "the script task ended with exit status 127: …nowhere-at-all: not found; see its `stderr`"),
    Fault("script", "never ends", "script: sleep 1000, timeout: 0.5", "timeout", None, LATE),
    Fault("python", "raises", "code: raise KeyError('who')", "python", "KeyError", "KeyError: 'who' (line 1 of the code)"),
    Fault("python", "malformed", "code: x =", "python", "SyntaxError", "SyntaxError: invalid syntax (line 1 of the code)"),
    Fault("python", "never ends", "code: 'while True: pass', timeout: 0.5", "timeout", None, LATE),
    Fault("python", "ends its process", "code: import os; os._exit(3)", "python", "died", "the process of the python task ended before it answered (exit status 3); look for memory it ran out of, or code that ends its process"),
    Fault("python", "too much memory", "code: b = bytearray(1 << 36)", "python", "MemoryError", "MemoryError (line 1 of the code)"),
    Fault("python", "another form", "code: result = object()", "python", "TypeError", "TypeError: the result holds …, which is not JSON; return mappings, lists, text, numbers, a Polars frame or an Arrow table"),
    Fault("python", "no file", "script: {uri: <files>/none.py}", "client_error", None, "the script '<files>/none.py' cannot be read (…); check its path"),
    Fault("polars", "malformed", "sql: SELEC 1", "python", "SQLInterfaceError", "SQLInterfaceError: sql parser error: Expected: an SQL statement, found: SELEC…"),
    Fault("polars", "raises", "code: pl.nothing()", "python", "AttributeError", "AttributeError: module 'polars' has no attribute 'nothing' (line 1 of the code)"),
    Fault("polars", "no file", "code: \"result = pl.scan_parquet('<files>/none.parquet')\"", "python", "FileNotFoundError", "FileNotFoundError: …/files/none.parquet…"),
    Fault("polars", "never ends", "code: 'while True: pass', timeout: 0.5", "timeout", None, LATE),
    Fault("wasm", "never ends", f"plugin: {{module: '{WASM_LOOP}'}}, limits: {{fuel: 100000000000000}}, timeout: 0.5", "timeout", None, LATE),
    Fault("wasm", "too many instructions", f"plugin: {{module: '{WASM_LOOP}'}}, limits: {{fuel: 100000}}", "client_error", "fuel_exhausted", "the wasm module used up its 100,000 units of fuel; raise `limits.fuel`, or let it do less"),
    Fault("wasm", "too much memory", f"plugin: {{module: '{WASM_GROWS}'}}, limits: {{memory_bytes: 1000000}}", "client_error", "memory", "the wasm module gave up with … of its … of memory in use; raise `limits.memory_bytes`, or let it keep less"),
    Fault("wasm", "asks for what it was not granted", f"plugin: {{module: '{WASM_RANDOM}'}}", "client_error", "not_granted", "the wasm module asks for wasi_snapshot_preview1.random_get, not granted; grant `capabilities: {random: true}`"),
    Fault("wasm", "malformed", "plugin: {module: (module}", "validation", "invalid_module", "the wasm module is no valid WAT: …"),
    Fault("wasm", "another form", "plugin: <files>/text", "validation", "invalid_module", "the wasm module is no WebAssembly; give it a compiled module, or WAT text"),
    Fault("wasm", "no file", "plugin: <files>/none.wasm", "client_error", "not_found", "the wasm module '<files>/none.wasm' cannot be read (No such file or directory); check its path"),
    Fault("wasm", "escape by ..", "plugin: <files>/../secret", "client_error", "refused_path", "'file://<files>/../secret' is not under the folder that is open to tasks; name a file under it"),
    Fault("wasm", "escape by a link", "plugin: <files>/link", "client_error", "refused_path", "'file://<files>/link' is not under the folder that is open to tasks; name a file under it"),
    Fault("wasm", "folder of the machine", f"plugin: {{module: '{WASM_RANDOM}'}}, capabilities: {{random: true, files: {{/in: /etc}}}}", "client_error", "refused_path", "'file:///etc' is not under the folder that is open to tasks; name a file under it"),
    Fault("wasm", "traps", "plugin: {module: '(module (func (export \"run\") unreachable))'}", "client_error", "unreachable", "the wasm module trapped (unreachable); see its `stderr`, and mend it"),
    Fault("wasm", "no JSON", f"plugin: {{module: '{WASM_BABBLES}'}}", "validation", "invalid_result", "the wasm module's result is not JSON (…); let it write one JSON value, and print to stderr"),
    Fault("wasm", "another version", f"plugin: {{module: '{WASM_LOOP}', version: 1.0.0}}", "client_error", "version", "the wasm module has no section `version`, the task asks for '1.0.0'; put the right one there, or correct `plugin.version`"),
    Fault("ducklake", "malformed", "catalog_connection: <files>/one.ducklake, query: SELEC 1", "sql", "ParserException", "…syntax error…"),
    Fault("ducklake", "never ends", "catalog_connection: <files>/two.ducklake, query: SELECT sum(a.range * b.range) FROM range(10000000) a JOIN range(10000000) b ON a.range <> b.range, timeout: 0.5", "timeout", None, LATE),
    Fault("ducklake", "no folder", "catalog_connection: <files>/none/one.ducklake, query: SELECT 1", "sql", "IOException", "the lake 'lake' cannot be attached: …"),
    Fault("ducklake", "refused connection", "catalog_connection: 'postgresql://u:hidden@<dead>/x', data_path: <files>/rows, query: SELECT 1", "connection", "unreachable", "the catalog of 'lake': no connection: …"),
    Fault("ducklake", "never answers", "catalog_connection: 'postgresql://u:hidden@<mute>/x', data_path: <files>/rows, query: SELECT 1, timeout: 0.5", "timeout", None, LATE),
    Fault("ducklake", "metadata service", "catalog_connection: 'postgresql://u:hidden@<near>/x', data_path: <files>/rows, query: SELECT 1", "client_error", "refused_address", NEAR),
    Fault("ducklake", "no catalog", "query: SELECT 1", "validation", None, "the ducklake task: there is no catalog; give it `catalog_connection`, a file, or `auth`, a PostgreSQL"),
    Fault("artifact", "no reference", "action: get", "validation", None, "artifact needs an input `result_ref`; pass the `_ref` of a result"),
    Fault("artifact", "reference to nothing", "result_ref: 'cache:1/none/0/0/0/none.json'", "client_error", None, "'cache:1/none/0/0/0/none.json' is no reference into the cache; pass the `_ref` of a result"),
    Fault("artifact", "result that is gone", "result_ref: 'cache:1/none/0/0/0/none-b6e25c421da82cfc.arrow'", "client_error", "gone", "the result cache:1/none/0/0/0/none-b6e25c421da82cfc.arrow is gone from the cache; run its step again"),
    Fault("system", "another pool", "chore: expire_results", "not_installed", None, "tool kind 'system' is not installed on this worker"),
    Fault("artifact", "escape by ..", "result_ref: 'cache:../../secret'", "client_error", None, "'cache:../../secret' is no reference into the cache; pass the `_ref` of a result"),
    Fault("result_fetch", "no reference", "", "validation", None, "result_fetch needs an input `result_ref`; pass the `_ref` of a result"),
    Fault("container", "another namespace", "image: crunch, namespace: kube-system", "client_error", "refused_namespace", "this installation runs no containers in the namespace 'kube-system'; use jobs-here"),
    Fault("container", "image that cannot be pulled", f"image: {UNPULLABLE}", "client_error", "failed", f'the container could not start (ImagePullBackOff: Back-off pulling image "{UNPULLABLE}"); correct `image`, or allow its pull'),
    Fault("container", "answer that tells no end", "image: crunch", "validation", None, "the container's callback tells no end; answer with a `status` that is one of succeeded, failed, timed_out, cancelled, evicted, lost", answer=Answer(value="well")),
    Fault("callback", "no answer", "timeout: 0.5", "timeout", None, UNANSWERED),
    Fault("callback", "nobody to tell", "notify: {url: 'http://<dead>/'}", "connection", None, DEAD),
    Fault("callback", "metadata service", "notify: {url: 'http://<near>/'}", "client_error", "refused_address", NEAR),
    Fault("approve", "no answer", "prompt: pay?, timeout: 0.5", "timeout", None, UNANSWERED),
    Fault("approve", "somebody else", "prompt: pay?, approvers: [ann]", "auth", None, "eve answered, and only ann may; ask again", answer=Answer(value={"approved": True}, by="eve")),
    Fault("approve", "neither yes nor no", "prompt: pay?", "validation", None, "the answer neither approves nor rejects; answer {approved: true} or {approved: false}", answer=Answer(value="maybe")),
    Fault("playbook", "not registered", "path: nowhere/at/all", "playbook", "FAILED", "the playbook 'nowhere/at/all' (execution …) failed: no playbook 'nowhere/at/all' is in the catalog; register it with `noetl-stream register FILE`; see that execution's events"),
    Fault("playbook", "failing child", "path: fails", "playbook", "FAILED", "the playbook 'fails' (execution …) failed: ZeroDivisionError: division by zero (line 1 of the code); see that execution's events"),
    Fault("playbook", "child that never ends", "path: sleeps, timeout: 0.5", "timeout", None, "the playbook 'sleeps' did not end within 0.5 s and is being cancelled; raise `timeout`, or start it with `wait: false`"),
)  # fmt: skip
