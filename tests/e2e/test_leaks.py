"""No secret leaves or rests: planted in files, arguments and errors, or handed to an upstream, on every surface."""

import secrets
import string
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.kit import ERAS, House, asked, text, upstream_table
from tests.e2e.real import RealUpstreams

READS = 'upstream = "files"\nowner = "alice@example.com"\n[[tool]]\nmatch = "read_*"\neffect = "read"\n'


def fake_token() -> str:
    """A token as a forge gives them, made up for one test."""
    return "gh" + "p_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(36))


def holding(folder: Path, secret: str) -> Mapping[str, int]:
    """Every file below the folder that holds the secret's bytes, and where."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and (at := path.read_bytes().find(secret.encode())) >= 0:
            found[path.name] = at
    return found


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_token_in_a_file_is_redacted_on_every_surface_and_kept_nowhere(
    era: str, house: House, real_upstreams: RealUpstreams
) -> None:
    token = fake_token()
    planted = house.world / "deploy.env"
    planted.write_text(f"REGION=eu-1\nGITHUB_TOKEN={token}\n", encoding="utf-8")
    launch = real_upstreams.filesystem(house.world)
    house.configure(upstream_table("files", [launch.command, *launch.args]), policies={"files": READS})
    async with house.client("shim", era) as client:
        await client.list_tools()  # the SDK's client checks structured results against the schema from here on
        read = await client.call_tool("files__read_text_file", {"path": str(planted)})
        assert not read.is_error, read
        content = (read.structured_content or {})["content"]
        for surface in (text(read), content):
            assert "REGION=eu-1" in surface
            assert "[REDACTED:" in surface
        assert token not in read.model_dump_json()
        failed = await client.call_tool("files__read_text_file", {"path": str(house.world / token)})
        assert failed.is_error
        assert token not in failed.model_dump_json()
        (row,) = await house.items("log", "--kind", "outcome", "--outcome", "ok")
        assert row["release"] == "redacted"
        assert {finding["place"] for finding in row["findings"]} == {"content[0].text", "structuredContent.content"}
        for words in (["log"], ["log", "--json"], ["explain", row["id"]]):
            shown = await house.run(*words)
            assert token not in shown.out + shown.err
    assert holding(house.state, token) == {}


@pytest.mark.slow
async def test_a_token_in_arguments_is_forwarded_as_approved_but_never_kept(house: House) -> None:
    token = fake_token()
    house.configure(limits='hold = "100ms"')
    async with house.client("shim", "legacy") as client:
        held = asked(await client.call_tool("ledger__note", {"text": f"use {token}"}))
        shown = await house.run("approvals", "show", held)
        assert "[REDACTED:" in shown.out
        assert token not in shown.out
        assert holding(house.state, token) == {}
        assert (await house.run("approve", held)).code == 0
        done = await client.call_tool("ledger__note", {"text": f"use {token}"})
        assert not done.is_error, done
        assert token not in text(done)  # the upstream says it back
    assert house.forwarded == [f"note use {token}"]  # what was approved is what ran
    assert holding(house.state, token) == {}


@pytest.mark.slow
async def test_a_secret_that_was_handed_to_an_upstream_does_not_come_back(house: House) -> None:
    secret = secrets.token_hex(16)
    house.environment["LEDGER_PASSWORD"] = secret
    house.configure(house.ledger(env={"PASSWORD": "env:LEDGER_PASSWORD", "PLAIN": "shown"}))
    async with house.client("shim", "modern") as client:
        await client.list_tools()
        plain = await client.call_tool("ledger__reveal", {"text": "PLAIN"})
        assert plain.structured_content == {"found": "shown"}
        revealed = await client.call_tool("ledger__reveal", {"text": "PASSWORD"})
        assert not revealed.is_error, revealed
        assert text(revealed).startswith("PASSWORD is [REDACTED:")
        assert secret not in revealed.model_dump_json()
        assert "[REDACTED:" in (revealed.structured_content or {})["found"]
        inherited = await client.call_tool("ledger__reveal", {"text": "LEDGER_PASSWORD"})
        assert inherited.structured_content == {"found": ""}  # nothing is inherited but what is named
    assert holding(house.state, secret) == {}
    assert holding(house.place, secret) == {}
