"""A raised session on the path of a call: what would pass is asked about, reads go on, and the record says why."""

from gateway.core.model import Done, Kind
from tests.house import Model
from tests.test_enforce import ASKED, READ


async def test_what_a_rule_allows_is_asked_about_in_a_raised_session_and_the_record_says_why() -> None:
    house = Model()
    house.sessions.raising = "new-sink"
    assert isinstance(await house.call("set", value="x"), Done)
    assert house.effects == ASKED
    intent, _ = house.records.rows
    assert (intent.kind, intent.reason, intent.approval) == (Kind.INTENT, "approved", "a_0000000001")
    assert intent.facts["raised"] == "new-sink"


async def test_in_any_other_session_it_passes() -> None:
    house = Model()
    assert isinstance(await house.call("set", value="x"), Done)
    assert house.effects == ["append intent", "forward", "screen", "append outcome"]
    assert "raised" not in house.records.rows[0].facts


async def test_reads_go_on_in_a_raised_session() -> None:
    house = Model()
    house.sessions.raising = "new-sink"
    assert isinstance(await house.call("read", path="x"), Done)
    assert house.effects == READ
