"""What the gateway has to know of an upstream to run it.

Settings only: references are resolved by the callables, at each start and never before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.transport.serve import LINE_LIMIT


def _none() -> Mapping[str, str]:
    """No variables, no headers."""
    return {}


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """One upstream: a program (`command`, `args`) or an address (`url`); times are in seconds.

    `environment` and `headers` resolve references: they may block, may raise `ConfigurationError`, and hold secrets.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    url: str = ""
    cwd: str | None = None
    environment: Callable[[], Mapping[str, str]] = _none
    headers: Callable[[], Mapping[str, str]] = _none
    era: str = "auto"  # auto | a modern revision | a legacy revision
    bare: bool = False
    timeout: float = 60.0
    start_timeout: float = 30.0
    discover_timeout: float = 3.0  # for the first question in `auto`; many legacy programs never answer it
    doubt_timeout: float = 30.0  # after a call that timed out, for any sign of life
    calls_in_flight: int = 256
    line_limit: int = LINE_LIMIT
    grace: float = 2.0
