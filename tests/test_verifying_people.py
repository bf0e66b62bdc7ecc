"""`verify` where somebody edited the tables beside the record: approvals, grants, freezes, keys of approvers."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.approval import Chosen, Voter
from gateway.core.model import ApprovalState, Choice, Decision, Labels, Proof, SinkKind
from gateway.core.record import columns, encode
from gateway.schema import STORE_NAME
from gateway.store import people
from gateway.store.port import Entry
from gateway.verifying import verify_folder
from tests.fakes import DEADLINE, FakeCaller, a_call, a_record, a_tool, a_wait, an_ask
from tests.signing import Office, an_office

BOB, ASK = Voter("os:bob", Proof.LOCAL), an_ask(Proof.LOCAL)
Edit = Callable[[sqlite3.Connection], object]
TOOL = replace(a_tool(), labels=Labels(sinks={"path": SinkKind.PATH}, payload=("text",)))


async def asks(office: Office, number: int, decision: Decision = ASK) -> str:
    """The id of a row that waits."""
    call = a_call(number, path=f"{number}.txt", text="x")
    held = await office.approvals.obtain(*a_wait(call, TOOL, decision, call.arguments), FakeCaller(budget=0))
    return held.approval.id  # type: ignore[union-attr]  # it is held


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A state folder: grants that stand and that ended, a freeze, a bar and one that was let go, rows, and keys."""

    async def fill() -> Path:
        with anyio.fail_after(DEADLINE):
            async with an_office(tmp_path) as office:
                desk = office.approvals
                for number, scope in enumerate((Choice.ARGUMENTS, Choice.PATTERN)):
                    row = await asks(office, number)
                    await desk.settle(row, Chosen(scope, until=office.clock.now() + timedelta(hours=2)), BOB)
                grants = await desk.standings.grants()
                await desk.revoke(grants[0].id, "os:bob")
                for number in (6, 7):
                    about = a_record(number, authorised={"grant": grants[1].id}, arguments={"grant": "g_none"})
                    use = people.use_grant(grants[1].id, office.clock.now())
                    assert await office.store.append((Entry(encode(about), columns(about)),), (use,))
                await desk.settle(await asks(office, 3), Chosen(Choice.BAR), BOB)
                for upstream in ("mail", "chat"):
                    await desk.freeze(upstream, "", "os:bob", "")
                await desk.standings.thaw("chat", "", "os:bob")
                two = await asks(office, 4, an_ask(Proof.LOCAL, approvers=2))
                await desk.settle(two, Chosen(Choice.ONCE), BOB)
                await office.security_key()
                await office.security_key("bob")
                return office.state

    return anyio.run(fill)


def edited(state: Path, *edits: str) -> Path:
    """A copy of the state folder in which somebody ran these statements; its record is untouched."""
    copy = state.with_name("edited")
    shutil.copytree(state, copy)
    with closing(sqlite3.connect(copy / STORE_NAME, isolation_level=None)) as db:
        for edit in edits:
            assert db.execute(edit).rowcount > 0, edit
    return copy


def test_what_nobody_touched_is_whole(kept: Path) -> None:
    found = verify_folder(kept)
    assert found.ok, found.detail


FORGED = (
    """ballots = '[{"approve":true,"at":"2026-11-22T12:00:00.000000Z","by":"os:eve","evidence":{},"note":"","""
    """"proof":"local"}]'"""
)
CARD = "card = CAST(replace(CAST(card AS TEXT), '{}', '{}') AS BLOB)"
BODY = "body = CAST(replace(CAST(body AS TEXT), '{}', '{}') AS BLOB)"


