"""A gateway that is watched: probes and numbers over HTTP, logs as JSON, and a socket that systemd passes."""

import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.abc
import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.kit import DEADLINE, House, call, listens, stop, until
from tests.e2e.planted import RESULTS, Planted, among, leaking

ERA = "modern"
WATCHER = '[clients.watcher]\nowner = "alice@example.com"\nmetrics = true\n'
# As systemd starts a service: the socket is descriptor 3, and the variables name the process that is to have it.
PASSING = """
import os, sys
listener = int(sys.argv[1])
os.dup2(listener, 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""


def say(house: House, gateway: str = "", more: str = "") -> None:
    """Add keys to `[gateway]`, and tables, to the configuration."""
    text = (house.folder / "upstreams.toml").read_text(encoding="utf-8")
    house.write("upstreams.toml", text.replace("[gateway]\n", f"[gateway]\n{gateway}\n", 1) + "\n" + more)


async def get(house: House, path: str, token: str = "") -> httpx2.Response:
    """One request of somebody who watches."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient() as http:
        return await http.get(f"http://127.0.0.1:{house.port}{path}", headers=headers)


async def numbers(house: House, token: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The metrics, by the name of the sample and its labels' values, which are ordered by the labels' names."""
    answer = await get(house, "/metrics", token)
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels[name] for name in sorted(sample.labels))] = (
                sample.value
            )
    return found


@pytest.mark.slow
async def test_who_watches_sees_what_it_did_and_that_it_is_ready_but_for_while_its_record_is_gone(house: House) -> None:
    house.configure()
    say(house, more=WATCHER)
    async with house.serving():
        await until(lambda: _started(house))
        assert await _ready(house) == {"status": "ready", "reasons": [], "upstreams": {"ready": 1}}
        assert (await get(house, "/healthz")).json() == {"status": "alive"}
        token, watcher = await house.token(), await house.token("watcher")
        for nobody in ("", "wrong", token):
            assert (await get(house, "/metrics", nobody)).status_code in (401, 403)
        async with house.http_client(ERA, token) as client:
            await call(client, "ledger__look", {"text": "planted"})
            with suppress(MCPError):  # it is unknown
                await call(client, "ledger__planted_name", {})
        found = await until(lambda: _counted(house, watcher, 2))
        assert found["wardgate_calls_total"][("ok", "tier-default", "read", "ledger", "allow")] == 1
        assert found["wardgate_calls_total"][("blocked", "unknown-tool", "", "", "block")] == 1
        assert found["wardgate_upstream_ready"] == {("ledger",): 1}
        assert found["wardgate_upstreams"][("ready",)] == 1
        assert found["wardgate_ready"] == {(): 1}
        assert found["wardgate_record_rows"][()] >= found["wardgate_records_total"][("outcome",)] == 2
        assert found["wardgate_step_seconds_count"][("decide",)] >= 1
        assert "planted" not in repr(found)
        async with httpx2.AsyncClient() as http:
            refused = await http.post(house.url, json={}, headers={"authorization": f"Bearer {watcher}"})
            assert refused.status_code == 403

        aside = house.place / "aside.db"
        (house.state / "record.db").rename(aside)
        async with house.http_client(ERA, token) as client:
            assert (await call(client, "ledger__note", {"text": "lost"})).is_error
            assert await until(lambda: _unready(house)) == ["record-failed"]
            assert (await get(house, "/healthz")).status_code == 200
            assert (await numbers(house, watcher))["wardgate_record_writable"] == {(): 0}
            aside.rename(house.state / "record.db")
            assert await until(lambda: _ready(house))  # by itself: who isn't ready gets no calls that would try it
    assert house.forwarded == ["look planted"]


async def _ready(house: House) -> dict[str, Any] | None:
    answer = await get(house, "/readyz")
    return dict(answer.json()) if answer.status_code == 200 else None


async def _started(house: House) -> bool:
    return (await get(house, "/readyz")).json()["upstreams"] == {"ready": 1}


async def _unready(house: House) -> list[str] | None:
    answer = await get(house, "/readyz")
    return list(answer.json()["reasons"]) if answer.status_code == 503 else None


async def _counted(house: House, token: str, calls: int) -> dict[str, dict[tuple[str, ...], float]] | None:
    found = await numbers(house, token)
    return found if sum(found.get("wardgate_calls_total", {}).values()) == calls else None


@pytest.mark.slow
async def test_a_state_folder_is_no_other_gateways_whether_that_one_runs_or_not(house: House) -> None:
    house.configure()
    say(house, 'id = "alpha"')
    whole = (house.folder / "upstreams.toml").read_text(encoding="utf-8")
    other = whole.replace('"alpha"', '"beta"')
    async with house.client("shim", ERA) as client:
        assert not (await call(client, "ledger__look", {"text": "mine"})).is_error
        house.write("upstreams.toml", other)
        refused = await house.run("stdio")
        assert (refused.code, refused.out) == (3, "")
        assert "belongs to the gateway `alpha`, and this configuration is of `beta`" in refused.err
    house.close()
    for words in (["serve"], ["stdio", "--standalone"], ["stdio"], ["freeze", "--all"]):
        refused = await house.run(*words)
        assert (refused.code, refused.out) == (3, ""), words
        assert "belongs to the gateway `alpha`, and this configuration is of `beta`" in refused.err, words
    checked = await house.run("check")
    assert checked.code == 1
    assert "[gateway] `id`" in checked.out
    house.write("upstreams.toml", whole)
    async with house.client("standalone", ERA) as client:
        assert not (await call(client, "ledger__look", {"text": "again"})).is_error
    assert house.forwarded == ["look mine", "look again"]


async def test_why_it_does_not_start_is_json_too(house: House) -> None:
    house.configure()
    say(house, 'log = "json"')
    with socket.create_server(("127.0.0.1", house.port)):
        ended = await house.run("serve")
    (line,) = [json.loads(each) for each in ended.err.splitlines()]
    assert (ended.code, line["level"]) == (1, "critical")
    assert "change `listen`" in line["message"]


@pytest.mark.slow
async def test_it_answers_on_the_socket_that_systemd_passes_and_every_line_of_its_log_is_json_without_what_was_called(
    house: House,
) -> None:
    planted = Planted()
    leaking(house, planted)
    say(house, 'log = "json"')
    async with _passed(house) as process:
        assert listens(house.port)  # systemd holds it open, and who comes early waits
        assert await _ready_late(house)
        async with house.http_client(ERA, await house.token()) as client:
            assert not (await call(client, "leaky__text", {})).is_error
            for name in RESULTS:
                with suppress(MCPError):
                    await client.call_tool(f"leaky__{name}", {})
            with suppress(MCPError):
                await client.call_tool(f"leaky__{planted['made-up']}\x1b[2J", {"argument": planted["argument"]})
            house.write("policies/broken.toml", f'upstream = "leaky"\nowner = "{planted["policy"]}\n')
            await until(lambda: "the last good one goes on" in house.said())
        assert process.returncode is None, house.said()
    lines = [json.loads(line) for line in house.said().splitlines()]
    assert lines
    assert {frozenset(line) for line in lines} == {frozenset(("time", "level", "logger", "pid", "message"))}
    assert any("listens on" in line["message"] for line in lines)
    assert among([("log", house.said().encode())], planted) == {}


@asynccontextmanager
async def _passed(house: House) -> AsyncIterator[anyio.abc.Process]:
    """`wardgate serve` on a socket that somebody else opened."""
    with socket.create_server(("127.0.0.1", house.port)) as listener, house.log() as log:
        words = [sys.executable, "-c", PASSING, str(listener.fileno()), house.command, "serve"]
        process = await anyio.open_process(
            [*words, "--config", str(house.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=house.environment,
            pass_fds=(listener.fileno(),),
        )
        try:
            with anyio.fail_after(DEADLINE):
                yield process
        finally:
            with anyio.CancelScope(shield=True):
                await stop(process)


async def _ready_late(house: House) -> bool:
    async with httpx2.AsyncClient(timeout=DEADLINE) as http:
        return (await http.get(f"http://127.0.0.1:{house.port}/healthz")).status_code == 200
