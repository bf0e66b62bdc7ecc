"""The gateway's own secrets and honeytokens, with a real gateway before two upstreams: what is exact always blocks."""

import base64
import json
import secrets
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp_types import CallToolResult

from tests.e2e.kit import LABELS, House, call, reason, text, until, upstream_table
from tests.e2e.planted import records

DRAWER = Path(__file__).parents[1] / "servers" / "drawer.py"
DRAWN = """\
upstream = "drawer"
owner = "alice@example.com"
[[tool]]
match = ["read", "keys"]
effect = "read"
[[tool]]
match = "write"
effect = "write"
[[rule]]
id = "drawer.free"
tools = "write"
decide = "allow"
"""
FREE = LABELS.replace('tools = ["stall", "die"]', 'tools = ["note", "stall", "die"]')


def furnish(house: House) -> tuple[str, Path]:
    """Two upstreams, a drawer with a key of its own and the ledger with three, of which two are too weak; returns the
    drawer's key and folder.
    """
    key, folder = secrets.token_urlsafe(32), house.world / "drawer"
    folder.mkdir(mode=0o700)
    house.environment |= {"DRAWER_KEY": key, "PIN": "z1b2", "LOW": "1a" * 6, "STRONG": secrets.token_hex(16)}
    command = [sys.executable, str(DRAWER), str(folder)]
    drawer = upstream_table("drawer", command, env={"KEY": "env:DRAWER_KEY"})
    ledger = house.ledger(env={name: f"env:{name}" for name in ("PIN", "LOW", "STRONG")})
    house.configure(drawer, ledger, policies={"drawer": DRAWN, "ledger": FREE})
    return key, folder


def refused(result: CallToolResult, why: str, begins: str) -> bool:
    """Whether the gateway refused a call for this reason, in these words."""
    assert result.is_error, result
    return (reason(result), text(result).startswith(begins)) == (why, True)


async def outcomes(house: House, number: int, **which: str) -> list[dict[str, Any]]:
    """How so many calls ended that have these values on the record, once they stand there; no more may."""

    def found() -> list[dict[str, Any]]:
        return [row for row in records(house, "outcome") if which.items() <= row.items()]

    await until(lambda: len(found()) >= number)
    assert len(found()) == number
    return found()


@pytest.mark.slow
async def test_a_secret_of_the_gateways_is_neither_shown_nor_carried_whole_or_in_pieces_where_it_is_strong_enough(
    house: House,
) -> None:
    key, folder = furnish(house)
    token = await house.token()
    async with house.client("shim", "legacy") as client:
        await a_key_of_one_upstream_is_neither_shown_nor_carried_into_another(house, client, key, folder)
        await a_secret_that_is_read_in_pieces_is_withheld_with_the_piece_that_completes_it(house, client, key, folder)
        await a_placeholder_is_not_written_back_in_the_place_of_the_real_value(house, client, folder)
        await check_and_doctor_say_which_references_are_too_weak_to_be_searched_for(house, client)
    async with house.client("shim", "modern") as client:
        await a_token_of_a_client_is_known_to_the_gateway_by_its_hash(house, client, token)


async def a_key_of_one_upstream_is_neither_shown_nor_carried_into_another(
    house: House, client: Client, key: str, folder: Path
) -> None:
    (folder / "a.txt").write_text("nothing in it", encoding="utf-8")
    carried = (key, key.encode().hex(), key[::-1], base64.b64encode(f"k={key}".encode()).decode())
    assert refused(await client.call_tool("drawer__keys", {}), "exact-secret", "RESULT WITHHELD")
    for form in carried:
        for tool in ("ledger__look", "ledger__note"):
            answer = await client.call_tool(tool, {"text": f"use {form} now"})
            assert refused(answer, "exact-secret", "NOT EXECUTED - the arguments hold a secret")
    assert refused(await client.call_tool("drawer__read", {"path": f"/{key}"}), "exact-secret", "NOT EXECUTED")
    assert text(await client.call_tool("drawer__read", {"path": "a.txt"})) == "nothing in it"
    assert not (await client.call_tool("ledger__note", {"text": "harmless"})).is_error
    assert house.forwarded == ["note harmless"]
    rows = await outcomes(house, 2 * len(carried) + 1, outcome="blocked")
    for row in rows:
        assert row["reason"] == "exact-secret"
        assert {(found["kind"], found["exact"], found["act"]) for found in row["findings"]} == {
            ("gateway-secret", True, "blocked")
        }
    told = await house.run("explain", rows[0]["id"])
    assert "exact-secret" in told.out
    assert key not in (await house.run("log", "--json")).out + told.out


async def a_secret_that_is_read_in_pieces_is_withheld_with_the_piece_that_completes_it(
    house: House, client: Client, key: str, folder: Path
) -> None:
    (folder / "b.txt").write_text(f"the key: {key} and more", encoding="utf-8")
    for offset in (0, 10, 20):
        piece = await client.call_tool("drawer__read", {"path": "b.txt", "offset": offset, "length": 10})
        assert not piece.is_error, piece
    rest = await client.call_tool("drawer__read", {"path": "b.txt", "offset": 30, "length": 60})
    assert refused(rest, "exact-secret", "RESULT WITHHELD")
    assert not (await client.call_tool("drawer__read", {"path": "b.txt", "offset": 60, "length": 9})).is_error
    *_, row, _ = await outcomes(house, 1 + 1 + 5, tool="read")  # refused, before, and these
    assert (row["outcome"], row["reason"], row["release"]) == ("ok", "exact-secret", "withheld")
    assert [(found["place"], found["act"]) for found in row["findings"]] == [("content.text", "withheld")]


