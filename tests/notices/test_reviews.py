"""Notices of policy files that are to be reviewed, and of permissions that their owners should look at."""

import pytest

from gateway.core.model import Kind, Record
from tests.fakes import a_record
from tests.notices.test_room import Told, a_room

SIGNAL = a_record(1, Kind.SIGNAL, detail="review-due", extra={"file": "policies/mail.toml", "days": 7})
DUE = a_record(2, Kind.SIGNAL, detail="permissions-due", extra={"owner": "it@corp.example", "count": 2, "what": []})


@pytest.mark.parametrize("reachable", [True, False])
@pytest.mark.parametrize("signal", [SIGNAL, DUE], ids=["a file", "permissions"])
async def test_people_and_the_owner_are_told(signal: Record, reachable: bool) -> None:
    mail, asked = Told("owner"), []

    def find(address: str) -> Told | None:
        asked.append(address)
        return mail if reachable else None

    title = ("tell", "Wardgate: a policy is to be reviewed")
    if signal is DUE:
        title = ("tell", "Wardgate: 2 permissions are to be looked at")
    async with a_room(first := Told()) as room:
        room.notices.mail = find  # type: ignore[assignment]  # a channel that notes what it was told
        room.notices.tell_owner(signal, "it@corp.example")
        await first.heard(1)
        assert first.said == [title]
        if reachable:
            await mail.heard(1)
        assert (asked, mail.said) == (["it@corp.example"], [title] * reachable)
