"""Outside keepers of secrets on loopback, speaking what their documentation says, as far as we ask them.

Each counts its questions, knows one login, and can be told to fail.
"""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.serving import in_a_thread

CANARY = "canary-5up3r-s3cr3t"
LOGIN = "login-t0ken-0f-0urs"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(frozen=True)
class Asked:
    """One question."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def form(self) -> dict[str, str]:
        return {name: each[0] for name, each in parse_qs(self.body.decode()).items()}


Answer = tuple[int, object]


@dataclass
class Keeper:
    """Where it listens, what it was asked, and what it does instead of answering."""

    answer: Callable[[Asked], Answer]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    fails: Answer | None = None
    hangs: bool = False
    release: threading.Event = field(default_factory=threading.Event)

    def about(self, part: str) -> list[Asked]:
        return [each for each in self.asked if part in each.path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keeper: Keeper

    def _serve(self) -> None:
        split = urlsplit(self.path)
        asked = Asked(
            method=self.command,
            path=unquote(split.path),
            query={name: each[0] for name, each in parse_qs(split.query).items()},
            headers={name.lower(): each for name, each in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("content-length", 0))),
        )
        self.keeper.asked.append(asked)
        if self.keeper.hangs:
            self.keeper.release.wait(30)
        status, told = self.keeper.fails or self.keeper.answer(asked)
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def keeping(answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None) -> Iterator[Keeper]:
    """Listen until the block ends."""
    keeper = Keeper(answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"keeper": keeper}))
    server.daemon_threads = True
    if tls is not None:
        # By the thread that reads: nobody waits for a client that hangs up while hands are shaken.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    keeper.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    with in_a_thread(server, keeper.release.set):
        yield keeper


def vault(secrets: Mapping[str, list[Any]], *, kv: int) -> Callable[[Asked], Answer]:
    """Its key-value engine, AppRole, Kubernetes login, and a transit key. `secrets` are by name, oldest version first."""
    logins = {"approle": {"role_id": "r", "secret_id": LOGIN}, "kubernetes": {"role": "r", "jwt": LOGIN}}
    cipher = AESGCM(b"v" * 32)

    def answer(asked: Asked) -> Answer:
        match asked.path.removeprefix("/v1/").split("/"):
            case ["auth", way, "login"]:
                if asked.json != logins[way]:
                    return 400, {"errors": ["invalid role or secret ID"]}
                return 200, {"auth": {"client_token": LOGIN, "lease_duration": 3600}}
            case _ if asked.headers.get("x-vault-token") != LOGIN:
                return 403, {"errors": ["permission denied"]}
            case ["transit", "encrypt", "kek"]:
                plain, bound = (b64decode(asked.json[name]) for name in ("plaintext", "associated_data"))
                sealed = cipher.encrypt(b"n" * 12, plain, bound)
                return 200, {"data": {"ciphertext": "vault:v1:" + b64encode(sealed).decode()}}
            case ["transit", "decrypt", "kek"]:
                return _decrypted(asked, cipher)
            case ["secret", "data", *rest] if kv == 2:
                return _newest(secrets.get("/".join(rest)), asked.query.get("version"))
            case ["secret", *rest] if kv == 1 and "/".join(rest) in secrets:
                return 200, {"data": secrets["/".join(rest)][-1]}
        return 404, {"errors": []}

    return answer


def _decrypted(asked: Asked, cipher: AESGCM) -> Answer:
    try:
        sealed = b64decode(asked.json["ciphertext"].removeprefix("vault:v1:"))
        plain = cipher.decrypt(b"n" * 12, sealed, b64decode(asked.json["associated_data"]))
    except Exception:  # the real one says no more either
        return 400, {"errors": ["cipher: message authentication failed"]}
    return 200, {"data": {"plaintext": b64encode(plain).decode()}}


def _newest(versions: list[Any] | None, asked: str | None) -> Answer:
    number = int(asked) if asked else len(versions or ())
    if not versions or number > len(versions):
        return 404, {"errors": []}
    return 200, {"data": {"data": versions[number - 1], "metadata": {"version": number}}}


def google(secrets: Mapping[str, list[Any]]) -> Callable[[Asked], Answer]:
    """The Secret Manager, the token endpoint and the machine's metadata in one."""

    def answer(asked: Asked) -> Answer:
        if asked.path == "/token":
            return _granted(asked)
        if asked.path.endswith("/default/token"):
            known = asked.headers.get("metadata-flavor") == "Google"
            return (200, {"access_token": LOGIN, "expires_in": 3600}) if known else (403, {})
        if asked.headers.get("authorization") != f"Bearer {LOGIN}":
            return 401, {"error": {"code": 401}}
        _, _, _, project, _, name, _, version = asked.path.removesuffix(":access").split("/")
        kept = secrets.get(name, [])
        number = len(kept) if version == "latest" else int(version)
        if project != "shop" or not 0 < number <= len(kept):
            return 404, {"error": {"code": 404}}
        payload = {"data": b64encode(_text(kept[number - 1]).encode()).decode()}
        return 200, {"name": f"projects/1/secrets/{name}/versions/{number}", "payload": payload}

    return answer


def _granted(asked: Asked) -> Answer:
    url = f"http://{asked.headers['host']}/token"
    try:
        claims = jwt.decode(asked.form["assertion"], PUBLIC, algorithms=["RS256"], audience=url)
    except jwt.PyJWTError:
        return 401, {"error": "invalid_grant"}
    if "target_audience" in claims:
        told = {"aud": claims["target_audience"], "exp": claims["iat"] + 3600}
        return 200, {"id_token": jwt.encode(told, PRIVATE, algorithm="RS256")}
    return 200, {"access_token": LOGIN, "expires_in": 3600}


def azure(secrets: Mapping[str, list[Any]]) -> Callable[[Asked], Answer]:
    """A Key Vault, the directory's token endpoint and the machine's identity in one."""

    def answer(asked: Asked) -> Answer:
        match asked.path.strip("/").split("/"):
            case ["dir", "oauth2", "v2.0", "token"]:
                known = asked.form.get("client_secret") == LOGIN
                return (
                    (200, {"access_token": LOGIN, "expires_in": 3599})
                    if known
                    else (401, {"error": "invalid_client"})
                )
            case ["metadata", "identity", "oauth2", "token"]:
                known = asked.headers.get("metadata") == "true"
                return (200, {"access_token": LOGIN, "expires_in": "3599"}) if known else (400, {})
            case ["secrets", name, *version] if asked.query.get("api-version"):
                if asked.headers.get("authorization") != f"Bearer {LOGIN}":
                    return 401, {"error": {"code": "Unauthorized"}}
                kept = secrets.get(name, [])
                number = int(version[0]) if version else len(kept)
                if 0 < number <= len(kept):
                    return 200, {"value": _text(kept[number - 1]), "id": f"/secrets/{name}/{number}"}
        return 404, {"error": {"code": "SecretNotFound"}}

    return answer


def kubernetes(secrets: Mapping[str, list[Any]]) -> Callable[[Asked], Answer]:
    """The API of one cluster, whose Secrets are all in the namespace `shop`."""

    def answer(asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {LOGIN}":
            return 403, {"kind": "Status", "code": 403}
        match asked.path.strip("/").split("/"):
            case ["api", "v1", "namespaces", "shop", "secrets", name] if name in secrets:
                entries = secrets[name][-1]
                return 200, {
                    "data": {key: b64encode(text.encode()).decode() for key, text in entries.items()}
                }
        return 404, {"kind": "Status", "code": 404}

    return answer


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
