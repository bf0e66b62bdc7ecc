"""`wardgate explain`: its screen and its `--json`, whose records it tells, its exit codes, and how fast it starts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.approvals import Approvals
from gateway.cli import explain
from gateway.cli.explain import LABEL, WIDTH, screen
from gateway.core.model import Finding, Held, Kind, Proof, Reason, Record
from gateway.core.reasons import SENTENCES
from gateway.core.told import Telling
from gateway.records import Records
from gateway.store import open_store
from tests.fakes import KEY, NOON, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE

LOGGED = {
    *("seq", "id", "kind", "at", "principal", "client", "session", "upstream", "tool", "tier", "effect", "verdict"),
    *("reason", "rules", "obligations", "policy_revision", "approval", "outcome", "release", "findings"),
}
SLY = "read_\u202efile\x1b[31m"
RULES = {"rules": ("a.b",), "places": ("a.toml:3",)}


async def fill(state: Path) -> None:
    """A read (1), a blocked call (2), one that ran on its approval (7), one that is held (8), bob's (3), and more."""
    clock = FakeClock()
    async with open_store(state, AT_ONCE) as store:
        records, approvals = Records(store, clock), Approvals(store, clock, KEY)
        await records.append(a_record(1, tier="read", tool=SLY))
        await records.append(a_record(1, Kind.OUTCOME, outcome="ok", tool=SLY, tier="read"))
        blocked = {"outcome": "blocked", "verdict": "block", "reason": "rule", **RULES}
        finding = Finding("token", "arguments.to", "00ff")
        await records.append(
            a_record(2, Kind.OUTCOME, timings_us={"decide": 12}, findings=(finding,), detail="why", **blocked)
        )
        await records.append(a_record(3, Kind.OUTCOME, principal="os:bob", outcome="ok"))
        await approvals.obtain(*a_wait(a_call(8, path="8"), a_tool(), an_ask(), {}), FakeCaller(budget=0))
        held = await approvals.obtain(*a_wait(a_call(7, path="7"), a_tool(), an_ask(), {}), FakeCaller(budget=0))
        assert isinstance(held, Held)
        row = await approvals.vote(held.approval.id, True, "os:bob", Proof.LOCAL, "fine")
        prompt = a_record(0, Kind.PROMPT, id="l_0000000001", extra={"source": "hook", "proves": True, "text": "do it"})
        await records.append(prompt)
        whole: dict[str, Any] = {
            "approval": row.id,
            "reason": "approved",
            "claimed": "claude-code 2.1",
            "transport": "stdio",
            "era": "modern",
            "definition": "d" * 64,
            "owner": "it@corp.example",
            "acts_as": "human alice",
            "turn": "l_0000000001",
            "obligations": ("redact",),
            "policy_revision": "c" * 64,
            "rules": ("files.writes",),
            "places": ("files.toml:12",),
        }
        carried = ({"argument": "path", "source": "d_0000000001", "length": 1},)
        await records.append(
            a_record(
                7,
                arguments={"path": "7", "text": "x" * 700},
                facts={"upstream": "ready", "tainted": True, "private": True, "calls_10m": 3},
                authorised={"approved_by": "os:bob", "proof": "local"},
                context={"outputs": [("d_0000000001", "")]},
                carried=carried,
                **whole,
            ),
            consume=(row.id,),
        )
        timings = {"approval": 5, "arguments": 2, "decide": 3, "intent": 1, "screen": 3, "upstream": 7}
        await records.append(a_record(7, Kind.OUTCOME, outcome="ok", release="full", timings_us=timings, **whole))
        await records.append(Record(Kind.CHECKPOINT, "l_0000000002", NOON, extra={"size": 10, "note": "x\n10\n"}))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose gateway has a record."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")
    anyio.run(fill, folder / "state")
    return folder


