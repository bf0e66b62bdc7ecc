"""What the gateway says of itself over HTTP to programs that watch it: `/healthz`, `/readyz` and `/metrics`.

The first two are for everybody and name nothing; whether somebody may read the third is the door's to know. No decision
on calls here.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

ALIVE, READY, METRICS = "/healthz", "/readyz", "/metrics"
PATHS = frozenset((ALIVE, READY, METRICS))
JSON = "application/json"


class Unready(str, Enum):
    """Why a gateway shouldn't get calls now."""

    STARTING = "upstreams-starting"
    SCANNER = "scanner-loading"
    RECORD = "record-failed"
    DRAINING = "draining"


class Readiness(Struct, frozen=True):
    """Why it isn't ready (nothing: it is), and how many upstreams are in which state."""

    reasons: tuple[Unready, ...]
    upstreams: Mapping[str, int]


class Told(NamedTuple):
    """An answer."""

    status: int
    body: bytes
    type: str = JSON


class Probes(Protocol):
    """What knows how the gateway is."""

    async def readiness(self) -> Readiness:
        """Whether it is ready."""

    async def metrics(self) -> tuple[bytes, str]:
        """The metrics, and the content type that they have."""


async def told(path: str, probes: Probes) -> Told:
    """The answer to a request for one of `PATHS`, of somebody who may have it."""
    if path == METRICS:
        return Told(200, *await probes.metrics())
    if path == ALIVE:
        return Told(200, b'{"status":"alive"}')
    found = await probes.readiness()
    status = "unready" if found.reasons else "ready"
    about = {"status": status, "reasons": found.reasons, "upstreams": found.upstreams}
    return Told(503 if found.reasons else 200, msgspec.json.encode(about))
