"""`wardgate tools`: the inventory from the lock, the policies and the record, with nothing started."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.accepted import Accepted
from gateway.agreed import POLICY, Agreed, Mark
from gateway.cli import tools
from gateway.cli.inventory import ago, plain, print_told
from gateway.core.canon import canonical, digest
from gateway.core.lock import Locked, render
from gateway.core.model import Kind
from gateway.core.record import columns, encode, stamp
from gateway.store import Entry, open_store, people
from gateway.tokens import Tokens
from gateway.usage import FILE_NAME
from tests.cli.room import Ended, run_here
from tests.fakes import a_record
from tests.store.contract_people import a_grant
from tests.store.keep import AT_ONCE

SETTINGS = """\
schema = 1
[gateway]
state = "state"
[notify]
to = ["mailto://gate@mail.corp.dev"]
[upstreams.files]
command = "never-there"
owner = { business = "ada@corp.dev", technical = "bob@corp.dev" }
acts_as = { identity = "ada", kind = "human", scopes = ["~/projects"] }
[upstreams.mail]
command = "never-there"
owner = "the mail team"
[clients.claude-code]
owner = "ada@corp.dev"
trust = ["session"]
[clients.ci]
[approvers.eve]
"""
FILES = """\
upstream = "files"
owner = "ada@corp.dev"
review_by = {review}
[lists]
team = ["*@corp.dev", "=evil"]
[[tool]]
match = ["read_*"]
effect = "read"
[[tool]]
match = "write_*"
effect = "write"
[[rule]]
id = "files.ci"
tools = "*"
clients = ["ci"]
decide = "block"
[[rule]]
id = "files.writes"
tools = "write_*"
when = "size(args.path) > 3"
decide = "allow"
"""
READ = {"name": "read_file", "inputSchema": {"type": "object"}}
RAISED = {"name": "read_all", "annotations": {"readOnlyHint": False}}
NOW = datetime.now(UTC)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A configuration with a lock, of which two definitions were seen here, and a record."""
    tmp_path.chmod(0o700)
    write(tmp_path, "upstreams.toml", SETTINGS)
    write(tmp_path, "policies/files.toml", FILES.replace("{review}", str(NOW.date() + timedelta(days=10))))
    known = {"read_file": digest(READ), "read_all": digest(RAISED), "write_file": "ab" * 32}
    lock = {"files": Locked(tools=known), "mail": Locked(tools={"send": "cd" * 32})}
    write(tmp_path, "policies/tools.lock", render(lock))
    anyio.run(record, tmp_path / "state")
    Accepted(tmp_path / "state").keep([canonical(READ), canonical(RAISED)])
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)


async def record(state: Path) -> None:
    """Uses: one long ago, one today with its approval; a grant that stands."""
    made = [
        a_record(1, Kind.START, upstream="", tool="", at=NOW - timedelta(days=100)),
        a_record(2, Kind.OUTCOME, outcome="ok", tool="read_file", at=NOW - timedelta(days=50)),
        a_record(3, Kind.APPROVAL, tool="write_file", at=NOW, extra={"state": "approved"}),
        a_record(4, Kind.OUTCOME, outcome="ok", tool="write_file", at=NOW),
    ]
    grant = a_grant(owner="os:nobody-here", created_at=NOW, expires_at=NOW + timedelta(hours=1))
    async with open_store(state, AT_ONCE) as store:
        for one in made:
            await store.append([Entry(encode(one), columns(one))])
        await store.append((), (people.insert_grant(grant),))


