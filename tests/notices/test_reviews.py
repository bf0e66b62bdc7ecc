"""Notices of policy files that are to be reviewed."""

import pytest

from gateway.core.model import Kind
from tests.fakes import a_record
from tests.notices.test_room import Told, a_room

SIGNAL = a_record(1, Kind.SIGNAL, detail="review-due", extra={"file": "policies/mail.toml", "days": 7})
TITLE = ("tell", "Wardgate: a policy is to be reviewed")


@pytest.mark.parametrize("reachable", [True, False])
async def test_people_and_the_owner_of_the_file_are_told(reachable: bool) -> None:
    mail, asked = Told("owner"), []

    def find(address: str) -> Told | None:
        asked.append(address)
        return mail if reachable else None

    async with a_room(first := Told()) as room:
        room.notices.mail = find  # type: ignore[assignment]  # a channel that notes what it was told
        room.notices.tell_review(SIGNAL, "it@corp.example")
        await first.heard(1)
        assert first.said == [TITLE]
        if reachable:
            await mail.heard(1)
        assert (asked, mail.said) == (["it@corp.example"], [TITLE] * reachable)
