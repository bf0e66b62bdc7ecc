"""The commands that people use, with a gateway that runs and with none: exit codes, the shapes of `--json`."""

import json

import pytest

from tests.e2e.kit import House, asked

SHORT = 'hold = "100ms"'
APPROVAL = {
    *("id", "state", "call", "upstream", "tool", "arguments", "arguments_digest", "principal", "client", "session"),
    *("tier", "effect", "rule", "reason", "proof_required", "approvers_required", "created_at", "expires_at"),
    *("decided_by", "proof"),
}
LOGGED = {
    *("seq", "id", "kind", "at", "principal", "client", "session", "upstream", "tool", "tier", "effect", "verdict"),
    *("reason", "rules", "obligations", "policy_revision", "approval", "outcome", "release", "findings"),
}
EXPLAINED = LOGGED | {"checks", "rule_at", "proof_of_approval", "tree"}


@pytest.mark.slow
async def test_an_approval_is_settled_once_and_only_by_an_id_that_exists(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as client:
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        shown = await house.run("approvals", "show", held)
        assert shown.code == 0
        assert "ledger__note" in shown.out
        unknown = await house.run("approve", "a_0000000000")
        assert unknown.code == 1
        assert "a_0000000000" in unknown.err
        assert (await house.run("approve", held[:6])).code == 0  # the beginning of an id is enough
        again = await house.run("approve", held)
        assert again.code == 1
        assert held in again.err
        assert (await house.run("deny", held)).code == 1
        assert (await house.run("approve")).code == 2
    assert house.forwarded == []  # a person's yes runs nothing by itself


@pytest.mark.slow
async def test_json_has_the_shapes_that_are_promised(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as client:
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        (waiting,) = await house.items("approvals")
        assert set(waiting) == APPROVAL
        assert (waiting["id"], waiting["state"], waiting["arguments"]) == (held, "waiting", {"text": "one"})
        assert waiting["created_at"].endswith("Z")
        (approved,) = await house.items("approve", held)
        assert set(approved) == APPROVAL
        assert (approved["state"], approved["proof"]) == ("approved", "local")
        assert approved["decided_by"].startswith("os:")
        await client.call_tool("ledger__note", {"text": "one"})
        logged = await house.items("log", "--tool", "note")
        assert {tuple(sorted(row)) for row in logged} == {tuple(sorted(LOGGED))}
        (explained,) = await house.items("explain", held)
        assert set(explained) >= EXPLAINED
        assert explained["proof_of_approval"]["proof"] == "local"
        assert set(explained["tree"]) == {"index", "size", "root"}
        assert {"name", "result", "us"} == set(explained["checks"][0])
        (proven,) = await house.items("verify")
        assert set(proven) == {"ok", "size", "root", "first_bad", "detail"}
        assert proven["ok"] is True
        (session,) = await house.items("sessions")
        assert session["client"] == "tester"


@pytest.mark.parametrize(
    "words", [("approve", "a_0000000000"), ("deny", "a_0000000000"), ("approvals",), ("sessions",)]
)
async def test_a_command_that_needs_a_gateway_ends_with_3_where_none_runs(words: tuple[str, ...], house: House) -> None:
    ended = await house.run(*words)
    assert ended.code == 3
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("words", [("log",), ("verify",), ("explain", "d_0000000000")])
async def test_a_command_that_reads_the_record_ends_with_3_where_there_is_none(
    words: tuple[str, ...], house: House
) -> None:
    ended = await house.run(*words)
    assert ended.code == 3
    assert len(ended.err.splitlines()) == 1


async def test_an_unknown_command_names_the_nearest_one(house: House) -> None:
    ended = await house.run("aprove")
    assert ended.code == 2
    assert "`approve`" in ended.err


async def test_check_names_file_line_and_the_nearest_key(house: House) -> None:
    text = (house.folder / "upstreams.toml").read_text(encoding="utf-8")
    house.write("upstreams.toml", text.replace('state = "state"', 'stat = "state"'))
    house.write("policies/ledger.toml", 'upstream = "ledgr"\nowner = "alice@example.com"\n')
    ended = await house.run("check")
    assert ended.code == 1
    assert "upstreams.toml:4" in ended.out
    assert "`state`" in ended.out
    found = json.loads((await house.run("check", "--json")).out)["items"]
    assert {tuple(sorted(item)) for item in found} == {("do", "found", "severity", "what", "where")}
    assert "policies/ledger.toml:1" in [item["where"] for item in found]


async def test_check_is_content_with_a_good_configuration(house: House) -> None:
    ended = await house.run("check")
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("option", ["--standalone", "--on-demand"])
async def test_a_wrong_configuration_ends_the_start_with_one_clear_line(option: str, house: House) -> None:
    house.write("policies/ledger.toml", 'upstream = "ledgr"\nowner = "alice@example.com"\n')
    ended = await house.run("stdio" if option == "--standalone" else "serve", option)
    assert ended.code == 1
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert "policies/ledger.toml:1" in line
    assert "`ledger`" in line


async def test_a_port_that_is_taken_is_said_and_nothing_starts(house: House) -> None:
    async with house.serving():
        text = (house.folder / "upstreams.toml").read_text(encoding="utf-8")
        house.write("upstreams.toml", text.replace('state = "state"', 'state = "another"'))
        ended = await house.run("serve")
        assert ended.code == 1
        assert f"{house.port}" in ended.err
    assert not (house.folder / "another").exists()
