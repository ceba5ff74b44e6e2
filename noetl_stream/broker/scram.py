"""SCRAM's side of a login, by scramp: the server proves itself as well, and never learns the password."""

from __future__ import annotations

from scramp import ScramException, ScramMechanism

from noetl_stream.broker.sasl import AuthenticationFailed
from noetl_stream.broker.users import Users, Verifier, verifier_of_nobody


class ScramExchange:
    """Two messages each way. For a user that does not exist it goes on as for one, and fails at the proof."""

    def __init__(self, mechanism: str, users: Users) -> None:
        self.user: str | None = None
        self._mechanism, self._users = mechanism, users
        self._name = ""
        self._server = ScramMechanism(mechanism).make_server(self._verifier)
        self._has_begun = False

    async def step(self, token: bytes) -> bytes:
        try:
            message = token.decode()
            if not self._has_begun:
                self._has_begun = True
                self._server.set_client_first(message)
                first: str = self._server.get_server_first()
                return first.encode()
            self._server.set_client_final(message)
            final: str = self._server.get_server_final()
        except (ScramException, UnicodeDecodeError) as error:
            raise AuthenticationFailed(f"user '{self._name}' by {self._mechanism}: {error}") from error
        self.user = self._name
        return final.encode()

    def _verifier(self, name: str) -> Verifier:
        self._name = name
        return self._users.find(name, self._mechanism) or verifier_of_nobody(name)
