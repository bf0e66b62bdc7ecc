"""What is read to explain an id: found by its beginning, bounded, by index, and only what the viewer may see."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway import telling as room
from gateway.approvals import Approvals
from gateway.core.model import Held, Kind, Proof, Record
from gateway.core.told import Brief, Telling
from gateway.errors import StateError
from gateway.reading import Viewer, reading
from gateway.records import Records
from gateway.schema import STORE_NAME
from gateway.store import open_store
from gateway.telling import find, tell
from tests.fakes import KEY, NOON, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE

AUDITOR, ALICE, BOB = Viewer("os:root", True), Viewer("os:alice", False), Viewer("os:bob", False)


def kept(state: Path, *records: Record) -> Path:
    """A state folder with these records."""

    async def fill() -> None:
        async with open_store(state, AT_ONCE) as store:
            for record in records:
                await Records(store, FakeClock()).append(record)

    anyio.run(fill)
    return state


def told(state: Path, id: str, viewer: Viewer = AUDITOR) -> Telling:
    with reading(state) as db:
        found = tell(db, id, viewer, NOON)
    assert found is not None
    return found


def bobs(number: int, kind: Kind = Kind.OUTCOME, **more: Any) -> Record:
    return a_record(number, kind, principal="os:bob", **{"outcome": "ok", **more})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls of alice (1) and bob (2, 3), one that is held (7), one that was held (8) and ran as another (9)."""
    state = tmp_path_factory.mktemp("house") / "state"

    async def fill() -> None:
        clock = FakeClock()
        async with open_store(state, AT_ONCE) as store:
            records, approvals = Records(store, clock), Approvals(store, clock, KEY)
            await records.append(a_record(1, Kind.OUTCOME, outcome="ok"))
            await records.append(bobs(2))
            await records.append(bobs(3))
            await records.started()
            for number in (7, 8):
                waits = a_wait(a_call(number, path=str(number)), a_tool(), an_ask(), {})
                held = await approvals.obtain(*waits, FakeCaller(budget=0))
            assert isinstance(held, Held)
            row = await approvals.vote(held.approval.id, True, "os:bob", Proof.LOCAL)
            await records.append(a_record(9, approval=row.id, reason="approved"), consume=(row.id,))
            await records.append(a_record(9, Kind.OUTCOME, approval=row.id, reason="approved", outcome="ok"))

    anyio.run(fill)
    return state


def approvals_of(state: Path) -> list[str]:
    with closing(sqlite3.connect(state / STORE_NAME)) as db:
        return [row[0] for row in db.execute("SELECT id FROM approval ORDER BY call")]


@pytest.mark.parametrize(
    ("given", "viewer", "expected"),
    [
        ("d_0000000001", AUDITOR, ["d_0000000001"]),
        ("D_oooooooo01", AUDITOR, ["d_0000000001"]),
        ("d_00", AUDITOR, ["d_0000000001", "d_0000000002"]),
        ("d_0", AUDITOR, []),
        ("d_ZZZZ", AUDITOR, []),
        ("' OR 1 --", AUDITOR, []),
        ("d_0000000007", AUDITOR, ["d_0000000007"]),
        ("d_0000000002", ALICE, []),
        ("d_00000", ALICE, ["d_0000000001", "d_0000000009"]),
        ("d_0000000001", BOB, []),
        ("d_0000000007", BOB, []),
        ("d_0000000007", ALICE, ["d_0000000007"]),
    ],
)
def test_an_id_is_found_by_its_beginning_among_what_its_viewer_may_see(
    house: Path, given: str, viewer: Viewer, expected: list[str]
) -> None:
    with reading(house) as db:
        assert find(db, given, viewer) == expected


def test_what_others_did_makes_no_beginning_ambiguous(tmp_path: Path) -> None:
    state = kept(tmp_path / "state", a_record(1), bobs(2))
    with reading(state) as db:
        assert find(db, "d_000", AUDITOR) == ["d_0000000001", "d_0000000002"]
        assert find(db, "d_000", BOB) == ["d_0000000002"]


def test_an_approval_stands_for_its_call(house: Path) -> None:
    held, used = approvals_of(house)
    with reading(house) as db:
        assert find(db, held, ALICE) == ["d_0000000007"]
        assert find(db, used[:7], ALICE) == ["d_0000000008"]
        assert find(db, used, BOB) == []


def test_a_call_that_was_only_asked_about_is_told_by_its_approval(house: Path) -> None:
    waiting = told(house, "d_0000000007", ALICE)
    assert [record.extra["state"] for _, record in waiting.rows] == ["waiting"]
    assert (waiting.main[1].kind, waiting.checkpoint) == (Kind.APPROVAL, None)


