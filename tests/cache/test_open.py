"""A cache is opened by its place, and a place that cannot be used is told at once, with what to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.objects import ObjectCache
from noetl_stream.cache.open import open_cache, remote
from noetl_stream.errors import InfrastructureError, InvalidRequest
from noetl_stream.ports.frames import Cache
from tests.cache.faulty import FaultyStore, Silence
from tests.cache.s3 import HASTY, S3, s3_server

GOOGLE = (
    'service_account_key={"private_key":"k","private_key_id":"i","client_email":"e","disable_oauth":true}'
)


async def opened(place: str | Path, folder: Path, *options: str, within: float = 10.0) -> Cache:
    return await open_cache(place, tier=folder, tier_bytes=1, options=options, within=within, patience=HASTY)


async def test_a_path_is_mapped_and_a_url_goes_through_the_store(tmp_path: Path) -> None:
    places = (str(tmp_path / "c"), tmp_path / "c", f"file://{tmp_path}/c", "memory:///")

    caches = [type(await opened(place, tmp_path / "tier")) for place in places]

    assert caches == [LocalCache, LocalCache, ObjectCache, ObjectCache]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/prefix", ("region=eu-west-1",)),
        ("s3a://bucket", ()),
        ("gs://bucket/prefix", (GOOGLE,)),
        ("az://container/prefix", ("account_name=us", "account_key=a2V5")),
        ("abfss://container@us.dfs.core.windows.net/prefix", ("account_key=a2V5",)),
    ],
)
def test_every_cloud_is_the_same_code(tmp_path: Path, url: str, options: tuple[str, ...]) -> None:
    """Without its network: the URL and the options are understood."""
    assert isinstance(remote(url, tier=tmp_path, tier_bytes=1, options=options), ObjectCache)


async def test_an_unknown_scheme_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'ftp://x' is no place for a cache; .*s3.*://"):
        await opened("ftp://x", tmp_path)


@pytest.mark.parametrize(
    ("option", "why"),
    [("endpoit=x", r"Configuration key: 'endpoit' is not valid.*see docs/cache.md"), ("x", "no KEY=VALUE")],
)
async def test_an_unusable_option_is_told(tmp_path: Path, option: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        await opened("s3://bucket", tmp_path, option)


async def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InfrastructureError, match=r"cache at .*file cannot be used \(.*\); check space"):
        await opened(tmp_path / "file", tmp_path)
    with pytest.raises(InfrastructureError, match=r"cache at .*file cannot be used \(.*\); check space"):
        await opened("memory:///", tmp_path / "file")


async def test_an_endpoint_where_nobody_listens_is_told(tmp_path: Path) -> None:
    nobody = S3(endpoint="http://127.0.0.1:1")

    with pytest.raises(InfrastructureError, match=r"s3://bucket does not answer \(.*\); check its endpoint"):
        await opened("s3://bucket", tmp_path, *nobody.options)


@pytest.mark.slow
async def test_an_endpoint_that_says_nothing_is_told_in_time(tmp_path: Path, proxy: FaultyStore) -> None:
    proxy.always, began = Silence(), time.monotonic()

    with pytest.raises(InfrastructureError, match=r"s3://bucket did not answer within 0\.2 s; check"):
        await opened("s3://bucket", tmp_path, *proxy.as_s3.options, within=0.2)
    assert time.monotonic() - began < 5


@pytest.mark.slow
async def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, s3: S3) -> None:
    with pytest.raises(
        InfrastructureError, match=r"bucket of the cache at s3://nowhere/x is not there \(404.*NoSuchBucket"
    ):
        await opened("s3://nowhere/x", tmp_path, *s3.options)


@pytest.mark.slow
async def test_credentials_that_the_store_does_not_know_are_told(tmp_path: Path) -> None:
    with s3_server(demands_users=True) as strict:
        bucket = strict.new_bucket()
        with pytest.raises(
            InfrastructureError, match=r"refuses the platform's credentials \(403.*\); renew them"
        ) as told:
            await opened(bucket, tmp_path, *strict.options)

    assert "a-secret" not in str(told.value)


@pytest.mark.slow
async def test_without_credentials_the_places_to_put_them_are_told(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(InfrastructureError, match=r"no credentials were found .* docs/cache\.md"):
        await opened(s3.new_bucket(), tmp_path, f"endpoint={s3.endpoint}")


@pytest.mark.slow
async def test_the_providers_own_variables_count(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")

    assert isinstance(await opened(s3.new_bucket(), tmp_path), ObjectCache)
