"""Grants before a real upstream: what one covers runs without asking, everything else asks, and it can be revoked."""

import json
from pathlib import Path

import pytest

from tests.e2e.kit import LABELS, House, asked, reason, until
from tests.notices.receiver import receiving

SHORT = 'hold = "100ms"'


@pytest.mark.slow
async def test_exact_arguments_run_again_without_asking_until_the_grant_is_revoked(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as client:
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        assert (await house.run("approve", held, "--arguments", "--for", "30m", "--uses", "5")).code == 0
        for _ in range(3):
            assert not (await client.call_tool("ledger__note", {"text": "one"})).is_error
        assert reason(await client.call_tool("ledger__note", {"text": "two"})) == "approval-pending"
        (grant,) = await house.items("grants")
        assert (grant["scope"], grant["used"], grant["uses"]) == ("arguments", 3, 5)
        assert (await house.run("grants", "revoke", grant["id"])).code == 0
        assert reason(await client.call_tool("ledger__note", {"text": "one"})) == "approval-pending"
        assert await house.items("grants") == []
    assert house.forwarded == ["note one"] * 3
    ended = await house.outcomes("note")
    assert ended.count(("ok", "granted")) == 3
    assert [row["kind"] for row in await house.items("log", "--kind", "grant")] == ["grant"] * 2
    (proven,) = await house.items("verify")
    assert proven["ok"] is True


@pytest.mark.slow
async def test_a_pattern_frees_the_payload_and_a_session_ends_with_itself(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as client:
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        assert (await house.run("approve", held, "--session", "--for", "1h")).code == 0
        assert not (await client.call_tool("ledger__note", {"text": "one"})).is_error
        assert not (await client.call_tool("ledger__note", {"text": "two"})).is_error
    async with house.client("shim", "legacy") as client:
        held = asked(await client.call_tool("ledger__note", {"text": "three"}))
        assert (await house.run("approve", held, "--pattern")).code == 0
        assert not (await client.call_tool("ledger__note", {"text": "four"})).is_error
    async with house.client("shim", "legacy", name="other") as client:
        assert reason(await client.call_tool("ledger__note", {"text": "four"})) == "approval-pending"
    assert house.forwarded == ["note one", "note two", "note four"]


@pytest.mark.slow
async def test_a_grant_outlives_a_restart_and_lapses_with_the_labels(house: House) -> None:
    house.configure(limits=SHORT)
    token = await house.token()
    async with house.serving(), house.http_client("legacy", token) as client:
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        assert (await house.run("approve", held, "--pattern")).code == 0
    async with house.serving(), house.http_client("legacy", token) as client:
        assert not (await client.call_tool("ledger__note", {"text": "two"})).is_error
    house.write("policies/ledger.toml", LABELS.replace('inert = ["text"]', 'sinks = { text = "text" }'))
    await house.consent()
    async with house.serving(), house.http_client("legacy", token) as client:
        assert reason(await client.call_tool("ledger__note", {"text": "three"})) == "approval-pending"
    assert house.forwarded == ["note two"]


@pytest.mark.slow
async def test_edited_arguments_are_what_runs_and_the_model_is_told(house: House, tmp_path: Path) -> None:
    house.configure(limits=SHORT)
    file = tmp_path / "arguments.json"
    file.write_text(json.dumps({"text": "edited"}), encoding="utf-8")
    async with house.client("shim", "legacy") as client:
        held = asked(await client.call_tool("ledger__note", {"text": "one"}))
        assert (await house.run("approve", held, "--edit", str(file))).code == 0
        done = await client.call_tool("ledger__note", {"text": "one"})
        assert not done.is_error, done
        assert "a person changed the arguments" in str(done.content)
    assert house.forwarded == ["note edited"]


@pytest.mark.slow
async def test_a_rule_that_is_waved_through_is_named_by_the_review(house: House) -> None:
    house.configure(limits=SHORT)
    async with house.client("shim", "legacy") as client:
        for number in range(20):
            held = asked(await client.call_tool("ledger__note", {"text": str(number)}))
            assert (await house.run("approve", held)).code == 0
    whole, rule, _ = await house.items("policy", "review")
    assert (whole["asked"], whole["approved"]) == (20, 20)
    assert rule["name"] == "(no rule: effect write)"
    assert rule["waved_through"]
    assert {made["kind"] for made in rule["proposals"]} == {"rule", "grant"}


@pytest.mark.slow
async def test_one_notice_goes_out_for_many_waiting_calls_and_holds_no_argument(house: House) -> None:
    with receiving() as receiver:
        house.environment["WHERE"] = receiver.url("hook")
        house.configure(limits=SHORT, notify='desktop = false\nto = ["env:WHERE", "json://127.0.0.1:1/x"]')
        async with house.client("shim", "legacy") as client:
            held = [asked(await client.call_tool("ledger__note", {"text": f"private {n}"})) for n in range(3)]
            await until(lambda: receiver.got)
            for approval in held:
                assert (await house.run("deny", approval)).code == 0

            async def failed() -> list[object]:
                return await house.items("log", "--kind", "signal")

            (signal,) = await until(failed)
            assert signal["approval"] == held[0]
    (got,) = receiver.got
    assert got["title"] == "Wardgate: a call waits for a person"
    assert "ledger/note, asked by tester" in got["message"]
    assert "private" not in json.dumps(got)
    assert receiver.url("hook") not in (house.state / "gateway.log").read_text(encoding="utf-8")
