"""The providers' file: how this installation reaches outside keepers of secrets, and as whom.

A login is only ever a file that is named here, or the machine's own where a section says `ambient: true`. Files are read
anew each time, so that a renewed token counts at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from noetl_stream.errors import InvalidRequest
from noetl_stream.keychain.asking import Direct, Sender, failed
from noetl_stream.keychain.providers.aws import Aws
from noetl_stream.keychain.providers.azure import AUTHORITY, Azure
from noetl_stream.keychain.providers.azure import METADATA as AZURE_METADATA
from noetl_stream.keychain.providers.google import METADATA, Google
from noetl_stream.keychain.providers.kubernetes import Kubernetes
from noetl_stream.keychain.providers.service import Login, Service
from noetl_stream.keychain.providers.vault import Vault

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MOST = 1 << 20

Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]


class Section(BaseModel):
    """What every keeper's section has."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    allow: tuple[str, ...] = Field(
        description="names that playbooks may read with the platform's login; `*` stands for anything, `{tenant}` for the "
        "execution's tenant"
    )

    def service(self, guarded: Sender, timeout: float) -> Service:
        """The keeper. `guarded` is the way to addresses that are not the operator's word."""
        raise AssertionError("each section has its own")

    def own(self) -> Login | None:
        """The platform's login as it is now. Raises ToolError if its file cannot be read."""
        raise AssertionError("each section has its own")


class VaultSection(Section):
    address: Url = Field(description="of the server")
    mount: str = Field("secret", description="path of the key-value engine")
    kv: Literal[1, 2] = Field(2, description="version of that engine")
    namespace: str | None = Field(None, description="of the enterprise edition")
    ca: Path | None = Field(None, description="PEM file of authorities")
    token_file: Path | None = Field(None, description="login by a token")
    role_id_file: Path | None = Field(None, description="login by AppRole, with `secret_id_file`")
    secret_id_file: Path | None = Field(None, description="login by AppRole, with `role_id_file`")
    kubernetes_role: str | None = Field(None, description="login by a pod's service account, as this role")
    kubernetes_token_file: Path = Field(_POD / "token", description="of that service account")
    transit: str = Field("transit", description="path of the engine of keys")

    @model_validator(mode="after")
    def _one_login(self) -> VaultSection:
        if (self.role_id_file is None) != (self.secret_id_file is None):
            raise ValueError("name role_id_file and secret_id_file together")
        if sum(each is not None for each in (self.token_file, self.role_id_file, self.kubernetes_role)) > 1:
            raise ValueError("name one login: token_file, role_id_file or kubernetes_role")
        return self

    def service(self, guarded: Sender, timeout: float) -> Vault:
        sender = Direct(ca=self.ca, timeout=timeout)
        return Vault(
            sender=sender, address=self.address, mount=self.mount, kv=self.kv, namespace=self.namespace
        )

    def own(self) -> Login | None:
        if self.token_file is not None:
            return Login(fields={"token": _read(self.token_file)})
        if self.role_id_file is not None and self.secret_id_file is not None:
            role, secret = _read(self.role_id_file), _read(self.secret_id_file)
            return Login(fields={"role_id": role, "secret_id": secret})
        if self.kubernetes_role is not None:
            return Login(fields={"role": self.kubernetes_role, "jwt": _read(self.kubernetes_token_file)})
        return None


class AwsSection(Section):
    region: str = Field(description="where the secrets are")
    endpoint: Url | None = Field(None, description="in place of AWS's own addresses")
    credentials_file: Path | None = Field(
        None, description="JSON with access_key_id, secret_access_key and perhaps session_token"
    )
    ambient: bool = Field(False, description="log in as the machine does")

    def service(self, guarded: Sender, timeout: float) -> Aws:
        return Aws(sender=Direct(timeout=timeout), region=self.region, endpoint=self.endpoint)

    def own(self) -> Login | None:
        return _machine_or_file(self.ambient, self.credentials_file)


