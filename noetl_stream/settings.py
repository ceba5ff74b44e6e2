"""Everything that a deployment may choose, and the only reader of the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from noetl_stream.adapters.security import Mechanism, Protocol, Security, client_context, read_login
from noetl_stream.core.lanes import LANES
from noetl_stream.wire.topics import Topics

_PREFIX = "NOETL_STREAM_"


class Settings(BaseModel):
    """Each field is set by the command line, else by `NOETL_STREAM_<FIELD>`, else by its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap: str = Field(
        "", description="Kafka brokers as HOST:PORT, comma-separated; empty: the embedded one"
    )
    security_protocol: Protocol = Field(
        "PLAINTEXT", description="How to reach named brokers: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: Mechanism = Field(
        "SCRAM-SHA-512", description="How to log in: SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN"
    )
    sasl_username: str = Field("", description="The user to log in as")
    sasl_password_file: Path | None = Field(
        None, description="File whose first line is the password; the password itself is never a setting"
    )
    tls_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that brokers' certificates are checked by; empty: the system's",
    )
    tls_certificate: Path | None = Field(None, description="PEM file of a certificate to show to brokers")
    tls_key: Path | None = Field(
        None, description="PEM file of its key; empty: it stands with the certificate"
    )
    data: Path = Field(
        Path(".noetl"), description="Folder of the embedded broker's log, the cache and scratch files"
    )
    cache: str = Field(
        "", description="Place of the shared cache: a path or s3://, gs://, az://; empty: in `data`"
    )
    cache_options: tuple[str, ...] = Field(
        (), repr=False, description="Options of the cache's store as KEY=VALUE: endpoint, region and others"
    )
    cache_tier_bytes: int = Field(8 << 30, ge=0, description="Bound of the local tier before a remote cache")
    tenant: str = Field("default", description="Whose requests these are: the request topic's tenant")
    prefix: str = Field("noetl.", description="Prefix of every topic and consumer group")
    partitions: int = Field(
        8, ge=1, description="Partitions of the event log; fixed for ever at creation (128 on a cluster)"
    )
    replication: int | None = Field(
        None, ge=1, description="Copies of each new topic; empty: three, or one where there is one broker"
    )
    pools: tuple[str, ...] = Field(("default",), min_length=1, description="Worker pools that exist")
    slots: int = Field(16, ge=1, description="Blocks that a worker runs at once")
    processes: int = Field(2, ge=1, description="Warm subprocesses for python and polars tasks, per worker")
    task_memory: int | None = Field(
        None, ge=64 << 20, description="Bytes that one such subprocess may allocate; unbounded by default"
    )
    task_cpu: int | None = Field(
        None,
        ge=1,
        description="Seconds of processor time for one python or polars task; unbounded by default",
    )
    allow_private: bool = Field(
        False,
        description="Whether addresses that a document names for its tools may be private and loopback ones",
    )
    files: Path | None = Field(None, description="Folder that object and wasm tasks may reach; empty: none")
    keychain_key_file: Path | None = Field(
        None,
        description="File of the key that the keychain's credentials stand under; never made by itself: `keychain new-key`",
    )
    keychain_old_key_files: tuple[Path, ...] = Field(
        (),
        description="Files of keys that they can still be opened with, while `keychain rotate-key` goes on",
    )
    keychain_key: str = Field(
        "", description="Key in a service, in place of the key file: vault:NAME (transit) or aws:KEY (KMS)"
    )
    keychain_old_keys: tuple[str, ...] = Field(
        (), description="Keys in services that credentials can still be opened with, likewise"
    )
    keychain_providers: Path | None = Field(
        None, description="YAML file of how vault, aws, gcp, azure and k8s are reached, and as whom"
    )
    keychain_development: bool = Field(
        False, description="Whether the providers `env` and `file` give credentials; for development only"
    )
    keychain_environment: tuple[str, ...] = Field(
        (), description="Variables that the provider `env` may give"
    )
    keychain_folder: Path | None = Field(None, description="Folder whose files the provider `file` may give")
    kubernetes: str = Field(
        "",
        pattern=r"^(https?://[^\s]+)?$",
        description="API of the Kubernetes that runs container tasks, as https://HOST:PORT; empty: none does",
    )
    kubernetes_token_file: Path | None = Field(
        None, description="File of the service account's token; read for each request, since it is renewed"
    )
    kubernetes_ca: Path | None = Field(
        None, description="PEM file of the authority of its certificate; empty: the system's"
    )
    kubernetes_namespaces: tuple[str, ...] = Field(
        ("default",),
        min_length=1,
        description="Namespaces that container tasks may use; the first by default",
    )
    container_engine: str = Field(
        "",
        pattern=r"^(unix:///[^\s]+)?$",
        description="Socket of the engine that runs container tasks, as unix:///var/run/docker.sock; instead of a Kubernetes",
    )
    kubernetes_instance: str = Field(
        "noetl-stream",
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        description="Label of this installation's Jobs or containers; another one where two share a namespace or an engine",
    )
    reply_topics: tuple[str, ...] = Field(
        ("replies",), description="Topics, or prefixes ending in *, for replies"
    )
    kafka_topics: tuple[str, ...] = Field(
        (),
        description="Topics of this cluster, or prefixes ending in *, that kafka tasks may use without a credential",
    )
    environment: tuple[str, ...] = Field((), description="Variables that templates may read as `env`")
    timeout: float = Field(10.0, gt=0, description="Seconds to wait for a broker before giving up")

    @field_validator("pools")
    @classmethod
    def _named_apart_from_lanes(cls, pools: tuple[str, ...]) -> tuple[str, ...]:
        """A pool's lanes have topics and groups of their own, under the pool's name and theirs."""
        if found := next((pool for pool in pools if pool.rpartition(".")[2] in LANES), None):
            raise ValueError(f"'{found}' would be a lane of another pool; use another name")
        return pools

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.prefix, partitions=self.partitions, replication=self.replication)

    @property
    def cache_place(self) -> str | Path:
        return self.cache or self.data / "cache"

    @property
    def scratch(self) -> Path:
        """Where each worker of this machine has a folder of its own, while it runs."""
        return self.data / "scratch"

    @property
    def security(self) -> Security:
        """What every client is made with; its files are read now.

        Raises:
            InvalidRequest: a part is missing or unusable.
        """
        protocol, tls, login = self.security_protocol, None, None
        if protocol in ("SSL", "SASL_SSL"):
            tls = client_context(self.tls_ca, self.tls_certificate, self.tls_key)
        if protocol in ("SASL_PLAINTEXT", "SASL_SSL"):
            login = read_login(self.sasl_mechanism, self.sasl_username, self.sasl_password_file)
        return Security(tls=tls, login=login)

    def at(self, bootstrap: str) -> Self:
        """These settings with an address. Without one they meant the embedded broker, which asks for no login."""
        plain = {} if self.bootstrap else {"security_protocol": "PLAINTEXT"}
        return self.model_copy(update={"bootstrap": bootstrap, **plain})

    def group(self, role: str) -> str:
        """The consumer group of a role."""
        return f"{self.prefix}{role}"

    def reply_allowed(self, topic: str) -> bool:
        """Replies go to listed topics, never to ours nor to Kafka's own."""
        if topic.startswith((self.prefix, "__")):
            return False
        return any(topic == t or (t.endswith("*") and topic.startswith(t[:-1])) for t in self.reply_topics)

    def visible_environment(self) -> Mapping[str, str]:
        """The allow-listed variables."""
        return {name: os.environ[name] for name in self.environment if name in os.environ}

    def development_secrets(self) -> Mapping[str, str]:
        """The variables of the provider `env`: nothing unless development is said."""
        listed = self.keychain_environment if self.keychain_development else ()
        return {name: os.environ[name] for name in listed if name in os.environ}


def settings_from_environment(**chosen: object) -> Settings:
    """Settings from `NOETL_STREAM_*`, overridden by what was chosen on the command line (None: not chosen)."""
    found: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        text = os.environ.get(_PREFIX + name.upper())
        if text is not None:
            is_list = field.annotation in (tuple[str, ...], tuple[Path, ...])
            found[name] = _listed(text) if is_list else text
    return Settings.model_validate(
        found | {name: value for name, value in chosen.items() if value is not None}
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def this_host() -> str:
    return socket.gethostname()
