"""Policies count again while the gateway runs: what tightens at once, what may loosen once a person accepts it, what is
broken never.
"""

import json
import os
import re
import signal
import sqlite3
from contextlib import closing
from typing import Any

import anyio
from mcp.client.client import Client

from tests.e2e.kit import LABELS, House, asked, call, reason, text, until

ERA = "modern"
FREE = LABELS.replace('["stall", "die"]', '["note", "stall", "die"]')
STOP = 'upstream = "ledger"\nowner = "alice@example.com"\n[[rule]]\nid = "no-notes"\ntools = "note"\ndecide = "block"\n'
NOTE = {"text": "one"}
SHORT = 'hold = "100ms"'


def replaced(house: House, name: str, content: str) -> None:
    """Put a file in the place of another one, as editors do."""
    draft = house.write(name + ".draft", content)
    draft.replace(house.folder / name)


async def refused(client: Client) -> bool:
    """Whether a rule refuses a note by now."""
    return reason(await call(client, "ledger__note", NOTE)) == "rule"


async def status(house: House) -> dict[str, Any]:
    """What `doctor` says of the policy, by what it looked at."""
    ended = await house.run("doctor", "--json")
    return {row["what"]: row for row in json.loads(ended.out)["items"]}


async def held(house: House) -> str:
    """The digest of the policy that is held, once one is."""
    row = await until(lambda: _held(house))
    found = re.search(r"policy@([0-9a-f]{64})", row["do"])
    assert found is not None
    return found[1]


async def _held(house: House) -> dict[str, Any] | None:
    row = (await status(house)).get("policy held")
    return dict(row) if row else None


def policies(house: House) -> list[dict[str, Any]]:
    """The rows of the record that tell of policies, oldest first."""
    with closing(sqlite3.connect(f"file:{house.state / 'record.db'}?mode=ro", uri=True)) as db:
        return [
            json.loads(body) for (body,) in db.execute("SELECT body FROM record WHERE kind = 'policy' ORDER BY seq")
        ]


async def test_a_block_counts_at_once_and_what_is_looser_waits_for_a_person(house: House) -> None:
    house.configure(policies={"ledger": FREE})
    token = await house.token()
    async with house.serving(), house.http_client(ERA, token) as client:
        assert text(await call(client, "ledger__note", NOTE)) == "note: one"
        replaced(house, "policies/stop.toml", STOP)
        await until(lambda: refused(client))
        before = house.forwarded
        (house.folder / "policies" / "stop.toml").unlink()
        digest = await held(house)
        assert await refused(client)  # the last accepted text goes on
        # A digest of something else, or too little of it, accepts nothing.
        for wrong in ("0" * 64, digest[:12]):
            assert (await house.run("accept", f"policy@{wrong}")).code == 1
        assert await refused(client)
        accepted = await house.run("accept", f"policy@{digest}")
        assert accepted.code == 0, accepted
        assert "rule `no-notes` (block ledger/note) is gone (may loosen)" in accepted.out
        assert text(await call(client, "ledger__note", NOTE)) == "note: one"
        assert len(house.forwarded) == len(before) + 1
    rows = policies(house)
    assert [row["extra"]["accepted_how"].split()[0] for row in rows] == ["first", "only", "only", "accepted"]
    assert rows[2]["extra"]["held"] == digest == rows[3]["policy_revision"]
    outcomes = await house.items("log", "--kind", "outcome", "--tool", "note")
    assert {row["policy_revision"] for row in outcomes} == {rows[0]["policy_revision"], rows[1]["policy_revision"]}


async def test_a_bad_file_keeps_the_last_good_policy_and_says_so(house: House) -> None:
    house.configure(policies={"ledger": FREE + STOP.split("\n", 2)[2]})
    token = await house.token()
    async with house.serving(), house.http_client(ERA, token) as client:
        assert await refused(client)
        house.write("policies/ledger.toml", FREE + "[[rule]]\nid = ")
        row = await until(lambda: _refused(house))
        assert "policies/ledger.toml:" in row["found"]
        assert row["severity"] == "warning"
        assert await refused(client)
        assert "the last good one goes on" in house.said()
        house.write("policies/ledger.toml", FREE + STOP.split("\n", 2)[2])
        await until(lambda: _gone(house))
        assert await refused(client)


async def _refused(house: House) -> dict[str, Any] | None:
    return (await status(house)).get("policy refused")


async def _gone(house: House) -> bool:
    return "policy refused" not in await status(house)