@pytest.mark.parametrize("id", ["d_0000000008", "d_0000000009"])
def test_a_call_that_was_held_and_came_again_is_one_story(house: Path, id: str) -> None:
    story = told(house, id)
    assert [record.kind for _, record in story.rows] == [Kind.APPROVAL, Kind.APPROVAL, Kind.INTENT, Kind.OUTCOME]
    assert story.main[1].id == "d_0000000009"


def test_an_approval_whose_row_is_forgotten_is_told_by_its_records(house: Path, tmp_path: Path) -> None:
    held, used = approvals_of(house)
    file = tmp_path / STORE_NAME
    with closing(sqlite3.connect(house / STORE_NAME)) as db, closing(sqlite3.connect(file)) as copy:
        db.backup(copy)
        copy.execute("DELETE FROM approval")
        copy.commit()
    with reading(tmp_path) as db:
        assert find(db, used[:7], ALICE) == [used]
        assert find(db, used, BOB) == []
        assert find(db, "d_0000000007", ALICE) == []
    story = told(tmp_path, used)
    assert story.id == "d_0000000008"
    assert [record.kind for _, record in story.rows] == [Kind.APPROVAL, Kind.APPROVAL, Kind.INTENT, Kind.OUTCOME]
    assert told(tmp_path, held).id == "d_0000000007"
    with reading(tmp_path) as db:
        assert tell(db, "a_ZZZZZZZZZZ", AUDITOR, NOON) is None


@pytest.mark.parametrize("viewer", [ALICE, BOB, Viewer("", False)], ids=lambda viewer: viewer.principal or "nobody")
def test_what_is_somebody_elses_or_the_gateways_own_is_not_told(house: Path, viewer: Viewer) -> None:
    with reading(house) as db:
        (start,) = db.execute("SELECT id FROM record WHERE kind = 'start'").fetchone()
        assert find(db, start, viewer) == []
        assert tell(db, start, viewer, NOON) is None
        for id, principal in (("d_0000000001", "os:alice"), ("d_0000000002", "os:bob"), ("d_0000000009", "os:alice")):
            assert (tell(db, id, viewer, NOON) is not None) is (viewer.principal == principal)


def test_a_record_of_the_gateways_own_is_told_to_an_auditor(house: Path) -> None:
    with reading(house) as db:
        (start,) = db.execute("SELECT id FROM record WHERE kind = 'start'").fetchone()
    story = told(house, start)
    assert (story.main[1].kind, story.similar, story.is_call) == (Kind.START, (), False)


def lists(number: int, *outputs: str, after: str = "", **more: Any) -> Record:
    """A call whose record lists outputs, and names the call that lists those before."""
    context = {"outputs": [(id, "00") for id in outputs], **({"after": after} if after else {}), **more}
    return a_record(number, context={name: value for name, value in context.items() if value})


def test_the_chain_of_outputs_is_followed_to_its_beginning_and_the_newest_come_first(tmp_path: Path) -> None:
    reads = [a_record(number, Kind.OUTCOME, outcome="ok", tool="read") for number in (1, 2, 3, 4)]
    ids = [record.id for record in reads]
    state = kept(
        tmp_path / "state",
        *reads,
        lists(11, *ids[:2]),
        lists(12, ids[2], after="d_0000000011", omitted=5),
        lists(13, ids[3], after="d_0000000012"),
    )
    before = told(state, "d_0000000013").before
    assert (before.count, before.cut) == (9, False)
    assert [each.id for each in before.latest] == ids[::-1]
    assert {each.tool for each in before.latest} == {"read"}


def test_a_chain_that_is_cut_or_goes_in_circles_says_so(tmp_path: Path) -> None:
    state = kept(
        tmp_path / "state",
        lists(11, "d_1", after="d_0000000010"),
        lists(12, "d_2", after="d_0000000013"),
        lists(13, "d_3", after="d_0000000012"),
    )
    assert told(state, "d_0000000011").before == room.Before(1, (Brief("d_1"),), True)
    circle = told(state, "d_0000000012").before
    assert (circle.count, circle.cut) == (2, True)


def test_a_chain_is_followed_so_far_and_so_many_outputs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "HOPS", 3)
    monkeypatch.setattr(room, "LATEST", 3)
    chain = [lists(number, f"d_{number}a", f"d_{number}b", after=f"d_{number - 1:010d}") for number in range(1, 7)]
    before = told(kept(tmp_path / "state", *chain), "d_0000000006").before
    assert (before.count, before.cut) == (6, True)
    assert [each.id for each in before.latest] == ["d_6b", "d_6a", "d_5b"]


