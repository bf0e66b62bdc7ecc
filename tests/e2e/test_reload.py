"""Policies count again while the gateway runs: what tightens at once, what may loosen once a person accepts it, what is
broken never.
"""

import json
import os
import re
import signal
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import anyio
import anyio.abc
from mcp.client.client import Client

from tests.e2e.kit import LABELS, House, asked, call, reason, text, until

ERA = "modern"
FREE = LABELS.replace('["stall", "die"]', '["note", "stall", "die"]')
STOP = 'upstream = "ledger"\nowner = "alice@example.com"\n[[rule]]\nid = "no-notes"\ntools = "note"\ndecide = "block"\n'
NOTE = {"text": "one"}
SHORT = 'hold = "100ms"'


def replaced(house: House, content: str) -> None:
    """Put stop.toml in the place of another one, as editors do."""
    draft = house.write("policies/stop.toml.draft", content)
    draft.replace(house.folder / "policies" / "stop.toml")


async def refused(client: Client) -> bool:
    """Whether a rule refuses a note by now."""
    return reason(await call(client, "ledger__note", NOTE)) == "rule"


async def status(house: House) -> dict[str, Any]:
    """What `doctor` says of the policy, by what it looked at."""
    ended = await house.run("doctor", "--json")
    return {row["what"]: row for row in json.loads(ended.out)["items"]}


def digest(row: Mapping[str, Any]) -> str:
    """The digest by which `doctor` tells to accept what is held."""
    found = re.search(r"policy@([0-9a-f]{64})", row["do"])
    assert found is not None
    return found[1]


def policies(house: House) -> list[dict[str, Any]]:
    """The rows of the record that tell of policies, oldest first."""
    with closing(sqlite3.connect(f"file:{house.state / 'record.db'}?mode=ro", uri=True)) as db:
        return [
            json.loads(body) for (body,) in db.execute("SELECT body FROM record WHERE kind = 'policy' ORDER BY seq")
        ]


async def noted(house: House, **what: str) -> None:
    """Wait until the last row of the record that tells of policies says this."""
    await until(lambda: what.items() <= policies(house)[-1]["extra"].items())


async def loosened(house: House) -> None:
    """Take the block away, and accept that."""
    loose = policies(house)[0]["policy_revision"]
    (house.folder / "policies" / "stop.toml").unlink()
    await noted(house, held=loose)
    assert (await house.run("accept", f"policy@{loose}")).code == 0


async def test_policies_count_again_while_the_gateway_runs(house: House) -> None:
    house.configure(policies={"ledger": FREE}, limits=SHORT)
    token = await house.token()
    async with house.serving() as server, house.http_client(ERA, token) as client:
        await a_block_counts_at_once_and_what_is_looser_waits_for_a_person(house, client)
        await a_signal_has_the_policies_looked_at_and_ends_nothing(house, client, server)
        await a_bad_file_keeps_the_last_good_policy_and_says_so(house, client)
        await loosened(house)
        await a_call_that_waits_is_decided_again_by_the_policy_that_counts_then(house, client)
        await loosened(house)
        await calls_that_go_on_meanwhile_are_each_decided_by_one_policy(house, client)


async def a_block_counts_at_once_and_what_is_looser_waits_for_a_person(house: House, client: Client) -> None:
    assert text(await call(client, "ledger__note", NOTE)) == "note: one"
    replaced(house, STOP)
    await until(lambda: refused(client))
    before = house.forwarded
    (house.folder / "policies" / "stop.toml").unlink()
    await noted(house, what="policy")
    looser = digest((await status(house))["policy held"])
    assert await refused(client)  # the last accepted text goes on
    # A digest of something else, or too little of it, accepts nothing.
    for wrong in ("0" * 64, looser[:12]):
        assert (await house.run("accept", f"policy@{wrong}")).code == 1
    assert await refused(client)
    accepted = await house.run("accept", f"policy@{looser}")
    assert accepted.code == 0, accepted
    assert "rule `no-notes` (block ledger/note) is gone (may loosen)" in accepted.out
    assert text(await call(client, "ledger__note", NOTE)) == "note: one"
    assert len(house.forwarded) == len(before) + 1
    rows = policies(house)
    assert [row["extra"]["accepted_how"].split()[0] for row in rows] == ["first", "only", "only", "accepted"]
    assert rows[2]["extra"]["held"] == looser == rows[3]["policy_revision"]
    outcomes = await house.items("log", "--kind", "outcome", "--tool", "note")
    assert {row["policy_revision"] for row in outcomes} == {rows[0]["policy_revision"], rows[1]["policy_revision"]}


