"""A process beside the gateway tries everything: what it can do at which isolation level is what the README says."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

from gateway.cli.talk import exchange
from tests.e2e.kit import DEADLINE, LABELS, House, asked, call, reason, stop, until

ROOT = Path(__file__).parents[2]
INTRUDER = ROOT / "tests" / "servers" / "intruder.py"
NOBODY = 65534
PLANTED = "WARDGATE_TEST_PLANTED"
POLICY = (
    LABELS
    + """
[[rule]]
id = "ledger.local"
tools = "note"
decide = "ask"
approve = { proof = "local", timeout = "30m" }
[[rule]]
id = "ledger.signed"
tools = "wipe"
decide = "ask"
approve = { proof = "signed", timeout = "30m" }
"""
)
APPROVERS = '[approvers.ada]\nproofs = ["signed"]\n'
SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
MAY_TRACE = os.getuid() == 0 or not SCOPE.exists() or SCOPE.read_text(encoding="ascii").strip() == "0"
"""Whether this system lets a process read another one's memory that is no child of it."""
DOORS = ("socket", "terminal", "console")
LEVELS = ("local", "signed")  # the proof that is asked for at levels 0 and 1
TABLE = {
    "decide by a GET, without signing in, with half a sign-in, a client's token or through MCP": (
        "decide_without_the_right",
        "through_mcp",
    ),
    "sign with the key of an approver": ("sign_as_an_approver",),
    "change what a checkpoint kept elsewhere covers, unseen": ("unseen_by_a_checkpoint",),
    "approve at the control socket, in a terminal or in the console": DOORS,
    "put a key of its own in the place of an approver's (it stands on the record)": (
        "put_a_key_in_an_approvers_place",
    ),
    "read configuration, policies, record and keys": ("read_files",),
    "read the gateway's environment and memory": ("read_environment", "read_memory"),
    "edit the policies, and accept what that loosens": ("edit_policies",),
    "cut the end of the record, unseen by `verify` alone": ("cut_the_record",),
    "do by itself what a server does with the gateway's rights": ("act_without_the_gateway",),
    "stop the gateway": ("stop_the_gateway",),
}
"""The rows of the README's table, and the attempts that make each of them."""


def readme() -> dict[str, list[str]]:
    """What the README says of each attempt, by level."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("| it tries to | level 0 | level 1 | level 2 |\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    return {tried: said for tried, *said in rows}


def test_the_table_of_the_readme_has_the_rows_that_are_tried() -> None:
    assert list(readme()) == list(TABLE)
    assert {cell for said in readme().values() for cell in said} == {"yes", "no"}


def said_at(level: int) -> dict[str, bool]:
    """What the README says at one level, by attempt."""
    return {attempt: readme()[row][level] == "yes" for row, attempts in TABLE.items() for attempt in attempts}


@pytest.fixture
def open_house(warm_environment: Mapping[str, str], wardgate_command: str) -> Iterator[House]:
    """A house to whose door every user of the machine may come: what keeps them out is the house's own."""
    with tempfile.TemporaryDirectory(prefix="wardgate-") as folder:
        Path(folder).chmod(0o755)
        made = House(Path(folder), {**warm_environment, PLANTED: "1"}, wardgate_command)
        made.configure(made.ledger(), APPROVERS, policies={"ledger": POLICY}, limits='hold = "100ms"')
        yield made
        made.close()


@dataclass
class Scene:
    """A gateway that runs, a person with a key, calls that wait, and what the intruder knows of it all."""

    house: House
    client: Client
    plan: dict[str, Any]
    gateway: anyio.abc.Process
    why: dict[str, str] = field(default_factory=dict)  # of each attempt, why nothing came of it

    async def tries(self, *attempts: str, user: int | None = None) -> dict[str, bool]:
        """Let the intruder try; what came of it, by attempt."""
        words = [sys.executable, str(INTRUDER), *(["--as", str(user)] if user is not None else []), *attempts]
        with anyio.fail_after(DEADLINE):
            done = await anyio.run_process(
                words, input=json.dumps(self.plan).encode(), check=False, env=self.house.environment, cwd=ROOT
            )
        assert done.returncode == 0, done.stderr.decode()
        told = json.loads(done.stdout)
        print(json.dumps(told, indent=1))  # shown where the test fails
        self.why |= {attempt: why for attempt, (_, why) in told.items()}
        return {attempt: came for attempt, (came, _) in told.items()}

    async def waits(self, tool: str, text: str) -> str:
        """The id of a call that waits now."""
        held = await call(self.client, f"ledger__{tool}", {"text": text})
        assert reason(held) == "approval-pending", held
        return asked(held)

    async def states(self) -> dict[str, list[str]]:
        """What became of the rows of each kind."""
        states = {row["id"]: row["state"] for row in await self.house.items("approvals", "--state", "all")}
        return {kind: [states[id] for id in rows.values()] for kind, rows in self.plan["rows"].items()}

    async def signs(self, row: str) -> None:
        """Ada signs an approval with her passphrase."""
        environment = {**self.house.environment, "SSH_ASKPASS": self.plan["askpass"], "SSH_ASKPASS_REQUIRE": "force"}
        words = ["approve", row, "--key", self.plan["key"], "--config", str(self.house.folder)]
        done = await anyio.run_process(
            [self.house.command, *words], stdin=subprocess.DEVNULL, check=False, env=environment
        )
        assert done.returncode == 0, (done.stdout, done.stderr)

    def approvers(self) -> list[tuple[str, str]]:
        """What the record says of keys: what was done, by whom."""
        told = [json.loads(body)["extra"] for body in self.bodies("approver")]
        return [(str(extra["state"]), str(extra["by"])) for extra in told]

    def levels(self, tool: str) -> list[int]:
        """The isolation level that each outcome of a tool's calls tells, but for those that wait."""
        told = [json.loads(body) for body in self.bodies("outcome")]
        return [row["isolation"] for row in told if row["tool"] == tool and row["outcome"] == "ok"]

    def bodies(self, kind: str) -> list[str]:
        """The bodies of the records of one kind."""
        with closing(sqlite3.connect(self.house.state / "record.db")) as db:
            return [
                bytes(body).decode()
                for (body,) in db.execute("SELECT body FROM record WHERE kind = ? ORDER BY seq", (kind,))
            ]


