"""`broker`: the embedded broker alone in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli import broker_care, logs
from noetl_stream.cli.ending import carry_out, ended_role
from noetl_stream.cli.options import Chosen, Data, Debug, Json
from noetl_stream.cli.ready import say_ready
from noetl_stream.commitlog.fsync import FsyncPolicy
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.broker.settings import BrokerSettings
    from noetl_stream.broker.tls import Tls

PORT = 9092
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to bind; 0: any free one.")]
Host = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="Address to bind; 0.0.0.0: all of them.")
]
Advertised = Annotated[
    str | None,
    typer.Option(
        "--advertised-host",
        metavar="NAME",
        help="Name that clients are told to use. Default: the address at which they came.",
    ),
]
Fsync = Annotated[
    str,
    typer.Option("--fsync", metavar="commit|interval|none", help="When the log is synced (docs/broker.md)."),
]
FsyncInterval = Annotated[
    int,
    typer.Option(
        "--fsync-interval-ms", metavar="MS", min=1, help="How long a record may wait, under `interval`."
    ),
]
Certificate = Annotated[
    Path | None, typer.Option("--tls-certificate", metavar="PEM", help="Speak TLS, with this certificate.")
]
Key = Annotated[
    Path | None,
    typer.Option("--tls-key", metavar="PEM", help="Its key. Default: it stands with the certificate."),
]
ClientCa = Annotated[
    Path | None,
    typer.Option("--tls-client-ca", metavar="PEM", help="Clients must show a certificate of this authority."),
]
Sasl = Annotated[bool, typer.Option("--sasl", help="Clients must log in: by SCRAM, over TLS also by PLAIN.")]
MostConnections = Annotated[
    int, typer.Option("--max-connections", metavar="N", min=1, help="Connections at once, in all.")
]
MostFromOne = Annotated[
    int | None,
    typer.Option(
        "--max-connections-per-address", metavar="N", min=1, help="Connections at once from one address."
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--max-connection-rate", metavar="N", min=0.1, help="New connections a second; more must wait."
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", metavar="PORT", min=0, max=65535, help="Serve /metrics at 127.0.0.1:PORT."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the command and those below it."""
    group = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
    group.callback()(broker)
    broker_care.add_to(group)
    app.add_typer(group, name="broker")


def broker(
    ctx: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    advertised_host: Advertised = None,
    data: Data = None,
    fsync: Fsync = "commit",
    fsync_interval_ms: FsyncInterval = 50,
    tls_certificate: Certificate = None,
    tls_key: Key = None,
    tls_client_ca: ClientCa = None,
    sasl: Sasl = False,
    max_connections: MostConnections = 2000,
    max_connections_per_address: MostFromOne = None,
    max_connection_rate: Rate = None,
    metrics_port: MetricsPort = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Only the embedded broker, until Ctrl-C. It speaks Kafka's protocol to any client.

    Examples: `noetl-stream broker --port 9092 --data .noetl` · `noetl-stream broker --host 0.0.0.0 --sasl --tls-certificate broker.pem --tls-key broker.key`
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = Chosen(bootstrap=ctx.obj.bootstrap, data=data or ctx.obj.data)
        return
    from noetl_stream.broker.settings import BrokerSettings

    settings = BrokerSettings(
        host=host,
        port=port,
        advertised_host=advertised_host,
        fsync=_policy(fsync),
        fsync_interval=fsync_interval_ms / 1000,
        tls=_tls(tls_certificate, tls_key, tls_client_ca),
        sasl=sasl,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        max_connection_rate=max_connection_rate,
        metrics_port=metrics_port,
    )
    raise typer.Exit(
        ended_role(carry_out(_alone(broker_care.folder_of(ctx, data).absolute(), settings, as_json=as_json)))
    )


def _policy(text: str) -> FsyncPolicy:
    match text:
        case "commit" | "interval" | "none":
            return text
        case _:
            raise InvalidRequest(f"there is no --fsync {text}; use commit, interval or none")


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    from noetl_stream.broker.tls import Tls

    if certificate is None:
        if key is not None or client_ca is not None:
            raise InvalidRequest("--tls-key and --tls-client-ca need a --tls-certificate; name one as well")
        return None
    return Tls(certificate=certificate, key=key or certificate, client_ca=client_ca)


async def _alone(folder: Path, settings: BrokerSettings, *, as_json: bool) -> int:
    from noetl_stream.broker.broker import EmbeddedBroker
    from noetl_stream.broker.launch import allow_many_files

    logs.of_a_role()
    allow_many_files()
    async with EmbeddedBroker(folder, settings=settings) as running:
        place = {"bootstrap": running.bootstrap, "data": str(folder)}
        if settings.metrics_port is not None:
            place["metrics"] = running.metrics_url
        say_ready("broker", place, as_json=as_json)
        failure = await running.failed
    raise failure
