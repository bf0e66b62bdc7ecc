"""Programs as children: what they get, how they end, and that nothing of them stays."""

import contextlib
import os
import sys

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest

from gateway.errors import ConfigurationError
from gateway.transport.process import Command, running
from tests.processes import children, descriptors, is_alive


def python(code: str, **more: object) -> Command:
    """A command that runs a line of Python."""
    return Command(sys.executable, ("-c", code), grace=0.2, **more)  # type: ignore[arg-type]  # checked by the test


async def pid_from(read: object) -> int:
    """The id in the first message."""
    item = await read.receive()  # type: ignore[attr-defined]  # a MessageReader
    assert isinstance(item, SessionMessage)
    assert isinstance(item.message, JSONRPCRequest)
    return int(item.message.id)


CHILD = """
import json, os, signal, subprocess, sys, time
{before}
child = subprocess.Popen([sys.executable, "-c", "import signal,time; {ignore} time.sleep(300)"])
print(json.dumps({{"jsonrpc": "2.0", "id": child.pid, "method": "m"}}), flush=True)
{after}
"""
IGNORE = "signal.signal(signal.SIGTERM, signal.SIG_IGN);"


@pytest.mark.parametrize(
    ("before", "ignore", "after"),
    [
        ("", "", "sys.stdin.read()"),
        ("", "", "time.sleep(300)"),
        (IGNORE, IGNORE, "time.sleep(300)"),
        ("", IGNORE, "os._exit(0)"),
    ],
    ids=["ends by itself", "ends on SIGTERM", "ignores SIGTERM", "left a child that holds the pipe"],
)
async def test_the_whole_tree_is_gone_in_bounded_time(before: str, ignore: str, after: str) -> None:
    with anyio.fail_after(10):
        async with running(python(CHILD.format(before=before, ignore=ignore, after=after))) as (read, _, process):
            child = await pid_from(read)
            assert is_alive(child)
            if "exit" in after:
                with pytest.raises(anyio.EndOfStream):
                    await read.receive()
            pid = process.pid
        while is_alive(child):  # noqa: ASYNC110 - another's child: no event tells of its end
            await anyio.sleep(0.01)
    assert not is_alive(pid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_end_of_the_program_ends_the_stream_after_its_last_words() -> None:
    code = "import json,sys; print(json.dumps({'jsonrpc':'2.0','id':7,'method':'m'})); sys.exit('the reason')"
    with anyio.fail_after(10):
        async with running(python(code)) as (read, _, process):
            assert await pid_from(read) == 7
            with pytest.raises(anyio.EndOfStream):
                await read.receive()
            assert process.exited.is_set() or read.ended.is_set()
        assert process.stderr_tail == "the reason\n"


async def test_only_the_end_of_stderr_is_kept_and_a_flood_blocks_nobody() -> None:
    code = "import os,json\nfor _ in range(2000): os.write(2, b'\\x1b[2Jnoise' * 200)\nos.write(2, b'last')\n"
    code += "print(json.dumps({'jsonrpc':'2.0','id':1,'method':'m'}))"
    with anyio.fail_after(20):
        async with running(python(code)) as (read, _, process):
            await pid_from(read)
        assert process.stderr_tail.endswith("last")
        assert "\x1b" not in process.stderr_tail
        assert len(process.stderr_tail) < 4096 * 4


async def test_where_the_system_tells_no_exit_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with anyio.fail_after(10):
        async with running(python("import sys; sys.stdin.read()")) as (_, _, process):
            pid = process.pid
    assert not is_alive(pid)


@pytest.mark.parametrize(
    "command",
    [
        Command("no-such-command-here"),
        Command(sys.executable, cwd="/no/such/folder"),
        Command("/dev/null"),
        Command(sys.executable, ("\0",)),
    ],
    ids=["missing", "no folder", "not executable", "NUL"],
)
async def test_a_command_that_cannot_be_started_is_the_users_to_mend(command: Command) -> None:
    before = descriptors()
    with pytest.raises(ConfigurationError):
        async with running(command):
            pass
    assert descriptors() - before == set()


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    others = children(
        watchdog=True
    )  # what tests of other rooms left: the helper of Python's own process pools, for one
    for _ in range(5):
        with contextlib.suppress(TimeoutError), anyio.fail_after(0.001):
            async with running(python("import time; time.sleep(300)")):
                await anyio.sleep_forever()
    assert children(watchdog=True) - others == set()


async def test_descriptors_are_closed_after_use() -> None:
    async with running(python("import sys; sys.stdin.read()")):
        pass
    before = descriptors()
    for _ in range(3):
        async with running(python("import sys; sys.stdin.read()")):
            pass
    assert descriptors() - before == set()


def test_a_secret_in_the_environment_is_not_in_the_repr() -> None:
    secret = "s" + "ecret-value"
    assert secret not in repr(Command("x", environment={"TOKEN": secret}))


async def test_prints_and_children_of_ours_cannot_corrupt_the_protocol() -> None:
    code = (
        "import os,subprocess\nfrom gateway.transport.serve import take_stdio\n_, out = take_stdio()\n"
        "print('a print', flush=True); subprocess.run(['echo', 'a child'])\n"
        "assert os.read(0, 10) == b''\n"
        'os.write(out, b\'{"jsonrpc":"2.0","id":7,"method":"m"}\\n\')'
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()}
    with anyio.fail_after(20):
        async with running(python(code, environment=environment)) as (read, _, process):
            assert await pid_from(read) == 7
            await process.watch()
        assert process.stderr_tail == "a print\na child\n"