def a_key(folder: Path, passphrase: str) -> tuple[Path, Path]:
    """A key of ada's, and the program that asks her for its passphrase."""
    folder.mkdir(mode=0o700)
    key, ask = folder / "ada", folder / "ask"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(key)], check=True)
    ask.write_text(f"#!/bin/sh\necho {passphrase}\n", encoding="utf-8")
    ask.chmod(0o700)
    return key, ask


@asynccontextmanager
async def scene(house: House) -> AsyncIterator[Scene]:
    """Everything before the intruder comes."""
    key, ask = a_key(house.place / "ada", os.urandom(12).hex())
    token = await house.token()
    async with house.serving() as gateway, house.http_client("modern", token) as client:
        added = await house.run("approver", "add", "ada", "--ssh-key", f"{key}.pub", "--private", str(key))
        assert added.code == 0, added
        (enrolled,) = await house.items("approver", "list", "ada")
        assert enrolled["attended"]
        plan: dict[str, Any] = {
            "config": str(house.folder),
            "state": str(house.state),
            "port": house.port,
            "pid": gateway.pid,
            "planted": f"{PLANTED}=1",
            "ledger": str(house.world / "ledger.txt"),
            "token": token,
            "key": str(key),
            "askpass": str(ask),
        }
        made = Scene(house, client, plan, gateway)
        plan["rows"] = {
            "local": {door: await made.waits("note", door) for door in DOORS},
            "signed": {
                name: await made.waits("wipe", name)
                for name in (
                    *DOORS,
                    "sign_as_an_approver",
                    "decide_without_the_right",
                    "put_a_key_in_an_approvers_place",
                )
            },
        }
        signed = await made.waits("wipe", "signed by ada")
        await made.signs(signed)
        assert not (await call(client, "ledger__wipe", {"text": "signed by ada"})).is_error
        approved = next(body for body in made.bodies("approval") if signed in body and '"state":"approved"' in body)
        plan["signature"] = json.loads(approved)["extra"]["votes"][0]["evidence"]["signature"]
        assert house.forwarded == ["wipe signed by ada"]
        yield made


async def through_mcp(scene: Scene) -> bool:
    """Whether a client of the gateway's can decide: by a tool, or by an answer that it was not asked for."""
    tools = [tool.name for tool in (await scene.client.list_tools()).tools]
    assert not [tool for tool in tools if re.search("approv|grant|wardgate|deny", tool)]
    before, forwarded = await scene.states(), scene.house.forwarded
    yes = {"wardgate_approval": ElicitResult(action="accept", content={"approve": True})}
    for state in (scene.plan["rows"]["local"]["socket"], "A" * 22, "r_" + "A" * 22):
        with pytest.raises(MCPError) as problem:
            await scene.client.session.call_tool(
                "ledger__note",
                {"text": "socket"},
                input_responses=yes,
                request_state=state,
                allow_input_required=True,
            )
        assert problem.value.error.data["dev.wardgate/decision"]["reason"] == "handle-invalid"
    return (await scene.states(), scene.house.forwarded) != (before, forwarded)


LOOKS = ("read_files", "read_environment", "read_memory")
KEPT_OUT = {"PermissionError", "OperationalError"}  # nothing was missing, or misspelt: it was not let in
FORGES = ("decide_without_the_right", "sign_as_an_approver")
CALL = "call_as_a_client"
UNTOUCHED = {"local": ["waiting"] * 3, "signed": ["waiting"] * 6}