class Explained:
    """The command on one configuration, and what it prints."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._config, self._capsys = config, capsys

    def item(self, id: str, *options: str) -> dict[str, Any]:
        assert explain.run([id, "--config", str(self._config), "--json", *options]) == 0
        answer = json.loads(self._capsys.readouterr().out)
        assert (answer["schema"], answer["next"], len(answer["items"])) == (1, None, 1)
        return dict(answer["items"][0])

    def screen(self, id: str, *options: str) -> str:
        assert explain.run([id, "--config", str(self._config), *options]) == 0
        return self._capsys.readouterr().out

    def refused(self, id: str, *options: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            explain.run([id, "--config", str(self._config), *options])
        said = self._capsys.readouterr()
        assert said.out == ""
        return ended.value.code, said.err


@pytest.fixture
def told(config: Path, capsys: pytest.CaptureFixture[str]) -> Explained:
    return Explained(config, capsys)


def lines_of(screen: str, label: str) -> list[str]:
    """The lines of one section."""
    found: list[str] = []
    inside = False
    for line in screen.splitlines()[1:]:
        head, rest = line[2 : 2 + LABEL].strip(), line[2 + LABEL :]
        inside = head == label or (inside and not head)
        found += [rest] if inside else []
    return found


def test_the_whole_story_of_an_approved_call_is_told(told: Explained) -> None:
    item = told.item("d_0000000007")
    assert [record["kind"] for record in item["records"]] == ["approval", "approval", "intent", "outcome"]
    assert (item["id"], item["outcome"], item["proof_of_approval"]["by"]) == ("d_0000000007", "ok", "os:bob")
    steps = [check["name"] for check in item["checks"]]
    assert steps == ["decide", "arguments", "approval", "intent", "upstream", "screen"]
    assert (item["tree"]["size"], item["tree"]["index"]) == (11, 9)
    assert (item["rule_at"], item["prompt"]["text"]) == ("files.toml:12", "do it")
    assert item["carried"][0]["source"] == "d_0000000001"
    assert item["context"]["count"] == 1
    assert item["checkpoint"] == {"id": "l_0000000002", "size": 10}
    screen = told.screen("d_0000000007")
    assert lines_of(screen, "answer") == ["approved by os:bob (proof local), 2026-11-22 12:00:00 UTC: fine"]
    assert item["tree"]["root"] in screen
    answer, question = lines_of(screen, "otherwise")
    assert answer.startswith("a no of os:bob")
    assert "`files.writes` at files.toml:12" in question


def test_a_usual_call_takes_one_screen(told: Explained) -> None:
    lines = told.screen("d_0000000007").splitlines()
    assert len(lines) <= 45
    assert max(len(line) for line in lines) <= WIDTH
    assert all(line.startswith("  ") for line in lines[1:])


def test_every_part_of_the_contract_is_an_item_of_the_log_and_more(told: Explained) -> None:
    for id in ("d_0000000001", "d_0000000002", "d_0000000007", "d_0000000008", "l_0000000001", "l_0000000002"):
        item = told.item(id)
        assert set(item) > LOGGED | {"checks", "rule_at", "proof_of_approval", "tree"}
        assert set(item["tree"]) == {"index", "size", "root"}


def test_the_rule_its_place_and_what_would_have_changed_it_are_named(told: Explained) -> None:
    item = told.item("d_0000000002")
    assert (item["rules"], item["rule_at"], item["detail"]) == (["a.b"], "a.toml:3", "why")
    assert item["checks"] == [{"name": "decide", "result": "block (rule)", "us": 12}]
    assert item["findings"] == [{"kind": "token", "place": "arguments.to"}]
    assert item["explained"] == SENTENCES[Reason.RULE]
    screen = told.screen("d_0000000002")
    assert lines_of(screen, "rule") == ["`a.b` at a.toml:3"]
    assert "`a.b` at a.toml:3" in lines_of(screen, "otherwise")[0]
    assert screen.splitlines()[0] == "d_0000000002  files/write_file  refused: nothing was forwarded"


def test_a_call_that_is_held_or_was_not_answered_is_told_without_a_record_of_its_own(told: Explained) -> None:
    item = told.item("d_0000000008")
    assert (item["id"], item["outcome"], item["proof_of_approval"]) == ("d_0000000008", "", None)
    assert item["kind"] == "approval"
    screen = told.screen("d_0000000008")
    assert item["ended"].startswith("expired")  # long ago, by the clock of this machine
    assert lines_of(screen, "asked")[0].startswith(f"approval {item['approval']}: needs proof client")


def test_an_approvals_id_stands_for_its_call(told: Explained) -> None:
    approval = told.item("d_0000000007")["approval"]
    assert told.item(approval)["id"] == told.item(approval[:8])["id"] == "d_0000000007"


def test_records_that_are_no_calls_are_told_as_they_stand(told: Explained) -> None:
    assert told.item("l_0000000002")["extra"]["size"] == 10
    screen = told.screen("l_0000000002")
    assert screen.startswith("l_0000000002  checkpoint\n")
    assert lines_of(screen, "holds") == ["note: x\\n10\\n", "size: 10"]
    assert lines_of(told.screen("l_0000000001"), "holds") == ["proves: true", "source: hook", "text: do it"]


def test_what_would_steer_a_terminal_is_visible(told: Explained) -> None:
    screen = told.screen("d_0000000001")
    assert "files/read_\\u{202e}file\\u{1b}[31m" in screen
    assert not {"\u202e", "\x1b"} & set(screen)


def test_no_text_of_an_agents_feigns_a_label() -> None:
    sly = f"x{' ' * 80}verdict     allow"
    record = a_record(1, Kind.OUTCOME, outcome="blocked", verdict="block", tool=sly, claimed=sly, detail=sly)
    lines = screen(Telling(record.id, ((1, record),), 1, "00" * 32, NOON))
    labels = [line.split()[0] for line in lines[1:] if line[2] != " "]
    assert len(labels) == len(set(labels))
    assert labels.count("verdict") == 1


def test_a_long_value_is_folded_on_the_screen_and_whole_in_json(told: Explained) -> None:
    assert "(700 characters in all)" in " ".join(lines_of(told.screen("d_0000000007"), "arguments"))
    assert told.item("d_0000000007")["arguments"]["text"] == "x" * 700


def test_a_principal_is_told_of_its_own_calls_and_of_no_others(told: Explained) -> None:
    assert told.item("d_0000000003", "--as", "os:bob")["principal"] == "os:bob"
    unknown = told.refused("d_ZZZZZZZZZZ", "--as", "os:bob")[1]
    for id in ("d_0000000001", "d_0000000008", "l_0000000001", "l_0000000002"):
        code, said = told.refused(id, "--as", "os:bob")
        assert (code, said) == (1, unknown.replace("d_ZZZZZZZZZZ", id))
    assert [call["id"] for call in told.item("d_0000000003", "--as", "os:bob")["similar"]] == []


@pytest.mark.parametrize(
    "given", ["d_ZZZZ", "d_0", "d_00000", "'; --"], ids=["unknown", "short", "ambiguous", "quoted"]
)
def test_what_is_not_one_id_is_exit_code_1(told: Explained, given: str) -> None:
    code, said = told.refused(given)
    assert code == 1
    assert given in said


def test_an_id_can_not_steer_the_terminal_that_it_is_typed_at(told: Explained) -> None:
    assert "\x1b" not in told.refused("d_\x1b[31m")[1]


def test_without_a_record_the_exit_code_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "upstreams.toml").write_text('[gateway]\nstate = "state"\n', encoding="utf-8")
    assert Explained(tmp_path, capsys).refused("d_0000")[0] == 3
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("text", [None, "schema = ", "[gateway]\nstate = 3\n"], ids=["missing", "no-toml", "no-path"])
def test_a_configuration_that_can_not_be_read_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    if text is not None:
        (tmp_path / "upstreams.toml").write_text(text, encoding="utf-8")
    assert Explained(tmp_path, capsys).refused("d_0000")[0] == 1


@pytest.mark.parametrize("given", [[], ["d_0000", "--all"], ["d_0000", "--as"]], ids=["no-id", "unknown", "nobody"])
def test_wrong_options_are_exit_code_2(config: Path, given: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        explain.run([*given, "--config", str(config)])
    assert ended.value.code == 2


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["screen", "json"])
def test_it_imports_nothing_heavy(config: Path, options: list[str]) -> None:
    heavy = "'mcp', 'anyio', 'asyncio', 'aiosqlite', 'cel', 'rich', 'typer', 'pydantic'"
    given = ["d_0000000007", "--config", str(config), *options]
    run = f"import gateway.cli.explain as command, sys; command.run({given!r})"
    code = f"{run}; print([each for each in ({heavy}) if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