@pytest.mark.parametrize(
    ("edit", "detail"),
    [
        (f"UPDATE approval SET {CARD.format('local', 'client')}", "the card of approval"),
        (f"UPDATE approval SET {CARD.format('.txt', '.cfg')}", "the card of approval"),
        ("UPDATE granted SET ended = ''", "is not ended as the record says"),
        ("UPDATE granted SET ended = 'revoked by os:eve'", "is not ended as the record says"),
        ("UPDATE granted SET uses = uses + 1", "is not what was given"),
        ("UPDATE granted SET used = -99", "is not what was given"),
        ("UPDATE granted SET used = used - 1 WHERE used > 0", "is not what was given"),
        (f"UPDATE approval SET {FORGED} WHERE state = 'waiting'", "are not those given"),
        ("UPDATE approval SET ballots = '[]' WHERE state = 'waiting'", "are not those given"),
        ("UPDATE granted SET used = uses + 1", "is not what was given"),
        ("UPDATE granted SET expires_at = '2099-01-01T00:00:00.000000Z'", "is not what was given"),
        (f"UPDATE granted SET {BODY.format('write_file', 'send_money')}", "is not what was given"),
        ("UPDATE granted SET id = 'g_MADEUP' WHERE ended = ''", "no record tells of grant `g_MADEUP`"),
        ("DELETE FROM frozen WHERE upstream = 'mail'", "no record tells by whom"),
        ("DELETE FROM frozen WHERE tool <> ''", "no record tells by whom"),
        ("INSERT INTO frozen VALUES ('l_MADEUP', '', '', '', 'os:eve', '', '')", "no record tells of freeze"),
        ("UPDATE approver_key SET name = 'eve' WHERE name = 'bob'", "is not the one that was enrolled"),
        ("UPDATE approver_key SET key = 'other'", "is not the one that was enrolled"),
        ("UPDATE approver_key SET attended = 1 - attended", "is not the one that was enrolled"),
        ("DELETE FROM approver_key WHERE name = 'bob'", "is not the one that was enrolled"),
        (
            "INSERT INTO approver_key (id, name, kind, key, attended, added_at, added_by) "
            "VALUES ('made-up', 'ada', 'ssh', '', 1, '', '')",
            "no record tells of key `made-up`",
        ),
    ],
    ids=lambda value: value[:44],
)
def test_a_table_that_was_edited_behind_the_back_is_found(edit: str, detail: str, kept: Path) -> None:
    found = verify_folder(edited(kept, edit))
    assert (found.ok, detail in found.detail) == (False, True), found.detail


@pytest.mark.parametrize(
    ("decision", "edit", "back", "detail"),
    [
        pytest.param(
            an_ask(Proof.SIGNED),
            CARD.format('"proof":"signed"', '"proof":"local"'),
            CARD.format('"proof":"local"', '"proof":"signed"'),
            "is not what it was when it was opened",
            id="proof",
        ),
        pytest.param(
            an_ask(Proof.LOCAL, approvers=2),
            CARD.format('"approvers":2', '"approvers":1'),
            CARD.format('"approvers":1', '"approvers":2'),
            "is not what it was when it was opened",
            id="number",
        ),
        pytest.param(an_ask(Proof.LOCAL, approvers=2), FORGED, "", "that were never given", id="a-vote"),
    ],
)
def test_a_row_that_was_made_easier_to_approve_is_found_though_it_was_put_back(
    decision: Decision, edit: str, back: str, detail: str, tmp_path: Path
) -> None:
    """The gateway reads its own tables: what it settles after that stands on the record with what it read."""

    async def settle() -> Path:
        async with an_office(tmp_path, verified=False) as office:
            row = await asks(office, 1, decision)
            await office.store._writer.run(lambda db: db.execute(f"UPDATE approval SET {edit}"))
            assert (await office.approvals.settle(row, Chosen(Choice.ONCE), BOB)).state is ApprovalState.APPROVED
            if back:
                await office.store._writer.run(lambda db: db.execute(f"UPDATE approval SET {back}"))
            return office.state

    found = verify_folder(anyio.run(settle))
    assert (found.ok, detail in found.detail) == (False, True), found.detail