async def test_a_signal_has_the_policies_looked_at_and_ends_nothing(house: House) -> None:
    house.configure(policies={"ledger": FREE})
    token = await house.token()
    async with house.serving() as server, house.http_client(ERA, token) as client:
        assert not await refused(client)
        house.write("policies/stop.toml", STOP)
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda: refused(client))
        assert server.returncode is None


async def test_a_looser_policy_is_held_at_a_start_alike_and_can_be_accepted_without_a_gateway(house: House) -> None:
    house.configure(policies={"ledger": LABELS}, limits=SHORT)
    token = await house.token()
    async with house.serving(), house.http_client(ERA, token) as client:
        assert asked(await call(client, "ledger__note", NOTE))
    house.write("policies/ledger.toml", FREE)
    async with house.serving(), house.http_client(ERA, token) as client:
        assert reason(await call(client, "ledger__note", NOTE)) == "approval-pending"
        digest = await held(house)
    assert house.forwarded == []
    accepted = await house.run("accept", f"policy@{digest}", "--json")
    assert json.loads(accepted.out)["items"] == [{"what": "policy", "digest": digest, "restart": True}], accepted
    async with house.serving(), house.http_client(ERA, token) as client:
        assert text(await call(client, "ledger__note", NOTE)) == "note: one"
        assert "policy held" not in await status(house)


async def test_a_new_command_is_not_run_before_a_person_accepts_it(house: House) -> None:
    spy = house.place / "spied"
    program = house.write("spy.sh", f"#!/bin/sh\ntouch {spy}\nexit 1\n")
    program.chmod(0o700)
    house.configure()
    token = await house.token()
    before = (house.folder / "upstreams.toml").read_text(encoding="utf-8")
    async with house.serving(), house.http_client(ERA, token) as client:
        assert text(await call(client, "ledger__look", {})) is not None
        house.write("upstreams.toml", before + f'[upstreams.spy]\ncommand = "{program}"\nowner = "eve@example.com"\n')
        digest = await until(lambda: _held_programs(house))
    async with house.serving(), house.http_client(ERA, token) as client:  # at a start alike
        assert reason(await call(client, "ledger__look", {})) == ""
        assert await _held_programs(house) == digest
        assert "upstream spy" not in await status(house)
    assert not spy.exists()
    accepted = await house.run("accept", f"policy@{digest}")
    assert accepted.code == 0, accepted
    assert f"runs `{program}`" in accepted.out
    async with house.serving():
        await until(spy.exists)


async def _held_programs(house: House) -> str:
    row = (await status(house)).get("upstreams held")
    found = re.search(r"policy@([0-9a-f]{64})", row["do"]) if row else None
    return found[1] if found else ""


async def test_a_call_that_waits_is_decided_again_by_the_policy_that_counts_then(house: House) -> None:
    house.configure(policies={"ledger": LABELS}, limits=SHORT)
    token = await house.token()
    async with house.serving(), house.http_client(ERA, token) as client:
        id = asked(await call(client, "ledger__note", NOTE))
        replaced(house, "policies/stop.toml", STOP)
        await until(lambda: _counts(house, "policies/stop.toml"))
        assert (await house.run("approve", id, "--yes")).code == 0
        assert reason(await call(client, "ledger__note", NOTE)) == "rule"
    assert house.forwarded == []


def _counts(house: House, file: str) -> bool:
    return file in policies(house)[-1]["extra"].get("files", ())


async def test_calls_that_go_on_meanwhile_are_each_decided_by_one_policy(house: House) -> None:
    house.configure(policies={"ledger": FREE})
    token = await house.token()
    async with house.serving(), house.http_client(ERA, token) as client, anyio.create_task_group() as calls:
        loose = policies(house)[0]["policy_revision"]
        going = True

        async def work() -> None:
            while going:
                await call(client, "ledger__note", NOTE)

        for _ in range(3):
            calls.start_soon(work)
        for _ in range(4):
            replaced(house, "policies/stop.toml", STOP)
            await until(lambda: policies(house)[-1]["policy_revision"] != loose)
            (house.folder / "policies" / "stop.toml").unlink()
            await until(lambda: policies(house)[-1]["extra"].get("held") == loose)
            assert (await house.run("accept", f"policy@{loose}")).code == 0
        going = False
    strict = next(row["policy_revision"] for row in policies(house) if row["policy_revision"] != loose)
    rows = await house.items("log", "--kind", "outcome", "--tool", "note", "--limit", "1000")
    seen = {(row["policy_revision"], row["verdict"]) for row in rows}
    assert seen == {(loose, "allow"), (strict, "block")}
