"""AWS: Secrets Manager, the Systems Manager's parameters, and a key of KMS. botocore signs; nothing of it looks around."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import orjson

from noetl_stream.keychain.asking import Ask, Reply, Sender, accepted, failed
from noetl_stream.keychain.providers.service import Found, Login, Own, fields_or_text, known

_TARGETS: Final = {"secretsmanager": "secretsmanager", "ssm": "AmazonSSM", "kms": "TrentService"}
_ABSENT: Final = (
    "ResourceNotFoundException",
    "ParameterNotFound",
    "ParameterVersionNotFound",
    "NotFoundException",
)
_BUSY: Final = ("ThrottlingException", "Throttling", "RequestLimitExceeded", "LimitExceededException")
_REFUSED: Final = (
    "AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
    "ExpiredTokenException", "IncompleteSignature", "MissingAuthenticationToken", "SignatureDoesNotMatch",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Aws:
    """One region. `endpoint` is in place of its own addresses."""

    sender: Sender
    region: str
    endpoint: str | None = None

    async def read(self, ref: str, version: str | None, login: Login) -> Found:
        """Names that begin with `/` or `ssm:`, and ARNs of parameters, are parameters; all others are secrets."""
        if ref.startswith(("/", "ssm:", "arn:aws:ssm:")):
            return await self._parameter(ref.removeprefix("ssm:"), version, login)
        asked: dict[str, str] = {"SecretId": ref}
        if version is not None:
            asked["VersionStage" if version.startswith("AWS") else "VersionId"] = version
        found = await self.call("secretsmanager", "GetSecretValue", asked, login, f"secret '{ref}'")
        if isinstance(found.get("SecretString"), str):
            return Found(value=fields_or_text(found["SecretString"]))
        return Found(value=_readable(str(found.get("SecretBinary") or "")))

    async def _parameter(self, name: str, version: str | None, login: Login) -> Found:
        asked = {"Name": f"{name}:{version}" if version else name, "WithDecryption": True}
        answer = await self.call("ssm", "GetParameter", asked, login, f"parameter '{name}'")
        found = answer.get("Parameter") or {}
        return Found(value=fields_or_text(str(found.get("Value") or "")), version=found.get("Version"))

    async def call(
        self, service: str, action: str, fields: Mapping[str, Any], login: Login, what: str
    ) -> Mapping[str, Any]:
        """One action of a service that speaks JSON 1.1."""
        content = orjson.dumps(fields)
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{_TARGETS[service]}.{action}",
        }
        url = f"{self.endpoint or f'https://{service}.{self.region}.amazonaws.com'}/"
        signed = await asyncio.to_thread(self._signed, service, url, content, headers, login)
        reply = await self.sender.send(Ask(method="POST", url=url, headers=signed, content=content))
        return accepted(_told(reply), what).json("AWS")

    def _signed(
        self, service: str, url: str, content: bytes, headers: Mapping[str, str], login: Login
    ) -> Mapping[str, str]:
        if find_spec("botocore") is None:
            raise failed("botocore is not installed on this worker; pip install 'noetl-stream[aws]'")
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method="POST", url=url, data=content, headers=dict(headers))
        SigV4Auth(_credentials(login), service, self.region).add_auth(request)
        return {str(name): str(text) for name, text in request.headers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kms:
    """A symmetric key of KMS, which wraps ours and never leaves it. `name` is its id, alias or ARN."""

    aws: Aws
    own: Own
    name: str

    @property
    def id(self) -> str:
        return f"aws:{self.name}"

    async def wrap(self, key: bytes, bound: bytes) -> bytes:
        return await self._asked(
            "Encrypt", "CiphertextBlob", {"Plaintext": _text(key), "KeyId": self.name}, bound
        )

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        asked = {"CiphertextBlob": _text(wrapped), "KeyId": self.name}
        return await self._asked("Decrypt", "Plaintext", asked, bound)

    async def _asked(self, action: str, wanted: str, fields: Mapping[str, str], bound: bytes) -> bytes:
        more = {**fields, "EncryptionContext": {"noetl": _text(bound)}}
        found = (await self.aws.call("kms", action, more, known(self.own), f"key '{self.name}'")).get(wanted)
        if not isinstance(found, str):
            raise failed(f"KMS answered without {wanted}; is '{self.name}' a symmetric key?")
        return b64decode(found)


def _credentials(login: Login) -> Any:
    from botocore.credentials import Credentials

    if not login.ambient:
        key, secret = login.need("access_key_id", "secret_access_key")
        return Credentials(key, secret, login.fields.get("session_token") or None)
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        if (found := Session().get_credentials()) is not None:
            return found.get_frozen_credentials()
    except BotoCoreError as error:
        raise failed(
            f"this machine's own AWS login cannot be read ({type(error).__name__}); correct it, or name "
            "`credentials_file` in the providers' file"
        ) from None
    raise failed("this machine has no AWS login of its own; name `credentials_file` in the providers' file")


def _told(reply: Reply) -> Reply:
    """The reply with a status that says what its error type does: AWS answers 400 to nearly everything."""
    if reply.status != 400:
        return reply
    error = str(reply.json("AWS").get("__type", "")).rpartition("#")[2]
    for names, status in ((_ABSENT, 404), (_BUSY, 429), (_REFUSED, 403)):
        if error in names:
            return Reply(status=status, body=b"")
    return reply


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()


def _readable(encoded: str) -> str | Mapping[str, Any]:
    """A binary secret: as text where it is one, else in Base64."""
    try:
        return fields_or_text(b64decode(encoded).decode())
    except UnicodeDecodeError:
        return encoded
