"""`freeze` and `thaw`: what their words name, what is held then, and that they work where no gateway runs."""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from gateway.cli import accept, freeze, record, thaw
from gateway.core.approval import Chosen, Voter
from gateway.core.model import Choice, Kind, Proof
from gateway.store import open_store
from tests.cli.room import configure, run_here, running
from tests.fakes import FakeClock, a_call, a_tool
from tests.store.keep import AT_ONCE, on_disk, whole

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]
SESSIONS = [{"session": name} for name in ("s_first", "s_second", "mail", "mailing")]


def held(state: Path) -> list[tuple[str, str, str]]:
    """What the record says of freezes: state, upstream, session."""
    return [(str(row.extra["state"]), row.upstream, row.session) for row in on_disk(state) if row.kind is Kind.FREEZE]


@pytest.mark.parametrize(
    ("words", "upstream", "session", "said"),
    [
        (["--all"], "", "", "everything"),
        (["files"], "files", "", "upstream files"),
        (["s_first"], "", "s_first", "session s_first"),
        (["s_se"], "", "s_second", "session s_second"),
        (["--upstream", "mail"], "mail", "", "upstream mail"),
        (["--session", "mail"], "", "mail", "session mail"),
    ],
)
async def test_a_word_holds_what_it_names(
    tmp_path: Path, capsys: Capture, words: Sequence[str], upstream: str, session: str, said: str
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        room.sessions += SESSIONS
        ended = await room.run(freeze, *words, "--reason", "an audit of a secret")
        assert (ended.code, ended.out) == (0, f"held: {said}; `wardgate thaw` lets it go\n")
        (kept,) = room.approvals.standings.freezes()
        assert (kept.upstream, kept.session, kept.note) == (upstream, session, "an audit of a [R]")
        assert kept.by.startswith("os:")
        assert held(room.folder / "state") == [("freeze", upstream, session)]
        listed = await room.run(freeze)
        assert said in listed.out
        assert (await room.run(thaw, *words)).out == f"let go: {said}\n"
        assert room.approvals.standings.freezes() == []
        assert held(room.folder / "state")[-1][0] == "thaw"
        assert (await room.run(freeze)).out == "nothing is held\n"
    await whole(tmp_path / "c" / "state")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["mail"], 2, "--upstream mail"),
        (["fils"], 1, "`files`"),
        (["s_"], 1, "unknown"),
        (["s_fi", "--all"], 2, "one of"),
        (["--upstream", "s_first"], 1, "unknown"),
        (["--session", "files"], 1, "unknown"),
        (["mai"], 1, "unknown"),
        (["maili"], 0, ""),
        (["--reason", "why"], 2, "needs what to hold"),
        (["--every"], 2, "unknown option `--every`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_a_word_that_names_nothing_or_two_things_holds_nothing(
    tmp_path: Path, capsys: Capture, words: Sequence[str], code: int, said: str
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        room.sessions += SESSIONS
        ended = await room.run(freeze, *words)
        assert ended.code == code
        assert said in ended.err
        assert len(room.approvals.standings.freezes()) == (code == 0)


async def test_the_beginning_of_several_sessions_holds_none(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        room.sessions += [{"session": "s_one_a"}, {"session": "s_one_b"}]
        ended = await room.run(freeze, "s_one")
        assert ended.code == 1
        assert "s_one_a, s_one_b" in ended.err
        assert room.approvals.standings.freezes() == []


async def test_thaw_names_what_is_held_and_nothing_else(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        room.sessions += SESSIONS
        assert (await room.run(thaw, "files")).code == 1
        assert (await room.run(thaw, "--all")).code == 1
        assert (await room.run(thaw)).code == 2
        assert (await room.run(freeze, "files")).code == 0
        assert (await room.run(thaw, "s_first")).code == 1
        assert len(room.approvals.standings.freezes()) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["files"], "upstream `files` isn't held"),
        (["--upstream", "files"], "upstream `files` isn't held"),
        (["s_first"], "session `s_first` isn't held"),
        (["--session", "mail"], "session `mail` isn't held"),
        (["s_se"], "session `s_second` isn't held"),
        (["--session", "files"], "unknown upstream or session `files`"),
        (["filse"], "unknown upstream or session `filse`; did you mean `files`?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_what_is_known_and_not_held_is_told_as_that(
    words: Sequence[str], told: str, tmp_path: Path, capsys: Capture
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        room.sessions += SESSIONS
        assert (await room.run(freeze, "--upstream", "mail")).code == 0
        ended = await room.run(thaw, *words)
        assert (ended.code, ended.out) == (1, "")
        assert told in ended.err
        assert len(room.approvals.standings.freezes()) == 1


async def test_json_has_the_shape_that_is_promised(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        ended = await room.run(freeze, "--all", "--json")
        (item,) = json.loads(ended.out)["items"]
        assert set(item) == {"id", "upstream", "session", "tool", "by", "at", "note"}
        assert json.loads((await room.run(freeze, "--json")).out) == {"schema": 1, "items": [item], "next": None}
        assert json.loads((await room.run(thaw, "--all", "--json")).out)["items"] == [item]


async def test_a_barred_tool_is_listed_and_goes_with_its_session_and_not_with_its_upstream(
    tmp_path: Path, capsys: Capture
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks()
        await room.approvals.settle(row.id, Chosen(Choice.BAR, "no"), Voter("os:bob", Proof.LOCAL))
        assert "files/write_file in session s1" in (await room.run(freeze)).out
        room.sessions += [{"session": "s1"}]
        assert (await room.run(freeze, "files")).code == 0
        assert (await room.run(thaw, "files")).out == "let go: upstream files\n"
        assert room.approvals.standing(a_call(), a_tool()).barred
        assert (await room.run(thaw, "s1")).out == "let go: files/write_file in session s1\n"
        assert not room.approvals.standing(a_call(), a_tool()).barred


# --- where no gateway runs ------------------------------------------------------------------------------------------


async def left(folder: Path, capsys: Capture) -> Path:
    """The folder of a gateway that has run."""
    async with running(folder, capsys) as room:
        await room.asks()
    return folder


async def off(capsys: Capture, command: object, folder: Path, *words: str) -> tuple[int, str, str]:
    """Run a command where no gateway runs."""
    return await anyio.to_thread.run_sync(run_here, capsys, command, [*words, "--config", str(folder)])


async def test_without_a_gateway_the_next_one_starts_with_what_is_held(tmp_path: Path, capsys: Capture) -> None:
    folder = await left(tmp_path / "c", capsys)
    code, out, err = await off(capsys, freeze, folder, "--all", "--reason", "not kept")
    assert (code, out) == (0, "held: everything; `wardgate thaw` lets it go\n")
    assert "no gateway runs" in err
    assert "left out" in err
    assert held(folder / "state") == [("freeze", "", "")]
    assert "everything" in (await off(capsys, freeze, folder))[1]
    async with running(folder, capsys) as room:
        assert room.approvals.standing(a_call(), a_tool()).frozen
        assert [freeze.note for freeze in room.approvals.standings.freezes()] == [""]
    code, out, err = await off(capsys, thaw, folder, "--all")
    assert (code, out) == (0, "let go: everything\n")
    async with running(folder, capsys) as room:
        assert not room.approvals.standing(a_call(), a_tool()).frozen
    await whole(folder / "state")


async def test_without_a_gateway_words_name_upstreams_of_the_configuration_and_sessions_of_the_record(
    tmp_path: Path, capsys: Capture
) -> None:
    folder = await left(tmp_path / "c", capsys)
    assert (await off(capsys, freeze, folder, "mail"))[0] == 0
    assert (await off(capsys, freeze, folder, "s1"))[0] == 0
    assert (await off(capsys, freeze, folder, "s2"))[0] == 1
    assert held(folder / "state") == [("freeze", "mail", ""), ("freeze", "", "s1")]
    assert (await off(capsys, thaw, folder, "s1"))[0] == 0
    for word, told in (("files", "isn't held"), ("s1", "isn't held"), ("filos", "did you mean `files`?")):
        code, _, err = await off(capsys, thaw, folder, word)
        assert (code, told in err) == (1, True), err


async def test_grants_in_scope_lapse_without_a_gateway_too(tmp_path: Path, capsys: Capture) -> None:
    folder, clock = tmp_path / "c", FakeClock()
    async with running(folder, capsys, clock) as room:
        row = await room.asks()
        clock.wall = datetime.now(UTC)  # the command looks at the clock on the wall: a grant that stands there
        fresh = await room.asks(a_call(2, path="b.txt", text="x"))
        chosen = Chosen(Choice.PATTERN, until=clock.now() + timedelta(hours=1))
        await room.approvals.settle(fresh.id, chosen, Voter("os:bob", Proof.LOCAL))
        assert row.id != fresh.id
    assert (await off(capsys, freeze, folder, "files"))[0] == 0
    async with running(folder, capsys, clock) as room:
        (grant,) = await room.approvals.standings.grants()
        assert grant.ended.startswith("lapsed: frozen by os:")


async def test_a_gateway_that_holds_the_folder_and_does_not_answer_is_told(tmp_path: Path, capsys: Capture) -> None:
    folder = await left(tmp_path / "c", capsys)
    async with open_store(folder / "state", AT_ONCE):
        code, out, err = await off(capsys, freeze, folder, "--all")
    assert (code, out) == (3, "")
    assert "doesn't answer" in err
    assert held(folder / "state") == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (freeze, ["--all"]),
        (thaw, ["--all"]),
        (record, ["rotate", "signing"]),
        (record, ["forget", "--before", "1d", "--yes"]),
        (accept, ["policy@0123456789abcdef"]),
    ],
    ids=["freeze", "thaw", "rotate", "forget", "accept"],
)
async def test_a_command_leaves_the_store_of_another_gateway_alone(
    tmp_path: Path, capsys: Capture, command: object, words: Sequence[str]
) -> None:
    folder = await left(tmp_path / "c", capsys)
    assert (await off(capsys, freeze, folder, "--all"))[0] == 0
    async with open_store(folder / "state", AT_ONCE, owner="alpha"):
        pass
    config = folder / "upstreams.toml"
    text = config.read_text(encoding="utf-8").replace("[gateway]\n", '[gateway]\nid = "beta"\n')
    config.write_text(text, encoding="utf-8")
    before = on_disk(folder / "state")
    code, out, err = await off(capsys, command, folder, *words)
    assert (code, out) == (3, "")
    assert "belongs to the gateway `alpha`, and this configuration is of `beta`" in err
    assert on_disk(folder / "state") == before


@pytest.mark.parametrize("command", [freeze, thaw], ids=["freeze", "thaw"])
async def test_where_no_gateway_ever_ran_nothing_is_made(tmp_path: Path, capsys: Capture, command: object) -> None:
    folder = configure(tmp_path / "c")
    code, _, err = await off(capsys, command, folder, "--all")
    assert code == 3
    assert "no gateway" in err
    assert not (folder / "state").exists()


async def test_a_configuration_that_can_not_be_read_is_exit_code_1(tmp_path: Path, capsys: Capture) -> None:
    for words in ([], ["--all"]):
        assert (await off(capsys, freeze, tmp_path / "none", *words))[0] == 1
    assert (await off(capsys, thaw, tmp_path / "none", "--all"))[0] == 1


@pytest.mark.parametrize("name", ["freeze", "thaw", "grants", "approvals", "approve", "deny"])
def test_a_command_starts_light(name: str) -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'rich', 'typer', 'pydantic', 'msgspec'"
    code = f"import gateway.cli.{name}, sys; print([each for each in ({heavy}) if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