async def a_signal_has_the_policies_looked_at_and_ends_nothing(
    house: House, client: Client, server: anyio.abc.Process
) -> None:
    assert not await refused(client)
    house.write("policies/stop.toml", STOP)
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: refused(client))
    assert server.returncode is None


async def a_bad_file_keeps_the_last_good_policy_and_says_so(house: House, client: Client) -> None:
    assert await refused(client)
    house.write("policies/stop.toml", STOP + "[[rule]]\nid = ")
    await noted(house, refused="policy")
    row = (await status(house))["policy refused"]
    assert "policies/stop.toml:" in row["found"]
    assert row["severity"] == "warning"
    assert await refused(client)
    assert "the last good one goes on" in house.said()
    house.write("policies/stop.toml", STOP)
    await until(lambda: _good(house))
    assert await refused(client)


async def _good(house: House) -> bool:
    return "policy refused" not in await status(house)


async def a_call_that_waits_is_decided_again_by_the_policy_that_counts_then(house: House, client: Client) -> None:
    before = house.forwarded
    id = asked(await call(client, "ledger__wipe", NOTE))
    replaced(house, STOP.replace('"note"', '"wipe"'))
    await until(lambda: "policies/stop.toml" in policies(house)[-1]["extra"].get("files", ()))
    assert (await house.run("approve", id, "--yes")).code == 0
    assert reason(await call(client, "ledger__wipe", NOTE)) == "rule"
    assert house.forwarded == before


async def calls_that_go_on_meanwhile_are_each_decided_by_one_policy(house: House, client: Client) -> None:
    loose, begun = policies(house)[0]["policy_revision"], len(policies(house))
    earlier = {row["id"] for row in await house.items("log", "--kind", "outcome", "--tool", "note", "--limit", "1000")}
    async with anyio.create_task_group() as calls:
        going = True

        async def work() -> None:
            while going:
                await call(client, "ledger__note", NOTE)

        for _ in range(3):
            calls.start_soon(work)
        for _ in range(4):
            replaced(house, STOP)
            await until(lambda: policies(house)[-1]["policy_revision"] != loose)
            await loosened(house)
        going = False
    strict = next(row["policy_revision"] for row in policies(house)[begun:] if row["policy_revision"] != loose)
    rows = await house.items("log", "--kind", "outcome", "--tool", "note", "--limit", "1000")
    seen = {(row["policy_revision"], row["verdict"]) for row in rows if row["id"] not in earlier}
    assert seen == {(loose, "allow"), (strict, "block")}


async def test_a_looser_policy_and_a_new_command_are_held_at_a_start_alike_and_accepted_without_a_gateway(
    house: House,
) -> None:
    spy = house.place / "spied"
    program = house.write("spy.sh", f"#!/bin/sh\ntouch {spy}\nexit 1\n")
    program.chmod(0o700)
    house.configure(limits=SHORT)
    token = await house.token()
    before = (house.folder / "upstreams.toml").read_text(encoding="utf-8")
    async with house.serving(), house.http_client(ERA, token) as client:
        assert asked(await call(client, "ledger__note", NOTE))
        house.write("upstreams.toml", before + f'[upstreams.spy]\ncommand = "{program}"\nowner = "eve@example.com"\n')
        await noted(house, what="upstreams")
        programs = digest((await status(house))["upstreams held"])
    house.write("policies/ledger.toml", FREE)
    async with house.serving(), house.http_client(ERA, token) as client:
        assert reason(await call(client, "ledger__note", NOTE)) == "approval-pending"
        assert reason(await call(client, "ledger__look", NOTE)) == ""
        found = await status(house)
        assert digest(found["upstreams held"]) == programs
        assert "upstream spy" not in found
        looser = digest(found["policy held"])
    assert house.forwarded == ["look one"]
    assert not spy.exists()
    accepted = await house.run("accept", f"policy@{looser}", "--json")
    assert json.loads(accepted.out)["items"] == [{"what": "policy", "digest": looser, "restart": True}], accepted
    accepted = await house.run("accept", f"policy@{programs}")
    assert accepted.code == 0, accepted
    assert f"runs `{program}`" in accepted.out
    async with house.serving(), house.http_client(ERA, token) as client:
        assert text(await call(client, "ledger__note", NOTE)) == "note: one"
        assert "policy held" not in await status(house)
        await until(spy.exists)
