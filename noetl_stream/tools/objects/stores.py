"""A client of obstore for a place, told everything: it then asks no variable, no profile and no metadata service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.connecting import TOKEN, field_of
from noetl_stream.tools.objects.place import ACCOUNT, Place

KEY_ID: Final = ("access_key_id", "aws_access_key_id", "access_key", "key_id", "access_id", "username")
KEY_SECRET: Final = ("secret_access_key", "aws_secret_access_key", "secret_key", "secret", "password")
_SESSION: Final = ("session_token", "aws_session_token", "security_token")
_SERVICE: Final = ("service_account_key", "service_account_json", "service_account", "credentials_json")
_ACCOUNT_KEY: Final = ("account_key", "storage_account_key", "access_key")
_SAS: Final = ("sas_token", "sas_key", "sas")
_GOOGLE_S3: Final = "https://storage.googleapis.com"
_RETRY: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


def local_store() -> ObjectStore:
    """Files; who may reach which was checked before."""
    return LocalStore(Path("/"))


def default_endpoint(place: Place, region: str, secret: Secret | None) -> str:
    """Where a place is asked, if nobody says otherwise."""
    match place.provider:
        case "gcs":
            return _GOOGLE_S3
        case "azure":
            account = None if secret is None else field_of(secret, ACCOUNT)
            return f"https://{account or 'unknown'}.blob.core.windows.net"
        case _:
            return f"https://s3.{region}.amazonaws.com"


def store_of(place: Place, secret: Secret | None, endpoint: str, region: str) -> ObjectStore:
    """The client. Without a secret it asks as nobody.

    Raises:
        ToolError: the secret has not what the store wants.
    """
    client: Any = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(hours=1),
    }
    try:
        match place.provider:
            case "gcs" if secret is None or field_of(secret, KEY_ID) is None:
                return _gcs(place.bucket, secret, endpoint, client)
            case "azure":
                return _azure(place.bucket, secret, endpoint, client)
            case _:
                return _s3(place.bucket, secret, endpoint, region, client)
    except (BaseError, ValueError):
        # What obstore says of it may quote the credential.
        raise _unfit(secret, place, "cannot be used") from None


def _s3(bucket: str, secret: Secret | None, endpoint: str, region: str, client: Any) -> ObjectStore:
    config: Any = {
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "region": region,
        "virtual_hosted_style_request": False,
        "s3_express": False,
        "unsigned_payload": False,
        "conditional_put": "etag",
        "skip_signature": secret is None,
    }
    given = None if secret is None else _keys(secret)
    provider: Any = None if given is None else lambda: given
    return S3Store(
        bucket, config=config, client_options=client, retry_config=_RETRY, credential_provider=provider
    )


def _keys(secret: Secret) -> Mapping[str, Any]:
    key, hidden = field_of(secret, KEY_ID), field_of(secret, KEY_SECRET)
    if key is None or hidden is None:
        raise ToolError(
            f"credential '{secret.alias}' has no key for S3; give it `access_key_id` and `secret_access_key`",
            kind="credential",
        )
    session = field_of(secret, _SESSION)
    return {
        "access_key_id": str(key),
        "secret_access_key": str(hidden),
        "token": None if session is None else str(session),
        "expires_at": None,
    }


def _gcs(bucket: str, secret: Secret | None, endpoint: str, client: Any) -> ObjectStore:
    config: Any = {"base_url": endpoint, "skip_signature": secret is None}
    more: dict[str, Any] = {"client_options": client, "retry_config": _RETRY}
    if secret is None:
        return GCSStore(bucket, config=config, **more)
    if token := field_of(secret, TOKEN):
        provider: Any = lambda: {"token": str(token), "expires_at": None}  # noqa: E731
        return GCSStore(bucket, config=config, credential_provider=provider, **more)
    config["service_account_key"] = _service_account(secret)
    return GCSStore(bucket, config=config, **more)


def _service_account(secret: Secret) -> str:
    whole = secret.reveal()
    found = whole if isinstance(whole, str) else field_of(secret, _SERVICE)
    if found is None and field_of(secret, ("private_key",)) is not None:
        found = dict(whole) if isinstance(whole, Mapping) else None
    if found is None:
        raise ToolError(
            f"credential '{secret.alias}' has nothing for Google's store; give it `service_account_key` or `token`",
            kind="credential",
        )
    return found if isinstance(found, str) else orjson.dumps(found).decode()


def _azure(container: str, secret: Secret | None, endpoint: str, client: Any) -> ObjectStore:
    config: Any = {"endpoint": endpoint, "skip_signature": secret is None, "use_emulator": False}
    if secret is not None:
        config |= _azure_keys(secret)
    return AzureStore(container, config=config, client_options=client, retry_config=_RETRY)


def _azure_keys(secret: Secret) -> dict[str, str]:
    named = {
        "account_name": ACCOUNT,
        "account_key": _ACCOUNT_KEY,
        "sas_key": _SAS,
        "token": TOKEN,
        "client_id": ("client_id",),
        "client_secret": ("client_secret",),
        "tenant_id": ("tenant_id",),
    }
    found = {
        key: str(value) for key, names in named.items() if (value := field_of(secret, names)) is not None
    }
    if "account_name" not in found or not found.keys() & {"account_key", "sas_key", "token", "client_secret"}:
        raise ToolError(
            f"credential '{secret.alias}' has nothing for Azure; give it `account_name` and `account_key` or `sas_token`",
            kind="credential",
        )
    return found


def _unfit(secret: Secret | None, place: Place, why: str) -> ToolError:
    who = "the place" if secret is None else f"credential '{secret.alias}'"
    return ToolError(
        f"{who} {why} for {place.provider}://{place.bucket}; check its fields", kind="credential"
    )
