"""Real upstreams behind the gateway: filesystem, everything, memory, git and time, at each door and in both
eras.
"""

import subprocess
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from mcp.client.client import Client

from tests.e2e.kit import ERAS, House, asked, reason, text, until, upstream_table
from tests.e2e.real import Launch, RealUpstreams

HEAD = 'upstream = "{}"\nowner = "alice@example.com"\n'
READ = '[[tool]]\nmatch = {}\neffect = "read"\n'
POLICIES = {
    "files": HEAD.format("files") + READ.format('["read_*", "list_*"]'),
    "all": HEAD.format("all") + READ.format('["echo", "get-*", "trigger-*"]'),
    "graph": HEAD.format("graph")
    + """\
[[tool]]
match = "create_entities"
effect = "write"
payload = ["entities"]
[[rule]]
id = "graph.free"
tools = "create_entities"
decide = "allow"
""",
    "git": HEAD.format("git") + READ.format('"git_status"'),
    "clock": HEAD.format("clock") + READ.format('"*"'),
}
LONG = 30  # seconds that the cancelled operation would take; no test waits for it
TOOL = {"files": "read_text_file", "all": "echo", "graph": "read_graph", "git": "git_status", "clock": "convert_time"}


def furnish(house: House, real: RealUpstreams) -> None:
    """Put the real upstreams behind the gateway, with a file and a repository for them to work on."""
    repository = house.world / "repository"
    repository.mkdir()
    (repository / "draft.txt").write_text("a draft", encoding="utf-8")
    launches: Mapping[str, Launch] = {
        "files": real.filesystem(house.place),
        "all": real.everything(),
        "graph": real.memory(house.world / "graph.jsonl"),
        "git": real.git(repository),
        "clock": real.time(),
    }
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True, stdin=subprocess.DEVNULL)
    tables = [upstream_table(name, [each.command, *each.args], env=each.env) for name, each in launches.items()]
    house.configure(*tables, policies=POLICIES, limits='hold = "1s"', locked=False)


async def _listed(client: Client) -> None:
    """Wait until all upstreams are there: on a slow machine the gateway is ready before they are."""
    wanted = {f"{name}__{tool}" for name, tool in TOOL.items()}

    async def there() -> bool:
        return wanted <= {tool.name for tool in (await client.list_tools()).tools}

    await until(there)


@pytest.mark.slow
async def test_real_upstreams_are_called_through_one_gateway_at_each_door_in_both_eras(
    house: House, real_upstreams: RealUpstreams
) -> None:
    furnish(house, real_upstreams)
    async with house.serving():
        token = await house.token()
        async with house.client("shim", "modern") as client:
            await _listed(client)
        assert (await house.run("lock", "--yes")).code == 0  # once all of them are there
        for door in ("shim", "http"):
            for era in ERAS:
                behind = house.client(door, era) if door == "shim" else house.http_client(era, token)
                await _each_is_listed_and_called_under_its_prefix(f"{door}-{era}", behind, house)
        for era in ERAS:
            await _progress_passes_through(era, house)
        await _a_cancelled_call_is_recorded_and_the_next_one_works(house)
        await _an_error_of_a_tool_stays_an_error(house)
        await _a_write_runs_once_a_person_has_approved_it(house)
        await _a_path_in_the_gateways_own_folders_is_blocked_however_it_is_written(house)
        await _the_inspector_lists_and_calls(real_upstreams, "legacy", house.stdio(), house.environment)
        await _the_inspector_lists_and_calls(real_upstreams, "modern", house.url, house.environment, token)
        without = await real_upstreams.inspect(["--method", "tools/list"], house.url, house.environment)
        assert without.code == 3, without


async def _each_is_listed_and_called_under_its_prefix(
    case: str, behind: AbstractAsyncContextManager[Client], house: House
) -> None:
    entity = {"name": f"Ada at {case}", "entityType": "person", "observations": ["likes engines"]}
    repository = house.world / "repository"
    async with behind as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert {f"{name}__{tool}" for name, tool in TOOL.items()} <= listed, case
        read = await client.call_tool("files__read_text_file", {"path": str(repository / "draft.txt")})
        assert text(read) == "a draft", case
        assert read.structured_content == {"content": "a draft"}, case
        echoed = await client.call_tool("all__echo", {"message": f"hello from {case}"})
        assert f"hello from {case}" in text(echoed), case
        weather = await client.call_tool("all__get-structured-content", {"location": "Chicago"})
        assert set(weather.structured_content or {}) == {"temperature", "conditions", "humidity"}, case
        made = await client.call_tool("graph__create_entities", {"entities": [entity]})
        assert made.structured_content == {"entities": [entity]}, case
        status = await client.call_tool("git__git_status", {"repo_path": str(repository)})
        assert "draft.txt" in text(status), case
        clock = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        assert "21:00" in text(await client.call_tool("clock__convert_time", clock)), case
    assert entity["name"] in (house.world / "graph.jsonl").read_text(encoding="utf-8")
    assert set(await house.outcomes("create_entities")) == {("ok", "rule")}, case