@pytest.mark.slow
async def test_what_a_process_of_the_same_user_can_do_is_what_the_readme_says(open_house: House) -> None:
    house = open_house
    came: dict[str, bool] = {}
    async with scene(house) as made:
        came |= await made.tries(*LOOKS, *FORGES, CALL)
        assert came.pop(CALL)
        uninvited = "not signed in: 401, token of a client: 401, used link: 403, data: 401"
        assert made.why["decide_without_the_right"] == (
            f"{uninvited}, cookie alone: 401, key alone: 401, another page: 403, GET: 405"
        )
        told = dict(line.split(": ", 1) for line in made.why["sign_as_an_approver"].splitlines())
        assert told["own key"] == told["endorsed"] == "the key is enrolled for nobody here"
        assert told["replayed"] == "the signature does not fit what was to be signed"
        assert await until(lambda: made.levels("look")) == [0]
        assert made.levels("wipe") == [1]  # the one that ada signed
        came["through_mcp"] = await through_mcp(made)
        assert await made.states() == UNTOUCHED
        doors = await made.tries(*(f"{door}:{kind}" for kind in LEVELS for door in DOORS))
        assert await made.states() == {**UNTOUCHED, "local": ["approved"] * 3}
        came |= await made.tries("put_a_key_in_an_approvers_place", "edit_policies", "act_without_the_gateway")
        assert [state for state, _ in made.approvers()] == ["enrolled", "revoked", "enrolled"]
        elsewhere = await anyio.to_thread.run_sync(_checkpoint, house)
        came |= await made.tries("stop_the_gateway")
        await until(lambda: made.gateway.returncode is not None)
    assert "wipe by myself" in house.forwarded
    came |= await _tampering(house, made, elsewhere)
    if not MAY_TRACE:
        del came["read_memory"]
    for level, kind in enumerate(LEVELS):
        found = came | {door: doors[f"{door}:{kind}"] for door in DOORS}
        assert found == {name: said for name, said in said_at(level).items() if name in found}, f"level {level}"
    await _the_edited_policy_counts_once_it_is_accepted(house)


def _checkpoint(house: House) -> Path:
    """A checkpoint over all that is durable now, kept elsewhere."""
    note = str(exchange(house.state, b'{"op": "checkpoint"}\n')["items"][0]["note"])
    elsewhere = house.place / "checkpoint"
    elsewhere.write_text(note, encoding="utf-8")
    return elsewhere


def _covered(checkpoint: Path) -> int:
    """How many records a checkpoint covers."""
    return int(checkpoint.read_text(encoding="utf-8").splitlines()[1])


async def _tampering(house: House, made: Scene, elsewhere: Path) -> dict[str, bool]:
    """Change the record of a gateway that was stopped, and look who sees it."""
    assert (await house.run("verify", "--against", str(elsewhere))).code == 0
    with closing(sqlite3.connect(":memory:")) as kept:
        with closing(sqlite3.connect(house.state / "record.db")) as db:
            db.backup(kept)
        assert await made.tries("change_a_record") == {"change_a_record": True}
        assert (await house.run("verify")).code == 1
        with closing(sqlite3.connect(house.state / "record.db")) as db:
            kept.backup(db)
    made.plan["cut"] = _covered(elsewhere) - 1
    cut = await made.tries("cut_the_record")
    alone, against = await house.run("verify"), await house.run("verify", "--against", str(elsewhere))
    assert alone.code == 0, alone
    assert against.code == 1, against
    return {"cut_the_record": cut["cut_the_record"], "unseen_by_a_checkpoint": against.code == 0}


async def _the_edited_policy_counts_once_it_is_accepted(house: House) -> None:
    """What it loosens is held at the next start; a process of the same user can accept it as the user can."""
    async with house.client("shim", "modern") as client:
        assert (await call(client, "ledger__wipe", {"text": "held"})).is_error
        assert house.forwarded[-1] != "wipe held"
        await house.consent()
        assert not (await call(client, "ledger__wipe", {"text": "as I like"})).is_error
    assert house.forwarded[-1] == "wipe as I like"
    new, *_, old = await house.items("log", "--kind", "policy")
    assert new["policy_revision"] != old["policy_revision"]  # and that stands on the record


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
async def test_what_a_process_of_another_user_can_do_is_what_the_readme_says(open_house: House) -> None:
    house = open_house
    changes = ("edit_policies", "act_without_the_gateway", "cut_the_record", "stop_the_gateway")
    async with scene(house) as made:
        made.plan["cut"] = 1
        doors = {f"{door}:local": door for door in DOORS}
        tried = (*LOOKS, *FORGES, "put_a_key_in_an_approvers_place", *changes, *doors, CALL)
        came = {doors.get(attempt, attempt): came for attempt, came in (await made.tries(*tried, user=NOBODY)).items()}
        assert came.pop(CALL)
        came["through_mcp"] = await through_mcp(made)
        elsewhere = await anyio.to_thread.run_sync(_checkpoint, house)
        came["unseen_by_a_checkpoint"] = (await house.run("verify", "--against", str(elsewhere))).code != 0
        assert came == said_at(2)
        assert "Permission denied" in made.why["terminal:local"]
        assert {made.why[name] for name in (*LOOKS, "socket:local", "console:local", *changes)} <= KEPT_OUT
        assert await until(lambda: made.levels("look")) == [2]
        assert await made.states() == UNTOUCHED
        assert house.forwarded == ["wipe signed by ada", "look by the door"]
        assert made.approvers() == [("enrolled", "os:root")]
        await stop(made.gateway)
