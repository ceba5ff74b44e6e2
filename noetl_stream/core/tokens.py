"""Who holds a block's token may answer it. A token names one segment of one attempt, sealed under its execution's seed.

It is verified with the execution's first event alone: nothing is kept of tokens that were given out.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

from noetl_stream.core.events import BlockId, CallbackReceived
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest
from noetl_stream.ids import identity

SEAL_BYTES = 16
ANSWER_BYTES = 64 * 1024
"""What an answer takes at most in the log; a larger one belongs into a store, and its place into the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token says: whom it answers, and the seal that proves it. `seal` is in hex."""

    execution: int
    block: BlockId
    attempt: int
    segment: int
    seal: str

    @property
    def text(self) -> str:
        """As it is given away: opaque, and safe in a URL."""
        named = _named(self.execution, self.block, self.attempt, self.segment)
        return urlsafe_b64encode(bytes.fromhex(self.seal) + named).rstrip(b"=").decode()

    def answered(self, answer: Value, *, by: str | None, at: float) -> CallbackReceived:
        """The fact that the block has its answer; `at` is in seconds."""
        return CallbackReceived(
            block=self.block,
            attempt=self.attempt,
            segment=self.segment,
            seal=self.seal,
            time=at,
            answer=answer,
            actor=by,
        )


def issue(seed: str, execution: int, block: BlockId, attempt: int, segment: int) -> Token:
    """The token of a segment that may park: the same whoever runs it, and however often."""
    seal = _seal(seed, _named(execution, block, attempt, segment))
    return Token(execution=execution, block=block, attempt=attempt, segment=segment, seal=seal)


def read(text: str) -> Token:
    """What a token says, not yet whether it is genuine. Raises InvalidRequest for what is none."""
    try:
        sealed = urlsafe_b64decode(text.strip().encode() + b"=" * (-len(text.strip()) % 4))
        execution, _, rest = sealed[SEAL_BYTES:].decode().partition("/")
        step, *numbers = rest.rsplit("/", 4)
        epoch, iteration, attempt, segment = map(int, numbers)
        return Token(
            execution=int(execution),
            block=BlockId(step, epoch, iteration),
            attempt=attempt,
            segment=segment,
            seal=sealed[:SEAL_BYTES].hex(),
        )
    except ValueError:
        raise InvalidRequest("this is no callback token; paste the whole of what the task gave out") from None


def is_genuine(seed: str, execution: int, event: CallbackReceived) -> bool:
    """Whether whoever answers held the token of the segment that the answer names."""
    true = _seal(seed, _named(execution, event.block, event.attempt, event.segment))
    return compare_digest(true, event.seal)


def _named(execution: int, block: BlockId, attempt: int, segment: int) -> bytes:
    return f"{execution}/{block}/{attempt}/{segment}".encode()


def _seal(seed: str, named: bytes) -> str:
    key = identity("callback", seed)
    return blake2b(named, key=key, digest_size=SEAL_BYTES, person=b"noetl callback").hexdigest()