async def _progress_passes_through(era: str, house: House) -> None:
    seen: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with house.client("shim", era) as client:
        steps = {"duration": 0.2, "steps": 2}
        done = await client.call_tool("all__trigger-long-running-operation", steps, progress_callback=on_progress)
        assert not done.is_error, era
    assert (1, 2) in seen, era
    assert all(earlier < later for (earlier, _), (later, _) in pairwise(seen)), era


async def _a_cancelled_call_is_recorded_and_the_next_one_works(house: House) -> None:
    started = anyio.Event()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        started.set()

    async def ended() -> list[tuple[str, str]]:
        return (await house.outcomes("trigger-long-running-operation"))[len(ERAS) :]  # but for the ones before

    async with house.client("shim", "modern") as client:
        async with anyio.create_task_group() as calls:
            long = {"duration": LONG, "steps": LONG * 10}
            calls.start_soon(client.call_tool, "all__trigger-long-running-operation", long, None, on_progress)
            await started.wait()
            calls.cancel_scope.cancel()
        assert await until(ended) == [("unknown", "cancelled")]
        assert "still here" in text(await client.call_tool("all__echo", {"message": "still here"}))


async def _an_error_of_a_tool_stays_an_error(house: House) -> None:
    async with house.client("shim", "modern") as client:
        failed = await client.call_tool("all__get-sum", {"a": "one", "b": 2})
        assert failed.is_error
        assert reason(failed) == ""
    assert await house.outcomes("get-sum") == [("error", "tier-default")]


async def _a_write_runs_once_a_person_has_approved_it(house: House) -> None:
    wanted = house.world / "offer.txt"
    arguments = {"path": str(wanted), "content": "4,200 for the tables"}
    async with house.client("shim", "legacy") as client:
        async with anyio.create_task_group() as calls:
            answers = []

            async def call() -> None:
                answers.append(await client.call_tool("files__write_file", arguments))

            calls.start_soon(call)
            approval = await house.waiting()
            assert not wanted.exists()
            assert (await house.run("approve", approval)).code == 0
        (answer,) = answers
        if answer.is_error:  # the hold was over before the command was
            assert asked(answer) == approval
            answer = await client.call_tool("files__write_file", arguments)
        assert not answer.is_error, answer
    assert wanted.read_text(encoding="utf-8") == "4,200 for the tables"


async def _a_path_in_the_gateways_own_folders_is_blocked_however_it_is_written(house: House) -> None:
    link = house.world / "shortcut"
    link.symlink_to(house.folder)
    reaching = [
        house.state / "store.sqlite",
        house.folder / "policies" / "files.toml",
        Path(f"{house.world}/../config/state/gateway.json"),
        link / "upstreams.toml",
    ]
    async with house.client("shim", "modern") as client:
        for path in reaching:
            refused = await client.call_tool("files__read_text_file", {"path": str(path)})
            assert refused.is_error, path
            assert reason(refused) == "self-protection", path
    outcomes = await house.outcomes("read_text_file")
    assert outcomes[-len(reaching) :] == [("blocked", "self-protection")] * len(reaching)
    assert set(outcomes[: -len(reaching)]) == {("ok", "tier-default")}  # of the draft


async def _the_inspector_lists_and_calls(
    real: RealUpstreams, era: str, server: list[str] | str, environment: Mapping[str, str], token: str = ""
) -> None:
    options = ["--protocol-era", era, "--method"]
    listed = await real.inspect([*options, "tools/list"], server, environment, token)
    assert listed.code == 0, listed.stderr
    assert "all__echo" in [tool["name"] for tool in listed.result["result"]["tools"]]
    call = [*options, "tools/call", "--tool-name", "all__echo", "--tool-arg", "message=inspected"]
    called = await real.inspect(call, server, environment, token)
    assert called.code == 0, called.stderr
    assert "inspected" in called.result["result"]["content"][0]["text"]
