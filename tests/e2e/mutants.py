"""Gateways that are wrong on purpose, for the kill loop to find out.

    python -m tests.e2e.mutants late-intent|late-outcome WORDS...

runs `wardgate WORDS...` with the intent of a call written after it was forwarded, or with its outcome handed over to be
written after it was answered.
"""

import sys

import gateway.enforce
from gateway.cli.main import main
from gateway.core.account import Trail
from gateway.core.model import Kind, Record
from gateway.ending import Endings
from gateway.ports import House


class LateIntents(Endings):
    """Keep an intent back until the outcome of its call is written."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._late: dict[str, tuple[Record, str]] = {}

    async def record(self, trail: Trail, record: Record, consume: str = "") -> bool:
        """Say that the intent is written, and write it later."""
        if record.kind is Kind.INTENT:
            self._late[record.id] = (record, consume)
            return True
        if record.id in self._late:
            await super().record(trail, *self._late.pop(record.id))
        return await super().record(trail, record, consume)


class LateOutcomes(Endings):
    """Do not wait until an outcome is written."""

    async def record(self, trail: Trail, record: Record, consume: str = "") -> bool:
        """Wait for intents alone."""
        if record.kind is Kind.OUTCOME:
            self._house.records.queue(record)
            return True
        return await super().record(trail, record, consume)


MUTANTS = {"late-intent": LateIntents, "late-outcome": LateOutcomes}

if __name__ == "__main__":
    vars(gateway.enforce)["Endings"] = MUTANTS[sys.argv.pop(1)]  # the mutation itself
    main()
