"""The inventory at the installed gateway: what is known without one, what was used, and owners who are told once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.kit import DEADLINE, LABELS, House, text, until
from tests.notices.receiver import receiving

pytestmark = pytest.mark.slow


async def row(house: House, tool: str, *words: str) -> dict[str, Any]:
    (found,) = [each for each in await house.items("tools", *words) if each["tool"] == tool]
    return found


async def test_the_inventory_knows_what_is_used_and_tells_owners_what_is_due(house: House) -> None:
    review = datetime.now(UTC).date() + timedelta(days=5)
    due = LABELS.replace('owner = "alice@example.com"', f'owner = "alice@example.com"\nreview_by = {review}')
    with receiving() as receiver:
        house.environment["WHERE"] = receiver.url("hook")
        house.configure(policies={"ledger": due}, notify='desktop = false\nto = ["env:WHERE"]')
        untouched = await row(house, "look")  # no gateway has run: from the lock and the policies alone
        assert (untouched["state"], untouched["effect"], untouched["last_used"]) == ("accepted", "read", "")
        assert untouched["who"] == {"other": "allow", "tester": "allow", "unknown": "allow"}
        assert (await house.run("tools", "--notify")).code == 3
        async with house.client("http", "modern") as client:
            for word in ("one", "two"):
                assert text(await client.call_tool("ledger__look", {"text": word})) != ""

            async def counted() -> bool:
                """Whether both calls are on the record, which reads are a moment later."""
                return bool((await row(house, "look"))["calls_30d"] == 2)

            await until(counted)
            live = await row(house, "look")
            assert (live["state"], live["unused_days"], live["last_used"] != "") == ("accepted", 0, True)
            assert (await row(house, "wipe"))["calls_30d"] == 0
            (told,) = await house.items("tools", "--notify", "--due", "14")
            assert (told["owner"], told["told"]) == ("alice@example.com", False)
            assert "placeholder" in told["why"]
            assert told["what"]["ledger/wipe"] == f"to be reviewed by {review}"
            (again,) = await house.items("tools", "--notify", "--due", "14")
            assert (again["told"], "already" in again["why"]) == (False, True)
            assert await house.items("tools", "--notify", "--due", "0", "--unused", "1") == []

            def heard() -> list[dict[str, str]]:
                return [got for got in receiver.got if "to be looked at" in got["title"]]

            (got,) = await until(heard, DEADLINE)
            assert f"ledger/look: to be reviewed by {review}" in got["message"]
            (recorded,) = await house.items("log", "--text", "permissions-due")
            assert (recorded["kind"], recorded["principal"][:3]) == ("signal", "os:")
        assert len(heard()) == 1
    after = await row(house, "look")  # nobody runs any more
    assert (after["calls_30d"], after["last_used"]) == (2, live["last_used"])
    assert (house.state / "usage.json").stat().st_mode & 0o777 == 0o600
    assert (await row(house, "look", "--start"))["state"] == "accepted"  # the upstreams were asked
    checked = await house.run("tools", "--check", "--kind", "tool", "--owner", "alice")
    assert (checked.code, checked.out.count("unreachable: ")) == (1, 1)
