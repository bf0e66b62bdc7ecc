"""Leaks before a real upstream: one appears, is followed to its end, and opens again; a changed reference ends it."""

import secrets
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

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


async def leak_of(house: House, known: Collection[str] = ()) -> dict[str, Any]:
    """The one leak that is none of the known ones, once there is one."""
    (leak,) = await until(lambda: _others(house, known))
    return dict(leak)


async def _others(house: House, known: Collection[str]) -> list[dict[str, Any]]:
    return [leak for leak in await house.items("leaks") if leak["id"] not in known]


async def shown(house: House, id: str, **what: Any) -> dict[str, Any]:
    """A leak, once it is as it should be."""

    async def there() -> dict[str, Any] | None:
        (leak,) = await house.items("leaks", "show", id)
        return leak if what.items() <= leak.items() else None

    return dict(await until(there))


@pytest.mark.slow
async def test_a_leak_is_followed_to_its_end_and_a_key_of_the_gateway_by_its_reference(drawer: House) -> None:
    token = await drawer.token()
    async with drawer.serving(), drawer.client("shim", "legacy") as client:
        id = await a_leak_appears_is_followed_to_its_end_and_opens_again(drawer, client)
        other = await what_is_said_to_be_no_secret_passes_and_still_counts(drawer, client, id)
        async with drawer.http_client("legacy", token) as caller:
            await caller.call_tool("drawer__keys", {})
        leak = await leak_of(drawer, {id, other})
        assert (leak["kind"], leak["grade"]) == ("gateway-secret", "exact")
        refused = await drawer.run("leaks", "accept", str(leak["id"]), "--false-positive")
        assert (refused.code, "no false positive" in refused.err) == (1, True)
    drawer.write("key.txt", secrets.token_urlsafe(24))
    async with drawer.serving():
        (rotated,) = await until(lambda: drawer.items("leaks", "--state", "rotated"))
        assert (rotated["id"], rotated["by"], rotated["known_by"]) == (leak["id"], "gateway", "reference")
        assert "drawer.KEY" in rotated["note"]
    (proven,) = await drawer.items("verify")
    assert proven["ok"] is True


async def a_leak_appears_is_followed_to_its_end_and_opens_again(drawer: House, client: Client) -> str:
    token = made.token(7)
    put(drawer, f"remote = {token}\n")
    assert token not in await read(client)
    leak = await leak_of(drawer)
    id = str(leak["id"])
    assert (leak["state"], leak["times"], leak["exposed"], leak["owner"]) == ("open", 1, True, "alice@example.com")
    assert (leak["tools"], leak["acts"]) == ({"drawer/read": 1}, {"redacted": 1})
    assert token not in str(leak)
    (told,) = await until(lambda: drawer.items("log", "--kind", "leak"))
    assert told["id"] == id
    assert (await drawer.run("leaks", "resolve", id, "--state", "rotating")).code == 0
    put(drawer, "remote = none\n")
    await read(client)
    await shown(drawer, id, exposed=False)  # its source was read again without it
    assert (await drawer.run("leaks", "resolve", id, "--proof", f"{token} is revoked")).code == 0
    assert await drawer.items("leaks") == []
    leak = await shown(drawer, id)
    assert (leak["state"], leak["known_by"], leak["note"].endswith("is revoked")) == ("rotated", "local", True)
    assert token not in leak["note"]
    put(drawer, f"remote = {token}\n")
    await read(client)
    leak = await leak_of(drawer)
    assert (leak["id"], leak["state"], leak["reopened"], leak["exposed"]) == (id, "open", 1, True)
    assert {row["id"] for row in await drawer.items("log", "--kind", "leak")} == {id}
    return id


async def what_is_said_to_be_no_secret_passes_and_still_counts(drawer: House, client: Client, known: str) -> str:
    token = made.token(8)
    put(drawer, f"example = {token}\n")
    assert token not in await read(client)
    id = str((await leak_of(drawer, {known}))["id"])
    accepted = await drawer.run("leaks", "accept", id, "--false-positive", "--for", "1h")
    assert accepted.code == 0, accepted
    assert token in await read(client)
    await shown(drawer, id, passed=1)
    assert (await drawer.run("leaks", "resolve", id, "--state", "open")).code == 0
    assert token not in await read(client)
    return id
