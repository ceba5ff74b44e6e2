"""Who is asked for a credential follows from what the document says of it, and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.keychain.resolving import Resolver
from noetl_stream.ports.credentials import Secret, Wanted
from tests.keychain.conftest import wanted


@dataclass(slots=True)
class Giver:
    """Gives one text, and remembers for what."""

    text: str
    asked: list[Wanted] = field(default_factory=list)

    async def resolve(self, wanted: Wanted) -> Secret:
        self.asked.append(wanted)
        return Secret(wanted.alias, self.text, provider=self.text, version=3)


def resolver() -> Resolver:
    return Resolver(
        document=Giver("document"),
        stored=Giver("stored"),
        kinds={"oauth2": Giver("oauth2")},
        providers={"vault": Giver("vault")},
    )


@pytest.mark.parametrize(
    ("asked", "giver"),
    [
        ({}, "stored"),
        ({"kind": "credential"}, "stored"),
        ({"kind": "secret_manager"}, "stored"),
        ({"kind": "secrets"}, "stored"),
        ({"kind": "secret_manager", "provider": "vault"}, "vault"),
        ({"provider": "vault"}, "vault"),
        ({"provider": "secret_manager"}, "stored"),
        ({"kind": "oauth2"}, "oauth2"),
        ({"kind": "oauth2", "provider": "vault"}, "oauth2"),
        ({"kind": "static", "settings": {"data": {"x": "y"}}}, "document"),
        ({"kind": "bearer", "settings": {"token": "t"}}, "document"),
    ],
)
async def test_each_is_asked_for_what_is_its(asked: dict[str, Any], giver: str) -> None:
    assert (await resolver().resolve(wanted(**asked))).reveal() == giver


async def test_a_bearer_s_token_may_be_a_text_of_the_keychain() -> None:
    secret = await resolver().resolve(wanted(kind="bearer", settings={"credential": "gh"}))

    assert secret.reveal() == {"token": "stored"}
    assert (secret.provider, secret.version) == ("stored", 3)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"provider": "aws"}, "knows no provider 'aws' (it knows vault)"),
        ({"kind": "kerberos"}, "knows no kind 'kerberos' (it knows oauth2)"),
    ],
)
async def test_what_nobody_gives_is_refused_with_the_names_of_those_there_are(
    asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ToolError) as refused:
        await resolver().resolve(wanted(**asked))

    assert refused.value.kind == "credential"
    assert sentence in refused.value.message
    assert "keychain set pg" in refused.value.message
