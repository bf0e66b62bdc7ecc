"""The clock of the machine, behind `ports.Clock`.

The only module that asks the system for the time; everything else is given a clock.
"""

import time
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Sleeper(Protocol):
    """A `ports.Clock` that can also be waited on, so that tests turn its hands."""

    def now(self) -> datetime:
        """Aware UTC wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait for at least so many seconds of the monotonic clock."""


class SystemClock:
    """Wall time and monotonic time of this machine."""

    def now(self) -> datetime:
        """Aware UTC wall time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for at least so many seconds."""
        await anyio.sleep(seconds)
