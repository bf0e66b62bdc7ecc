"""Real upstreams behind the gateway: filesystem, everything, memory, git and time, at each door and in both
eras.
"""

import subprocess
from collections.abc import Callable, Mapping
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


def furnish(house: House, real: RealUpstreams, *names: str) -> House:
    """Put these real upstreams behind the gateway, with a file and a repository for them to work on."""
    repository = house.world / "repository"
    repository.mkdir()
    (repository / "draft.txt").write_text("a draft", encoding="utf-8")
    places: Mapping[str, Callable[[], Launch]] = {
        "files": lambda: real.filesystem(house.place),
        "all": real.everything,
        "graph": lambda: real.memory(house.world / "graph.jsonl"),
        "git": lambda: real.git(repository),
        "clock": real.time,
    }
    launches = {name: places[name]() for name in names}
    if "git" in names:
        subprocess.run(["git", "init", "--quiet", str(repository)], check=True, stdin=subprocess.DEVNULL)
    tables = [upstream_table(name, [each.command, *each.args], env=each.env) for name, each in launches.items()]
    return house.configure(*tables, policies={name: POLICIES[name] for name in names}, limits='hold = "1s"')


async def _listed(client: Client, *names: str) -> None:
    """Wait until these upstreams are there: on a slow machine the gateway is ready before they are."""
    wanted = {f"{name}__{TOOL[name]}" for name in names}

    async def there() -> bool:
        return wanted <= {tool.name for tool in (await client.list_tools()).tools}

    await until(there)


@pytest.fixture
def files(house: House, real_upstreams: RealUpstreams) -> House:
    """The house with the real filesystem server."""
    return furnish(house, real_upstreams, "files")


@pytest.fixture
def everything(house: House, real_upstreams: RealUpstreams) -> House:
    """The house with the real server that has one of everything."""
    return furnish(house, real_upstreams, "all")


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("door", ["shim", "http"])
async def test_each_real_upstream_is_listed_and_called_under_its_prefix(
    door: str, era: str, house: House, real_upstreams: RealUpstreams
) -> None:
    furnish(house, real_upstreams, *TOOL)
    entity = {"name": "Ada", "entityType": "person", "observations": ["likes engines"]}
    repository = house.world / "repository"
    async with house.client(door, era) as client:
        await _listed(client, *TOOL)
        read = await client.call_tool("files__read_text_file", {"path": str(repository / "draft.txt")})
        assert text(read) == "a draft"
        assert read.structured_content == {"content": "a draft"}
        echoed = await client.call_tool("all__echo", {"message": "hello"})
        assert "hello" in text(echoed)
        weather = await client.call_tool("all__get-structured-content", {"location": "Chicago"})
        assert set(weather.structured_content or {}) == {"temperature", "conditions", "humidity"}
        made = await client.call_tool("graph__create_entities", {"entities": [entity]})
        assert made.structured_content == {"entities": [entity]}
        status = await client.call_tool("git__git_status", {"repo_path": str(repository)})
        assert "draft.txt" in text(status)
        clock = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        assert "21:00" in text(await client.call_tool("clock__convert_time", clock))
    assert "Ada" in (house.world / "graph.jsonl").read_text(encoding="utf-8")
    assert await house.outcomes("create_entities") == [("ok", "rule")]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_progress_of_a_real_upstream_passes_through(era: str, everything: House) -> None:
    seen: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with everything.client("shim", era) as client:
        await _listed(client, "all")
        steps = {"duration": 0.2, "steps": 2}
        done = await client.call_tool("all__trigger-long-running-operation", steps, progress_callback=on_progress)
        assert not done.is_error
    assert (1, 2) in seen
    assert all(earlier < later for (earlier, _), (later, _) in pairwise(seen))


@pytest.mark.slow
async def test_a_cancelled_call_of_a_real_upstream_is_recorded_and_the_next_one_works(everything: House) -> None:
    started = anyio.Event()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        started.set()

    async with everything.client("shim", "modern") as client:
        await _listed(client, "all")
        async with anyio.create_task_group() as calls:
            long = {"duration": LONG, "steps": LONG * 10}
            calls.start_soon(client.call_tool, "all__trigger-long-running-operation", long, None, on_progress)
            await started.wait()
            calls.cancel_scope.cancel()
        ended = await until(lambda: everything.outcomes("trigger-long-running-operation"))
        assert ended == [("unknown", "cancelled")]
        assert "still here" in text(await client.call_tool("all__echo", {"message": "still here"}))


@pytest.mark.slow
async def test_an_error_of_a_real_tool_stays_an_error(everything: House) -> None:
    async with everything.client("shim", "modern") as client:
        await _listed(client, "all")
        failed = await client.call_tool("all__get-sum", {"a": "one", "b": 2})
        assert failed.is_error
        assert reason(failed) == ""
    assert await everything.outcomes("get-sum") == [("error", "tier-default")]


@pytest.mark.slow
async def test_a_write_runs_once_a_person_has_approved_it(files: House) -> None:
    wanted = files.world / "offer.txt"
    arguments = {"path": str(wanted), "content": "4,200 for the tables"}
    async with files.client("shim", "legacy") as client:
        await _listed(client, "files")
        async with anyio.create_task_group() as calls:
            answers = []

            async def call() -> None:
                answers.append(await client.call_tool("files__write_file", arguments))

            calls.start_soon(call)
            approval = await files.waiting()
            assert not wanted.exists()
            assert (await files.run("approve", approval)).code == 0
        (answer,) = answers
        if answer.is_error:  # the hold was over before the command was
            assert asked(answer) == approval
            answer = await client.call_tool("files__write_file", arguments)
        assert not answer.is_error, answer
    assert wanted.read_text(encoding="utf-8") == "4,200 for the tables"


@pytest.mark.slow
async def test_a_path_in_the_gateways_own_folders_is_blocked_however_it_is_written(files: House) -> None:
    link = files.world / "shortcut"
    link.symlink_to(files.folder)
    state, world = files.state, files.world
    reaching = [
        state / "store.sqlite",
        files.folder / "policies" / "files.toml",
        Path(f"{world}/../config/state/gateway.json"),
        link / "upstreams.toml",
    ]
    async with files.client("shim", "modern") as client:
        await _listed(client, "files")
        for path in reaching:
            refused = await client.call_tool("files__read_text_file", {"path": str(path)})
            assert refused.is_error
            assert reason(refused) == "self-protection", path
    assert await files.outcomes("read_text_file") == [("blocked", "self-protection")] * len(reaching)


@pytest.mark.slow
async def test_the_inspector_lists_and_calls_over_stdio(everything: House, real_upstreams: RealUpstreams) -> None:
    async with everything.client("shim", "legacy") as client:  # the gateway is up before the Inspector asks once
        await _listed(client, "all")
        await _inspect(real_upstreams, "legacy", everything.stdio(), everything.environment)


@pytest.mark.slow
async def test_the_inspector_lists_and_calls_over_http_with_a_token(
    everything: House, real_upstreams: RealUpstreams
) -> None:
    async with everything.serving():
        token = await everything.token()
        async with everything.http_client("modern", token) as client:
            await _listed(client, "all")
        await _inspect(real_upstreams, "modern", everything.url, everything.environment, token)
        without = await real_upstreams.inspect(["--method", "tools/list"], everything.url, everything.environment)
        assert without.code == 3, without


async def _inspect(
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
