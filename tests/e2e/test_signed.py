"""Signed approvals by the installed command and real ssh keys, and how far each caller was: as the record tells it."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from gateway.schema import STORE_NAME
from tests.authenticator import SshKey
from tests.e2e.kit import DEADLINE, LABELS, House, asked, call, reason

SECRET = "correct horse"
RULE = """\
[[rule]]
id = "ledger.signed"
tools = "note"
decide = "ask"
approve = { proof = "signed" }
"""
PEOPLE = """\
[approvers.ada]
proofs = ["local", "signed"]
[approvers.bob]
proofs = ["signed"]
[approvers.cy]
"""
NOBODY = 65534
PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or ""  # one that everybody may run
ASK = """\
import json, sys, urllib.request
url, token = sys.argv[1:]
meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
meta["io.modelcontextprotocol/clientInfo"] = {"name": "wire", "version": "1"}
params = {"name": "ledger__look", "arguments": {}, "_meta": meta}
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json", "MCP-Protocol-Version": "2026-07-28"}
headers |= {"Accept": "application/json, text/event-stream", "Mcp-Method": "tools/call", "Mcp-Name": "ledger__look"}
print(urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20).read().decode())
"""


@pytest.fixture
def signing(house: House, tmp_path: Path) -> House:
    """A house in which a note needs a signature, and somebody who knows the passphrase of every key."""
    asker = tmp_path / "askpass"
    asker.write_text(f"#!/bin/sh\necho '{SECRET}'\n", encoding="ascii")
    asker.chmod(0o700)
    house.environment |= {"SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force"}
    house.environment.pop("SSH_AUTH_SOCK", None)
    return house.configure(house.ledger(), PEOPLE, policies={"ledger": LABELS + RULE}, limits='hold = "100ms"')


async def a_key(tmp_path: Path, name: str, passphrase: str = SECRET) -> SshKey:
    return await anyio.to_thread.run_sync(SshKey.make, tmp_path / name, passphrase)


def public(key: SshKey) -> str:
    return f"{key.file}.pub"


def intents(house: House) -> list[dict[str, Any]]:
    """The records of calls that were forwarded."""
    with closing(sqlite3.connect(house.state / STORE_NAME)) as db:
        return [json.loads(row[0]) for row in db.execute("SELECT body FROM record WHERE kind = 'intent' ORDER BY seq")]


@pytest.mark.slow
async def test_a_call_that_needs_a_signature_runs_once_it_was_signed(signing: House, tmp_path: Path) -> None:
    key = await a_key(tmp_path, "key")
    async with signing.client("shim", "legacy") as client:
        added = await signing.run("approver", "add", "ada", "--ssh-key", public(key))
        assert added.code == 0, added
        assert "unattended" not in added.out
        held = await call(client, "ledger__note", {"text": "one"})
        assert reason(held) == "approval-pending"
        assert (await signing.run("approve", asked(held))).code == 1
        signed = await signing.run("approve", asked(held), "--key", str(key.file))
        assert signed.code == 0, signed
        assert "by ada" in signed.out
        assert not (await call(client, "ledger__note", {"text": "one"})).is_error
        assert signing.forwarded == ["note one"]
        (row,) = await signing.items("approvals", "--state", "all")
        assert (row["state"], row["decided_by"], row["proof"]) == ("used", "ada", "signed")
    verified = await signing.run("verify")
    assert verified.code == 0, verified
    (intent,) = intents(signing)
    assert intent["isolation"] == 1
    assert intent["authorised"]["proof"] == "signed"


@pytest.mark.slow
async def test_a_key_that_signs_with_nobody_there_weighs_as_local(signing: House, tmp_path: Path) -> None:
    key = await a_key(tmp_path, "bare", "")
    async with signing.client("shim", "legacy") as client:
        added = await signing.run("approver", "add", "ada", "--ssh-key", public(key))
        assert added.code == 0, added
        assert "unattended" in added.out
        held = await call(client, "ledger__note", {"text": "one"})
        assert (await signing.run("approve", asked(held), "--key", str(key.file))).code == 1
        assert signing.forwarded == []
        held = await call(client, "ledger__wipe", {"text": "two"})  # `local` is enough here
        signed = await signing.run("approve", asked(held), "--key", str(key.file))
        assert signed.code == 0, signed
        assert not (await call(client, "ledger__wipe", {"text": "two"})).is_error
    assert (await signing.run("verify")).code == 0
    assert intents(signing)[-1]["isolation"] == 0


@pytest.mark.slow
async def test_keys_are_added_endorsed_listed_and_revoked_by_command(signing: House, tmp_path: Path) -> None:
    first, second = await a_key(tmp_path, "first"), await a_key(tmp_path, "second")
    async with signing.client("shim", "legacy") as client:
        for name in ("cy", "nobody"):  # neither has `signed` among the proofs
            assert (await signing.run("approver", "add", name, "--ssh-key", public(first))).code == 1
        assert (await signing.run("approver", "add", "ada", "--ssh-key", public(first))).code == 0
        assert (await signing.run("approver", "add", "ada", "--ssh-key", public(second))).code == 1
        endorsed = await signing.run("approver", "add", "ada", "--ssh-key", public(second), "--key", str(first.file))
        assert endorsed.code == 0, endorsed
        keys = await signing.items("approver", "list", "ada")
        assert [(key["name"], key["kind"], key["attended"]) for key in keys] == [("ada", "ssh", True)] * 2
        for key in keys:
            assert (await signing.run("approver", "revoke", key["id"])).code == 0
        assert await signing.items("approver", "list") == []
        held = await call(client, "ledger__note", {"text": "one"})
        assert (await signing.run("approve", asked(held), "--key", str(first.file))).code == 1
        assert (await signing.run("approver", "add")).code == 2
        assert (await signing.run("approver", "endorse", "ada")).code == 2
        assert (await signing.run("approver", "add", "ada", "--ssh-key", str(tmp_path / "none"))).code == 1
    assert (await signing.run("verify")).code == 0


@pytest.mark.slow
async def test_the_enrolled_key_of_a_person_is_found_by_itself(signing: House, tmp_path: Path) -> None:
    folder = Path(signing.environment["HOME"]) / ".ssh"
    folder.mkdir(mode=0o700)
    key = await anyio.to_thread.run_sync(SshKey.make, folder / "id_ed25519", SECRET)
    await anyio.to_thread.run_sync(SshKey.make, folder / "other", SECRET)
    async with signing.client("shim", "legacy") as client:
        held = await call(client, "ledger__note", {"text": "one"})
        assert (await signing.run("approve", asked(held), "--sign")).code == 1
        assert (await signing.run("approver", "add", "ada", "--ssh-key", public(key))).code == 0
        assert (await signing.run("approve", asked(held), "--sign")).code == 0


async def test_without_a_gateway_there_is_nobody_to_enrol_with(signing: House) -> None:
    assert (await signing.run("approver", "list")).code == 3


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not PYTHON, reason="only root can speak as another user")
async def test_the_record_says_whether_a_caller_runs_as_another_user(signing: House) -> None:
    async with signing.serving():
        token = await signing.token()
        for user in (None, NOBODY):
            with anyio.fail_after(DEADLINE):
                done = await anyio.run_process(
                    [PYTHON, "-c", ASK, signing.url, token],
                    check=False,
                    cwd="/",
                    env={"PATH": os.environ["PATH"]},
                    **({} if user is None else {"user": user, "group": user, "extra_groups": []}),
                )
            assert done.returncode == 0, (done.stderr, signing.said())
        assert await signing.items("log", "--kind", "outcome")
    assert [record["isolation"] for record in intents(signing)] == [0, 2]
