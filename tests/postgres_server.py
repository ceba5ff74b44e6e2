"""Runs a real PostgreSQL for the tests, on a fresh cluster of its own; it may be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from pwd import struct_passwd
from secrets import token_hex
from tempfile import mkdtemp

import psycopg

from tests.children import HOST, Child, ChildFailed, LoginServer, ServerMissing, free_port

USER = "tests"
DEBIAN = Path("/usr/lib/postgresql")  # where it keeps each version's programs, off the PATH

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    # The machine does not crash in a test; the server may, and what it committed is then in the system's hands.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(LoginServer):
    """A PostgreSQL, and its superuser. What was committed outlives a kill; the next start recovers first."""

    @property
    def dsn(self) -> str:
        """Its first database, as a URI."""
        return self._dsn("postgres")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URI of an empty database that is there for the block. The server must be up when the block ends."""
        name = f"test_{token_hex(6)}"
        self._run(f"CREATE DATABASE {name}")
        yield self._dsn(name)
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def restart(self) -> None:
        """End in order, so that open transactions are rolled back and clients told, and start at the same address."""
        self.child.stop(signal.SIGINT)
        self.start()

    def _dsn(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@{HOST}:{self.port}/{database}"

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running() -> Iterator[Server]:
    """A fresh server that runs for the block; afterwards nothing of it is left.

    Raises:
        ServerMissing: PostgreSQL is not installed here.
        ChildFailed: it is, and yet it did not start.
    """
    programs, account = _programs(), _account()
    directory = Path(mkdtemp(prefix="noetl-postgres-"))
    with ExitStack() as undo:
        server = _server(programs, account, directory)
        undo.callback(server.child.remove)
        _initialise(programs, server)
        server.start()
        yield server


def _server(programs: Path, account: struct_passwd | None, directory: Path) -> Server:
    port = free_port()
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    asking = [str(programs / "pg_isready"), "--quiet", f"--host={HOST}", f"--port={port}"]
    child = Child(
        name="PostgreSQL",
        command=[str(programs / "postgres"), "-D", str(directory / "cluster"), f"--port={port}", *settings],
        directory=directory,
        ready=lambda: subprocess.run(asking, check=False).returncode == 0,
        killing=signal.SIGQUIT,
        account=account,
    )
    version = subprocess.check_output([programs / "postgres", "--version"], text=True).strip()
    return Server(version=version, port=port, password=token_hex(12), child=child)


def _initialise(programs: Path, server: Server) -> None:
    directory, account = server.child.directory, server.child.account
    if account:
        os.chown(directory, account.pw_uid, account.pw_gid)
    password = directory / "password"
    password.write_text(server.password)
    options = ["--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--no-locale", "--no-sync"]
    run = subprocess.run(
        [programs / "initdb", f"--pgdata={directory / 'cluster'}", f"--username={USER}", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=directory,
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=[] if account else None,
    )
    if run.returncode != 0:
        raise ChildFailed(f"PostgreSQL's cluster could not be initialised: {run.stdout}{run.stderr}")


def _programs() -> Path:
    """The folder of the server's programs."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = [folder for folder in DEBIAN.glob("*/bin") if (folder / "initdb").exists()]
    if not versions:
        raise ServerMissing(f"no `initdb` on the PATH or in {DEBIAN}")
    return max(versions, key=lambda folder: int(folder.parent.name))


def _account() -> struct_passwd | None:
    """PostgreSQL refuses to run as root: then it is whom its package made for it, else nobody."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