class GcpSection(Section):
    project: str | None = Field(None, description="of secrets that are named without one")
    endpoint: Url = Field("https://secretmanager.googleapis.com", description="of the Secret Manager")
    credentials_file: Path | None = Field(None, description="a service account's JSON")
    ambient: bool = Field(False, description="log in as the machine does")
    metadata: Url = Field(METADATA, description="who tells the machine's login")

    def service(self, guarded: Sender, timeout: float) -> Google:
        return Google(
            sender=Direct(timeout=timeout),
            guarded=guarded,
            project=self.project,
            endpoint=self.endpoint,
            metadata=self.metadata,
        )

    def own(self) -> Login | None:
        return _machine_or_file(self.ambient, self.credentials_file)


class AzureSection(Section):
    vault: Url = Field(description="of the Key Vault")
    authority: Url = Field(AUTHORITY, description="who gives tokens")
    tenant_id: str | None = Field(None, description="login by a client secret: the directory")
    client_id: str | None = Field(None, description="login by a client secret: the application")
    client_secret_file: Path | None = Field(None, description="login by a client secret")
    ambient: bool = Field(False, description="log in as the machine does")
    metadata: Url = Field(AZURE_METADATA, description="who tells the machine's login")

    def service(self, guarded: Sender, timeout: float) -> Azure:
        return Azure(
            sender=Direct(timeout=timeout), vault=self.vault, authority=self.authority, metadata=self.metadata
        )

    def own(self) -> Login | None:
        if self.ambient:
            return Login(fields={}, ambient=True)
        if self.client_secret_file is None:
            return None
        secret = _read(self.client_secret_file)
        return Login(
            fields={"tenant_id": self.tenant_id, "client_id": self.client_id, "client_secret": secret}
        )


class K8sSection(Section):
    server: Url = Field("https://kubernetes.default.svc", description="of the API")
    namespace: str = Field(description="of Secrets that are named without one")
    ca: Path | None = Field(_POD / "ca.crt", description="PEM file of authorities")
    token_file: Path = Field(_POD / "token", description="a service account's token")

    def service(self, guarded: Sender, timeout: float) -> Kubernetes:
        sender = Direct(ca=self.ca, timeout=timeout)
        return Kubernetes(sender=sender, server=self.server, namespace=self.namespace)

    def own(self) -> Login | None:
        return Login(fields={"token": _read(self.token_file)})


class Providers(BaseModel):
    """The whole file, one section each."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    vault: VaultSection | None = None
    aws: AwsSection | None = None
    gcp: GcpSection | None = None
    azure: AzureSection | None = None
    k8s: K8sSection | None = None

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Those that there are, by the providers' names."""
        for name in type(self).model_fields:
            if (section := getattr(self, name)) is not None:
                yield name, section


def read_providers(path: Path) -> Providers:
    """The file, in YAML or JSON. Raises InvalidRequest with the place of what is wrong."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        told = YAML(typ="safe", pure=True).load(path.read_text())
    except OSError as error:
        raise InvalidRequest(
            f"the providers' file {path} cannot be read ({error.strerror}); name one that can"
        ) from error
    except (YAMLError, UnicodeDecodeError):
        raise InvalidRequest(f"the providers' file {path} is no YAML; correct it") from None
    try:
        return Providers.model_validate(told or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidRequest(f"the providers' file {path}: {where}: {first['msg']}; correct it") from None


def _machine_or_file(ambient: bool, path: Path | None) -> Login | None:
    if ambient:
        return Login(fields={}, ambient=True)
    return None if path is None else Login(fields=_mapping(path))


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        found = orjson.loads(_read(path))
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise failed(f"the login's file {path} is no JSON mapping; correct it")
    return found


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise failed(f"the login's file {path} cannot be read ({why}); let this worker read it") from None
    if not text:
        raise failed(f"the login's file {path} is empty; write the login into it")
    return text
