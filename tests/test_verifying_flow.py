"""`verify` where somebody edited what is known of tainted sessions and of what they wrote."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from gateway.core.model import Kind
from gateway.records import Records
from gateway.store import open_store
from gateway.store.flow import forgotten
from gateway.verifying import verify_folder
from tests.fakes import NOON, FakeClock, a_record
from tests.store.contract_flow import a_taint
from tests.store.keep import AT_ONCE
from tests.test_verifying_people import edited

FORMS = tuple(f"{number:016x}" for number in range(4))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A state folder: a session that was tainted, and what it wrote, by itself and by what its result said."""

    async def fill() -> None:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            records = Records(store, FakeClock())
            await records.append(a_taint(1, private=True))
            await records.append(a_record(2, Kind.INTENT, arguments={"marks": ["x"]}, marks=FORMS[:2]))
            await records.append(a_record(2, Kind.OUTCOME, at=NOON + timedelta(seconds=9), marks=FORMS[1:3]))

    anyio.run(fill)
    return tmp_path / "state"


def test_what_nobody_touched_is_whole(kept: Path) -> None:
    found = verify_folder(kept)
    assert found.ok, found.detail


@pytest.mark.parametrize(
    ("edit", "detail"),
    [
        (f"DELETE FROM written WHERE form = '{FORMS[2]}'", "is not known any more"),
        ("DELETE FROM written", "is not known any more"),
        ("UPDATE written SET at = '2020-01-01T00:00:00.000000Z'", "is not known any more"),
        ("UPDATE written SET at = '2099-01-01T00:00:00.000000Z'", "no record tells that"),
        (f"INSERT INTO written VALUES ('{FORMS[3]}', 'd_0000000002', '')", "no record tells that"),
        (f"INSERT INTO written VALUES ('{FORMS[3]}', x'00', 1)", "no record tells that"),
        ("DELETE FROM flow", "is not as tainted as the record says"),
        ("UPDATE flow SET tainted = 0", "is not as tainted as the record says"),
        ("UPDATE flow SET private = 0", "is not as tainted as the record says"),
        ("INSERT INTO flow VALUES ('os:eve', 'desk', '', 1, 1, '', '')", "no record tells why"),
    ],
    ids=lambda value: value[:52],
)
def test_tables_of_the_flow_that_were_edited_behind_the_back_are_found(edit: str, detail: str, kept: Path) -> None:
    found = verify_folder(edited(kept, edit))
    assert (found.ok, detail in found.detail) == (False, True), found.detail


def test_what_a_person_had_forgotten_is_not_missed(kept: Path) -> None:
    async def forget() -> None:
        async with open_store(kept, AT_ONCE) as store:
            extra = forgotten(1, NOON + timedelta(seconds=5))
            about = a_record(5, Kind.FLOW, at=NOON + timedelta(minutes=5), session="", extra=extra)
            await Records(store, FakeClock()).append(about)

    anyio.run(forget)
    found = verify_folder(kept)
    assert found.ok, found.detail
    assert not verify_folder(edited(kept, f"DELETE FROM written WHERE form = '{FORMS[1]}'")).ok


@pytest.mark.parametrize("body", ["{}", "[1]", '{"marks":7}', '{"marks":[7],"id":[]}', '{"extra":[]}', '"marks":'])
@pytest.mark.parametrize("seq", [1, 2])
def test_rows_that_are_no_records_break_nothing(body: str, seq: int, kept: Path) -> None:
    text = body.replace("'", "''")
    found = verify_folder(edited(kept, f"UPDATE record SET body = CAST('{text}' AS BLOB) WHERE seq = {seq}"))
    assert (found.ok, found.first_bad) == (False, seq)