def test_what_a_call_speaks_of_is_named_as_far_as_its_viewer_may_see_it(tmp_path: Path) -> None:
    carried = tuple({"argument": id, "source": id, "length": 4} for id in ("d_0000000001", "d_0000000002", "d_gone"))
    state = kept(
        tmp_path / "state",
        a_record(1, Kind.OUTCOME, tool="read", outcome="ok"),
        bobs(2, tool="secret"),
        bobs(4, Kind.PROMPT, id="l_1", extra={"text": "bob's"}),
        lists(3, "d_0000000002"),
        a_record(5, carried=carried, turn="l_1", context={"outputs": [("d_0000000002", "")], "after": "d_0000000003"}),
    )
    mine, all_of_it = told(state, "d_0000000005", ALICE), told(state, "d_0000000005")
    assert [mine.sources[each["source"]].tool for each in carried] == ["read", "", ""]
    assert [each.kind for each in mine.before.latest] == [""]
    assert mine.prompt is None
    assert [all_of_it.sources[each["source"]].tool for each in carried] == ["read", "secret", ""]
    assert [each.tool for each in all_of_it.before.latest] == ["secret"]
    assert all_of_it.prompt is not None


def test_the_chain_does_not_go_through_calls_of_others(tmp_path: Path) -> None:
    state = kept(tmp_path / "state", bobs(1, context={"outputs": [("d_x", "")]}), lists(2, "d_y", after="d_0000000001"))
    assert told(state, "d_0000000002").before.count == 2
    assert told(state, "d_0000000002", ALICE).before == room.Before(1, (Brief("d_y"),), True)


def test_a_prompt_does_not_tell_itself_as_its_own(tmp_path: Path) -> None:
    prompt = a_record(1, Kind.PROMPT, id="l_0000000001", turn="l_0000000001", tool="")
    state = kept(tmp_path / "state", prompt)
    assert told(state, "l_0000000001").prompt is None


def test_similar_calls_are_the_newest_others_of_the_same_tool_and_principal(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SIMILAR", 3)
    state = kept(
        tmp_path / "state",
        *(a_record(number, Kind.OUTCOME, outcome="ok") for number in range(1, 6)),
        a_record(6),
        a_record(7, Kind.OUTCOME, outcome="ok", tool="other"),
        a_record(8, Kind.OUTCOME, outcome="ok", upstream="other"),
        bobs(9),
    )
    similar = told(state, "d_0000000004").similar
    assert [each.id for each in similar] == ["d_0000000005", "d_0000000003", "d_0000000002"]
    (approved,) = [each for each in told(house, "d_0000000001").similar if each.id == "d_0000000009"]
    assert (approved.by, approved.proof, approved.outcome) == ("os:bob", "local", "ok")


def test_only_so_many_records_of_a_tool_are_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LOOKED", 2)
    state = kept(tmp_path / "state", a_record(1, Kind.OUTCOME, outcome="ok"), bobs(2), bobs(3), a_record(4))
    assert told(state, "d_0000000004").similar == ()


def test_the_checkpoint_is_the_first_that_covers_the_row(tmp_path: Path) -> None:
    def note(number: int, size: int) -> Record:
        return Record(Kind.CHECKPOINT, f"l_{number:010d}", NOON, extra={"size": size})

    state = kept(
        tmp_path / "state", a_record(1), note(1, 1), a_record(2), note(2, 1), note(3, 3), note(4, 5), a_record(3)
    )
    for id, covering in (("d_0000000001", "l_0000000001"), ("d_0000000002", "l_0000000003"), ("d_0000000003", "")):
        found = told(state, id).checkpoint
        assert (found.id if found else "") == covering


def test_a_row_that_is_no_record_any_more_points_to_verify(tmp_path: Path) -> None:
    state = kept(tmp_path / "state", a_record(1))
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute("UPDATE record SET body = x'00'")
    with pytest.raises(StateError, match="verify"):
        told(state, "d_0000000001")


@contextmanager
def plans(state: Path) -> Iterator[tuple[sqlite3.Connection, Callable[[], Sequence[str]]]]:
    """A reader whose questions are noted, and how SQLite would answer each of them."""
    with reading(state) as db:
        asked: list[str] = []
        db.set_trace_callback(asked.append)

        def how() -> Sequence[str]:
            db.set_trace_callback(None)
            found = []
            for query in {query for query in asked if query.startswith("SELECT")}:
                found += [f"{row[3]} <- {query}" for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
            return found

        yield db, how


@pytest.mark.parametrize("viewer", [AUDITOR, ALICE], ids=["auditor", "principal"])
@pytest.mark.parametrize("id", ["d_0000000007", "d_0000000009", "a_"])
def test_everything_is_read_by_index(house: Path, id: str, viewer: Viewer) -> None:
    given = approvals_of(house)[0] if id == "a_" else id
    with plans(house) as (db, how):
        (found,) = find(db, given, viewer)
        assert tell(db, found, viewer, NOON) is not None
        steps = how()
    scans = [step for step in steps if step.startswith("SCAN") and not step.startswith("SCAN (subquery")]
    assert len(steps) > 5
    assert scans == []
