"""Signed approvals by the installed command and real ssh keys, and how far each caller was: as the record tells it."""

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client.client import Client

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
OTHERS = [NOBODY] if os.geteuid() == 0 and PYTHON else []
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
async def test_calls_are_signed_by_keys_that_are_kept_and_callers_are_told_apart(
    signing: House, tmp_path: Path
) -> None:
    assert (await signing.run("approver", "list")).code == 3  # without a gateway there is nobody to enrol with
    async with signing.serving(), signing.client("shim", "legacy") as client:
        await the_enrolled_key_of_a_person_is_found_by_itself(signing, client)
        await keys_are_added_endorsed_listed_and_revoked(signing, client, tmp_path)
        await a_call_that_needs_a_signature_runs_once_it_was_signed(signing, client, tmp_path)
        await a_key_that_signs_with_nobody_there_weighs_as_local(signing, client, tmp_path)
        await the_record_says_whether_a_caller_runs_as_another_user(signing)
    verified = await signing.run("verify")
    assert verified.code == 0, verified
    if not OTHERS:
        pytest.skip("all of it passed, but for a caller of another user: only root can speak as one")


async def the_enrolled_key_of_a_person_is_found_by_itself(signing: House, client: Client) -> None:
    folder = Path(signing.environment["HOME"]) / ".ssh"
    folder.mkdir(mode=0o700)
    key = await a_key(folder, "id_ed25519")
    await a_key(folder, "other")
    held = await call(client, "ledger__note", {"text": "found"})
    assert (await signing.run("approve", asked(held), "--sign")).code == 1
    assert (await signing.run("approver", "add", "bob", "--ssh-key", public(key))).code == 0
    assert (await signing.run("approve", asked(held), "--sign")).code == 0


async def keys_are_added_endorsed_listed_and_revoked(signing: House, client: Client, tmp_path: Path) -> None:
    first, second = await a_key(tmp_path, "first"), await a_key(tmp_path, "second")
    for name in ("cy", "nobody"):  # neither has `signed` among the proofs
        assert (await signing.run("approver", "add", name, "--ssh-key", public(first))).code == 1
    assert (await signing.run("approver", "add", "ada", "--ssh-key", public(first))).code == 0
    assert (await signing.run("approver", "add", "ada", "--ssh-key", public(second))).code == 1
    endorsed = await signing.run("approver", "add", "ada", "--ssh-key", public(second), "--key", str(first.file))
    assert endorsed.code == 0, endorsed
    keys = await signing.items("approver", "list", "ada")
    assert [(key["name"], key["kind"], key["attended"]) for key in keys] == [("ada", "ssh", True)] * 2
    everybodys = await signing.items("approver", "list")
    assert {key["name"] for key in everybodys} == {"ada", "bob"}
    for key in everybodys:
        assert (await signing.run("approver", "revoke", key["id"])).code == 0
    assert await signing.items("approver", "list") == []
    held = await call(client, "ledger__note", {"text": "revoked"})
    assert (await signing.run("approve", asked(held), "--key", str(first.file))).code == 1
    assert (await signing.run("approver", "add")).code == 2
    assert (await signing.run("approver", "endorse", "ada")).code == 2
    assert (await signing.run("approver", "add", "ada", "--ssh-key", str(tmp_path / "none"))).code == 1


async def a_call_that_needs_a_signature_runs_once_it_was_signed(signing: House, client: Client, tmp_path: Path) -> None:
    key = await a_key(tmp_path, "key")
    added = await signing.run("approver", "add", "ada", "--ssh-key", public(key))
    assert added.code == 0, added
    assert "unattended" not in added.out
    held = await call(client, "ledger__note", {"text": "one"})
    assert reason(held) == "approval-pending"
    assert (await signing.run("approve", asked(held))).code == 1
    signed = await signing.run("approve", asked(held), "--key", str(key.file))
    assert signed.code == 0, signed
    assert "by ada" in signed.out
    assert signing.forwarded == []
    assert not (await call(client, "ledger__note", {"text": "one"})).is_error
    assert signing.forwarded == ["note one"]
    rows = {row["id"]: row for row in await signing.items("approvals", "--state", "all")}
    row = rows[asked(held)]
    assert (row["state"], row["decided_by"], row["proof"]) == ("used", "ada", "signed")
    (intent,) = intents(signing)
    assert intent["isolation"] == 1
    assert intent["authorised"]["proof"] == "signed"
    (enrolled,) = await signing.items("approver", "list", "ada")
    assert (await signing.run("approver", "revoke", enrolled["id"])).code == 0


async def a_key_that_signs_with_nobody_there_weighs_as_local(signing: House, client: Client, tmp_path: Path) -> None:
    key, before = await a_key(tmp_path, "bare", ""), signing.forwarded
    added = await signing.run("approver", "add", "ada", "--ssh-key", public(key))
    assert added.code == 0, added
    assert "unattended" in added.out
    held = await call(client, "ledger__note", {"text": "unattended"})
    assert (await signing.run("approve", asked(held), "--key", str(key.file))).code == 1
    assert signing.forwarded == before
    held = await call(client, "ledger__wipe", {"text": "two"})  # `local` is enough here
    signed = await signing.run("approve", asked(held), "--key", str(key.file))
    assert signed.code == 0, signed
    assert not (await call(client, "ledger__wipe", {"text": "two"})).is_error
    assert intents(signing)[-1]["isolation"] == 0


async def the_record_says_whether_a_caller_runs_as_another_user(signing: House) -> None:
    token = await signing.token()
    for user in (None, *OTHERS):
        with anyio.fail_after(DEADLINE):
            done = await anyio.run_process(
                [PYTHON or sys.executable, "-c", ASK, signing.url, token],
                check=False,
                cwd="/",
                env={"PATH": os.environ["PATH"]},
                **({} if user is None else {"user": user, "group": user, "extra_groups": []}),
            )
        assert done.returncode == 0, (done.stderr, signing.said())
    assert await signing.items("log", "--kind", "outcome", "--tool", "look")
    looks = [record["isolation"] for record in intents(signing) if record["tool"] == "look"]
    assert looks == [0, *(2 for _ in OTHERS)]