async def a_placeholder_is_not_written_back_in_the_place_of_the_real_value(
    house: House, client: Client, folder: Path
) -> None:
    file, placeholder = folder / "a.env", "PASSWORD=[REDACTED:generic-password:1]"
    file.write_text("PASSWORD=kept", encoding="utf-8")
    answer = await client.call_tool("drawer__write", {"path": "a.env", "text": placeholder})
    assert refused(answer, "redacted-value", "NOT EXECUTED - the arguments hold a placeholder")
    assert file.read_text(encoding="utf-8") == "PASSWORD=kept"
    assert not (await client.call_tool("ledger__look", {"text": placeholder})).is_error
    assert not (await client.call_tool("drawer__write", {"path": "a.env", "text": "PASSWORD=new"})).is_error
    assert file.read_text(encoding="utf-8") == "PASSWORD=new"
    assert house.forwarded[1:] == [f"look {placeholder}"]


async def check_and_doctor_say_which_references_are_too_weak_to_be_searched_for(house: House, client: Client) -> None:
    checked = await house.run("check")
    assert checked.code == 0
    told = [line for line in checked.out.splitlines() if "it is not looked for" in line]
    assert [("PIN" in line, "LOW" in line) for line in told] == [(False, True), (True, False)]
    assert ("of low entropy" in told[0], "shorter than 8 characters" in told[1]) == (True, True)
    shown = await client.call_tool("ledger__reveal", {"text": "PIN"})
    assert text(shown) == "PIN is z1b2"
    doctor = await house.run("doctor", "--json")
    rows = {row["what"]: row["found"] for row in json.loads(doctor.out)["items"]}
    assert rows["secret ledger.PIN"] == "shorter than 8 characters: it is not looked for"
    assert rows["secret ledger.LOW"] == "of low entropy: it is not looked for"
    assert "secret ledger.STRONG" not in rows


async def a_token_of_a_client_is_known_to_the_gateway_by_its_hash(house: House, client: Client, token: str) -> None:
    before = house.forwarded
    answer = await call(client, "ledger__look", {"text": f"use {token}"})
    assert refused(answer, "exact-secret", "NOT EXECUTED")
    other = token[:4] + token[4:][::-1]
    assert not (await call(client, "ledger__look", {"text": f"use {other}"})).is_error
    assert house.forwarded == [*before, f"look use {other}"]


@pytest.mark.slow
async def test_the_sight_of_a_honeytoken_blocks_freezes_the_session_and_is_an_incident(house: House) -> None:
    _, folder = furnish(house)
    assert (await house.run("honeytoken", "drawer")).code == 3  # there is no key yet
    async with house.serving(), house.client("shim", "modern", name="other") as other:
        values = [await sight(house, folder, other, where) for where in ("output", "arguments")]
    assert house.forwarded == ["look others go on", "look again"] * 2
    await a_honeytoken_that_was_minted_while_no_gateway_ran_is_looked_for_by_the_next(house)
    logged = (await house.run("log", "--limit", "1000", "--json")).out
    kept = [file.read_bytes() for file in house.state.rglob("*") if file.is_file()]
    for value in values:
        assert value not in logged
        assert not any(value.encode() in data for data in kept)


async def sight(house: House, folder: Path, other: Client, where: str) -> str:
    """A client of its own comes upon a honeytoken in an output, or carries one in arguments; returns its value."""
    async with house.client("shim", "legacy") as client:
        minted = await house.run("honeytoken", "drawer", "--kind", "aws")
        assert (minted.code, minted.err) == (0, "")
        (folder / "credentials").write_text(minted.out, encoding="utf-8")
        value = minted.out.split()[-1]
        if where == "output":
            answer = await client.call_tool("drawer__read", {"path": "credentials"})
            assert refused(answer, "exact-secret", "RESULT WITHHELD")
        else:
            answer = await client.call_tool("ledger__look", {"text": f"try {value}"})
            assert refused(answer, "exact-secret", "NOT EXECUTED")
        assert value not in answer.model_dump_json(), where
        for tool in ("ledger__look", "ledger__note"):
            held = await client.call_tool(tool, {"text": "x"})
            assert refused(held, "frozen", "NOT EXECUTED - a person holds all such calls")
        assert not (await call(other, "ledger__look", {"text": "others go on"})).is_error
        (freeze,) = await house.items("freeze")
        assert freeze["by"] == "wardgate: honeytoken"
        number = 1 if where == "output" else 2
        assert f"honeytoken {number} of drawer (aws)" in freeze["note"]
        *earlier, signal = [row for row in records(house, "signal") if row["detail"] == "honeytoken"]
        *blocked, ended = [row for row in records(house, "outcome") if row["reason"] == "exact-secret"]
        assert (len(earlier), len(blocked)) == (number - 1, number - 1)
        assert (signal["extra"]["call"], signal["session"]) == (ended["id"], freeze["session"])
        assert {found["kind"] for found in ended["findings"]} == {"honeytoken"}
        assert "honeytoken" in (await house.run("explain", signal["id"])).out
        (session,) = [row for row in await house.items("sessions") if row["session"] == freeze["session"]]
        assert session["signals"]["honeytoken"] == 1
        assert (await house.run("thaw", freeze["session"])).code == 0
        assert not (await client.call_tool("ledger__look", {"text": "again"})).is_error
    return value


async def a_honeytoken_that_was_minted_while_no_gateway_ran_is_looked_for_by_the_next(house: House) -> None:
    before = house.forwarded
    minted = await house.run("honeytoken", "drawer")
    assert "no gateway runs" in minted.err
    async with house.client("standalone", "legacy") as client:
        answer = await client.call_tool("ledger__look", {"text": f"try {minted.out.strip()}"})
        assert refused(answer, "exact-secret", "NOT EXECUTED")
        assert reason(await client.call_tool("ledger__look", {"text": "x"})) == "frozen"
    assert house.forwarded == before