class Then(datetime):
    """The clock stands still: no day ends in the middle of a test."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return NOW


@pytest.fixture
def run(house: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tools, "datetime", Then)
    return lambda *words: run_here(capsys, tools, [*words, "--config", str(house)])


def items(ended: Ended) -> dict[str, Mapping[str, Any]]:
    assert ended.code in (0, 1), ended
    return {row.get("tool") or f"{row['kind']} {row['name']}": row for row in json.loads(ended.out)["items"]}


def test_the_inventory_is_read_from_what_lies_there(run: Any) -> None:
    rows = items(run("--json"))
    written, looked, raised, sent = (rows[name] for name in ("write_file", "read_file", "read_all", "send"))
    assert {
        "upstream": "files",
        "exposed_as": "files__write_file",
        "effect": "write",
        "tier": "write",
        "owner": "ada@corp.dev",
        "technical_owner": "bob@corp.dev",
        "acts_as": "human ada",
        "scopes": ["~/projects"],
        "state": "accepted",
        "digest": "ab" * 32,
        "last_used": stamp(NOW),
        "calls_30d": 1,
        "approvals_30d": 1,
        "unused_days": 0,
        "who": {"ci": "block", "claude-code": "allow-some", "unknown": "allow-some"},
        "review_by": str(NOW.date() + timedelta(days=10)),
        "findings": [],
    }.items() <= written.items()
    assert (looked["calls_30d"], looked["unused_days"]) == (0, 50)
    assert looked["last_used"] == stamp(NOW - timedelta(days=50))
    assert (raised["effect"], raised["unused_days"]) == ("write", 0)  # its own hints raise it; it was accepted today
    assert (sent["effect"], sent["unused_days"], sent["who"]["ci"]) == ("destructive", 100, "ask")
    assert [one["what"] for one in sent["findings"]] == ["unreachable", "unlabelled"]


def test_nothing_is_started_written_or_imported_that_is_heavy(house: Path) -> None:
    code = (
        "import sys; from gateway.cli import tools; code = tools.run(sys.argv[1:]); "
        "heavy = ('mcp', 'cel', 'anyio', 'asyncio', 'aiosqlite', 'pydantic', 'tomlkit', 'rich', 'typer'); "
        "print([each for each in heavy if each in sys.modules], code)"
    )
    words = [sys.executable, "-c", code, "--json", "--kind", "all", "--config", str(house)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert not (house / "state" / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--upstream", "mail"], {"send"}),
        (["--tool", "read_*"], {"read_file", "read_all"}),
        (["--effect", "write"], {"write_file", "read_all"}),
        (["--tier", "high"], {"send"}),
        (["--owner", "BOB"], {"write_file", "read_file", "read_all"}),
        (["--client", "ci"], {"send"}),
        (["--unused", "30"], {"read_file", "send"}),
        (["--due", "10"], {"write_file", "read_file", "read_all"}),
        (["--due", "9"], set()),
        (["--state", "ok", "--tier", "read"], {"read_file"}),
        (["--state", "changed"], set()),
        (["--kind", "grant"], {"grant g_0000000001"}),
        (["--kind", "client"], {"client claude-code", "client ci"}),
        (["--kind", "list"], {"list team"}),
        (["--kind", "policy"], {"policy policies/files.toml"}),
        (["--kind", "all", "--due", "10", "--owner", "ada", "--tool", "write_file"], {"write_file"}),
        (["files__send"], None),
        (["send"], {"send"}),
        (["mail/send"], {"send"}),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_rows_are_found_by_what_is_asked(run: Any, words: list[str], found: set[str] | None) -> None:
    ended = run("--json", *words)
    if found is None:
        assert (ended.code, "did you mean `mail__send`" in ended.err) == (1, True)
    else:
        assert set(items(ended)) == found


def test_other_things_have_owners_and_findings_too(run: Any, house: Path) -> None:
    Tokens(house / "state").add("robot")
    rows = items(run("--json", "--kind", "all"))
    wrong = {name: [one["what"] for one in row["findings"]] for name, row in rows.items() if "name" in row}
    assert wrong == {
        "grant g_0000000001": ["unreachable"],
        "client claude-code": [],
        "client ci": ["unowned"],
        "client robot": ["unowned"],
        "list team": [],
        "policy policies/files.toml": [],
    }
    assert "token" in rows["client robot"]["detail"]


def test_findings_alone_fail_where_there_are_some(run: Any, house: Path) -> None:
    ended = run("--check")
    assert ended.code == 1
    assert "unlabelled: " in ended.out
    assert "    mail/send" in ended.out.splitlines()
    assert "write_file" not in ended.out
    assert set(items(run("--check", "--json"))) == {"send", "grant g_0000000001", "client ci"}
    fine = run("--check", "--kind", "tool", "--upstream", "files")
    assert (fine.code, fine.out) == (0, "nothing was found\n")
    write(house, "policies/files.toml", FILES.replace("{review}", "2020-01-01"))
    assert "overdue: " in run("--check", "--kind", "tool", "--upstream", "files").out


def test_the_table_fits_80_columns_and_counts_findings(run: Any) -> None:
    ended = run()
    lines = ended.out.splitlines()
    assert lines[0].split("  ")[0] == "tool"
    assert [line.split()[0] for line in lines[1:5]] == [
        "mail/send",
        "files/read_all",
        "files/write_file",
        "files/read_file",
    ]
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "1 of 4 with findings: `wardgate tools --check`"
    assert run("--state", "new").out == "nothing fits\n"
    assert "client  ci " in run("--kind", "client").out


def test_one_tool_stands_on_one_screen(run: Any) -> None:
    lines = run("files__write_file").out.splitlines()
    assert lines[0] == "files/write_file, which clients see as files__write_file"
    assert len(lines) < 24
    told = "\n".join(lines)
    for part in (
        "bob@corp.dev (technical)",
        "ci: block",
        "human ada, scopes ~/projects",
        "1 calls, 1 approvals",
        "today",
    ):
        assert part in told


def test_no_cell_of_comma_separated_values_is_computed(run: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--csv", "--kind", "all").out)))
    assert {row["kind"] for row in rows} == {"tool", "grant", "client", "list", "policy"}
    assert next(row for row in rows if row["tool"] == "write_file")["who"] == (
        "ci=block claude-code=allow-some unknown=allow-some"
    )
    for text in ("=1+1", "+1", "-1", "@x", "  =1", "\uff1d1"):
        assert plain(text)[0] == "'"
    assert plain("\t=1")[0] == "\\"
    assert plain("") == ""
    assert plain("1\x1b[31m").isprintable()
    assert plain([{"found": "a"}, {"found": "b"}]) == "a; b"
    assert plain(["x", "y"]) == "x; y"


def test_nothing_that_a_file_says_reaches_the_terminal_as_it_is(run: Any, house: Path) -> None:
    evil = "x\x1b[2Jy\u202e"
    lock = {"files": Locked(tools={evil: "ab" * 32}), "mail": Locked()}
    write(house, "policies/tools.lock", render(lock))
    for words in ([], ["--check"], ["--csv"], [evil], [f"{evil}z"]):
        ended = run(*words)
        assert "x\\u{1b}[2Jy\\u{202e}" in ended.out + ended.err
        assert not {"\x1b", "\u202e"} & set(ended.out + ended.err)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--client", "claude-cod"], "unknown client `claude-cod`; did you mean `claude-code`?"),
        (["--client", "zzzzzzzzzz"], "unknown client `zzzzzzzzzz`"),
        (["--upstream", "flies"], "unknown upstream `flies`; did you mean `files`?"),
        (["--upstream", "nope", "--json"], "unknown upstream `nope`"),
        (["write_fil"], "unknown tool `write_fil`; did you mean `write_file`?"),
        (["nope"], "unknown tool `nope`"),
    ],
)
def test_a_name_that_is_unknown_is_a_finding_with_the_nearest(run: Any, words: list[str], told: str) -> None:
    assert run(*words) == (1, "", f"wardgate: {told}\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--unused", "-3"], "--unused"),
        (["--kind", "grant", "--tier", "high"], "leave out"),
        (["--kind", "grant", "send"], "leave out"),
        (["--force"], "--notify"),
        (["--effect", "reads"], "did you mean `read`"),
    ],
)
def test_what_can_not_be_meant_is_usage(run: Any, words: list[str], told: str) -> None:
    ended = run(*words)
    assert (ended.code, told in ended.err) == (2, True), ended


def test_what_is_not_known_is_said(run: Any, house: Path) -> None:
    write(house, "policies/tools.lock", render({"mail": Locked(tools={"send": "cd" * 32})}))
    ended = run("--json")
    assert set(items(ended)) == {"send"}
    assert "upstream `files` isn't in `tools.lock`" in ended.err
    (house / "policies/tools.lock").unlink()
    ended = run("--json")
    assert (items(ended), ended.err.count("--start")) == ({}, 2)


def test_the_policy_that_counts_is_told_and_not_the_one_on_the_disk(run: Any, house: Path) -> None:
    counts = {
        "policies/files.toml": FILES.replace("{review}", "2099-01-01").replace('effect = "write"', 'effect = "money"')
    }
    agreed = Agreed(house / "state")
    agreed.note(POLICY, Mark(agreed.keep(counts), "os:ada", stamp(NOW), "first seen"))
    ended = run("--json")
    assert items(ended)["write_file"]["effect"] == "money"
    assert "others than those that count" in ended.err
    write(house, "policies/files.toml", counts["policies/files.toml"])
    ended = run("--json")
    assert (items(ended)["write_file"]["effect"], ended.err) == ("money", "")


def test_where_no_gateway_ran_nothing_was_used(run: Any, house: Path) -> None:
    (house / "state" / "record.db").rename(house / "elsewhere")
    rows = items(run("--json", "--kind", "all"))
    assert rows["write_file"]["last_used"] == ""
    assert "grant g_0000000001" not in rows


def test_a_record_or_a_configuration_that_can_not_be_read_ends_the_command(run: Any, house: Path) -> None:
    (house / "state" / "record.db").write_bytes(b"no database, and long enough to be taken for a part of one")
    assert run().code == 3
    write(house, "policies/tools.lock", "schema = 2")
    assert run().code == 1
    write(house, "upstreams.toml", "schema = 1\n[gateway]\nstat = 1")
    assert run().code == 1


def test_owners_are_told_by_a_gateway_that_runs(run: Any) -> None:
    assert run("--notify").code == 3


def test_who_was_told_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_told([])
    rows = [
        {"owner": "ada", "count": 2, "told": True, "why": ""},
        {"owner": "bob", "count": 1, "told": False, "why": "x"},
    ]
    print_told(rows)
    assert capsys.readouterr().out == "nothing is due\nada  told of 2\nbob  not told of 1: x\n"


@pytest.mark.parametrize(("at", "words"), [("", "never"), ("2026-11-22T09", "today"), ("2026-11-20T09", "2 d")])
def test_days_are_told(at: str, words: str) -> None:
    assert ago(at, date(2026, 11, 22)) == words
