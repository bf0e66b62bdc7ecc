"""What people are asked to sign: kept in memory for a few minutes, and good for one answer. It verifies nothing."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from msgspec import Struct, field

from gateway.clock import Sleeper
from gateway.core.approval import Terms
from gateway.core.signed import ApproverKey
from gateway.errors import ApprovalError

LASTS = timedelta(minutes=5)  # how long it can be answered
MOST = 256  # of one purpose at a time; the oldest is forgotten


class Purpose(Enum):
    """What a signature is asked for."""

    APPROVE = "approve"
    ENROL = "enrol"
    ENDORSE = "endorse"
    SIGN_IN = "sign-in"


class Asked(Struct, frozen=True):
    """One thing to sign: a document (of rows, or of a new key), or nothing but a challenge."""

    at: datetime
    purpose: Purpose
    document: str = ""
    origin: str = ""  # of the page; empty: any page, or an ssh key
    name: str = ""  # of the approver whose key it is about
    approvals: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)  # the answer
    terms: Terms | None = None
    key: ApproverKey | None = None  # the new one
    how: str = ""  # why a new key counts as it does; empty: it was tried, and needs somebody


class Waiting:
    """All that waits for a signature, by the challenge or the nonce that its answer comes with."""

    def __init__(self, clock: Sleeper) -> None:
        self._clock = clock
        self._asked: dict[bytes, Asked] = {}

    def put(self, asked: Asked, *names: bytes) -> None:
        """Wait for an answer under each of these names."""
        now = self._clock.now()
        self._asked = {name: kept for name, kept in self._asked.items() if now - kept.at < LASTS}
        # INVARIANT: whoever asks to sign in, which anybody may, drives out nothing else.
        alike = [name for name, kept in self._asked.items() if kept.purpose is asked.purpose]
        for name in alike[: max(0, len(alike) - MOST + 1)]:
            del self._asked[name]
        self._asked.update(dict.fromkeys(names, asked))

    def look(self, name: bytes, purpose: Purpose) -> Asked:
        """What waits under a name; raises `ApprovalError` where nothing does any more."""
        asked = self._asked.get(name)
        if asked is None or asked.purpose is not purpose or self._clock.now() - asked.at >= LASTS:
            raise ApprovalError("that was signed before, or too late, or never asked for: begin anew", "stale")
        return asked

    def take(self, name: bytes, purpose: Purpose) -> Asked:
        """The same, for an answer. INVARIANT: whoever comes back with it again has signed nothing."""
        asked = self.look(name, purpose)
        self._asked = {other: kept for other, kept in self._asked.items() if kept is not asked}
        return asked
