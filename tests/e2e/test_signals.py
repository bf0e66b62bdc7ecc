"""Signals, through the installed gateway: an identity with a past does something new, and its session is raised."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from gateway.core.model import Kind
from gateway.people import user_name
from gateway.records import Records
from gateway.store import open_store
from tests.e2e.kit import House, call, reason, until
from tests.fakes import FakeClock, a_record

POLICY = """\
upstream = "ledger"
owner = "alice@example.com"
[[tool]]
match = "look"
effect = "read"
[[tool]]
match = "note"
effect = "write"
sinks = { text = "path" }
[[rule]]
id = "ledger.free"
tools = "note"
decide = "allow"
[signals]
new-sink = "raise"
"""
DAYS, A_DAY = 5, 12


async def a_past(state: Path, principal: str) -> None:
    """What the tester did on the days before, as the record of an earlier gateway tells it."""
    now = datetime.now(UTC)
    async with open_store(state) as store:
        records = Records(store, FakeClock())
        for day in range(DAYS, 0, -1):
            for number in range(A_DAY):
                tool, tier = ("look", "read") if number % 2 else ("note", "write")
                about = {"upstream": "ledger", "tool": tool, "tier": tier, "effect": tier, "session": "before"}
                record = a_record(
                    100 * day + number,
                    Kind.INTENT,
                    **about,
                    principal=principal,
                    client="tester",
                    arguments={"text": "/srv/a/b.txt"},
                )
                await records.append(structs.replace(record, at=now - timedelta(days=day)))
                ended = structs.replace(record, kind=Kind.OUTCOME, at=now - timedelta(days=day), outcome="ok")
                await records.append(ended)


@pytest.mark.slow
async def test_a_new_sink_is_told_and_raises_its_session_over_each_connection_without_a_name(house: House) -> None:
    house.configure(policies={"ledger": POLICY}, limits='hold = "100ms"')
    principal = f"os:{user_name(house.folder.stat().st_uid)}"
    await a_past(house.state, principal)
    async with house.client("shim", "legacy") as one, house.client("shim", "legacy") as two:
        for client in (one, two):
            assert not (await call(client, "ledger__look", {"text": "/srv/a/b.txt"})).is_error
            assert not (await call(client, "ledger__note", {"text": "/srv/a/c.txt"})).is_error
        assert not (await call(one, "ledger__look", {"text": "/srv/a/b.txt"})).is_error
        assert not (await call(one, "ledger__note", {"text": "/srv/evil/x.txt"})).is_error  # it is told of, not held
        (signal,) = await until(lambda: house.items("log", "--kind", "signal"))
        assert signal["principal"] == principal
        raised = {row["session"]: row for row in await house.items("sessions")}[signal["session"]]
        assert (raised["raised"], raised["signals"]) == ("new-sink", {"new-sink": 1})
        (told,) = raised["told"]
        assert (told["signal"], told["effect"]) == ("new-sink", "raise")
        before = f"in {DAYS * A_DAY + 5} calls on {DAYS + 1} days"
        assert told["explanation"] == f"first write to folder `/srv/evil` by {principal} with tester {before}"
        assert reason(await call(one, "ledger__note", {"text": "/srv/a/c.txt"})) == "approval-pending"
        (row,) = await house.items("approvals")
        assert (row["reason"], row["rule"]) == ("session-raised", "ledger.free")
        assert not (await call(one, "ledger__look", {"text": "/srv/a/b.txt"})).is_error
        assert reason(await call(two, "ledger__note", {"text": "/srv/a/d.txt"})) == "approval-pending"
        async with house.client("shim", "legacy") as anew, house.client("shim", "legacy", name="other") as other:
            assert reason(await call(anew, "ledger__note", {"text": "/srv/a/e.txt"})) == "approval-pending"
            assert not (await call(other, "ledger__note", {"text": "/srv/a/e.txt"})).is_error
        assert "raised by new-sink" in (await house.run("sessions")).out
    house.close()
    recorded = {row["session"]: row for row in await house.items("sessions")}[signal["session"]]
    assert (recorded["raised"], recorded["told"]) == ("new-sink", [told])
