"""Leaks before a real upstream: one appears, is followed to its end, and opens again; a changed reference ends it."""

import secrets
import sys
from pathlib import Path

import pytest
from mcp.client.client import Client

from tests import made
from tests.e2e.kit import House, text, until, upstream_table

DRAWER = Path(__file__).parents[1] / "servers" / "drawer.py"
POLICY = """\
upstream = "drawer"
owner = "alice@example.com"
[[tool]]
match = ["read", "keys"]
effect = "read"
"""


@pytest.fixture
def drawer(house: House) -> House:
    """A house before an upstream that reads files and tells its own key, which a file holds."""
    key = house.write("key.txt", secrets.token_urlsafe(24))
    table = upstream_table("drawer", [sys.executable, str(DRAWER), str(house.world)], env={"KEY": f"file:{key}"})
    return house.configure(table, policies={"drawer": POLICY})


async def read(client: Client) -> str:
    """What the client is told of the file."""
    return text(await client.call_tool("drawer__read", {"path": "config.txt"}))


def put(house: House, content: str) -> None:
    """What stands in the file."""
    (house.world / "config.txt").write_text(content, encoding="utf-8")


@pytest.mark.slow
async def test_a_leak_appears_is_followed_to_its_end_and_opens_again(drawer: House) -> None:
    token = made.token(7)
    put(drawer, f"remote = {token}\n")
    async with drawer.client("shim", "legacy") as client:
        assert token not in await read(client)
        (leak,) = await until(lambda: drawer.items("leaks"))
        id = str(leak["id"])
        assert (leak["state"], leak["times"], leak["exposed"], leak["owner"]) == ("open", 1, True, "alice@example.com")
        assert (leak["tools"], leak["acts"]) == ({"drawer/read": 1}, {"redacted": 1})
        assert token not in str(leak)
        (told,) = await until(lambda: drawer.items("log", "--kind", "leak"))
        assert told["id"] == id
        assert (await drawer.run("leaks", "resolve", id, "--state", "rotating")).code == 0
        put(drawer, "remote = none\n")
        await read(client)
        await until(lambda: gone(drawer, id))
        assert (await drawer.run("leaks", "resolve", id, "--proof", f"{token} is revoked")).code == 0
        assert await drawer.items("leaks") == []
        (leak,) = await drawer.items("leaks", "show", id)
        assert (leak["state"], leak["known_by"], leak["note"].endswith("is revoked")) == ("rotated", "local", True)
        assert token not in leak["note"]
        put(drawer, f"remote = {token}\n")
        await read(client)
        (leak,) = await until(lambda: drawer.items("leaks"))
        assert (leak["id"], leak["state"], leak["reopened"], leak["exposed"]) == (id, "open", 1, True)
    states = [row["id"] for row in await drawer.items("log", "--kind", "leak")]
    assert set(states) == {id}
    (proven,) = await drawer.items("verify")
    assert proven["ok"] is True


async def gone(house: House, id: str) -> bool:
    """Whether a leak's source was read again without it."""
    (leak,) = await house.items("leaks", "show", id)
    return not leak["exposed"]


@pytest.mark.slow
async def test_what_is_said_to_be_no_secret_passes_and_still_counts(drawer: House) -> None:
    token = made.token(8)
    put(drawer, f"example = {token}\n")
    async with drawer.client("shim", "legacy") as client:
        assert token not in await read(client)
        (leak,) = await until(lambda: drawer.items("leaks"))
        accepted = await drawer.run("leaks", "accept", str(leak["id"]), "--false-positive", "--for", "1h")
        assert accepted.code == 0, accepted
        assert token in await read(client)
        await until(lambda: passed(drawer, str(leak["id"])))
        assert (await drawer.run("leaks", "resolve", str(leak["id"]), "--state", "open")).code == 0
        assert token not in await read(client)


async def passed(house: House, id: str) -> bool:
    """Whether a leak passed once."""
    (leak,) = await house.items("leaks", "show", id)
    return bool(leak["passed"] == 1)


@pytest.mark.slow
async def test_a_key_of_the_gateway_is_rotated_once_its_reference_gives_another_value(drawer: House) -> None:
    token = await drawer.token()
    async with drawer.serving(), drawer.http_client("legacy", token) as client:
        await client.call_tool("drawer__keys", {})
        (leak,) = await until(lambda: drawer.items("leaks"))
        assert (leak["kind"], leak["grade"]) == ("gateway-secret", "exact")
        refused = await drawer.run("leaks", "accept", str(leak["id"]), "--false-positive")
        assert (refused.code, "no false positive" in refused.err) == (1, True)
    drawer.write("key.txt", secrets.token_urlsafe(24))
    async with drawer.serving():
        (leak,) = await until(lambda: drawer.items("leaks", "--state", "rotated"))
        assert (leak["by"], leak["known_by"]) == ("gateway", "reference")
        assert "drawer.KEY" in leak["note"]
