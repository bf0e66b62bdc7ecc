"""A gateway that is killed leaves nothing behind: real processes, really killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from gateway.errors import GatewayError
from gateway.transport import orphans, watchdog
from gateway.transport.orphans import Ward, end, members, start_of
from gateway.transport.process import Command, running
from tests.processes import children, children_of, descriptors

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the tests wait for other processes by pidfd")

# A gateway in small: runs one program until it is killed, and passes on what that program tells of its processes.
GATEWAY = """
import os, sys, anyio
from gateway.transport.process import Command, running
{before}
async def main():
    command = Command(sys.executable, ("-c", sys.argv[1]), grace=30)
    async with running(command) as (read, _, process):
        item = await read.receive()
        os.write(1, item.message.model_dump_json().encode() + b"\\n")
        await anyio.sleep_forever()
anyio.run(main)
"""
# Ends by nothing but SIGKILL, as does its child; `start` is how the child is started.
PROGRAM = """
import json, os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
stubborn = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
null = subprocess.DEVNULL
pids = [os.getpid()]
{start}
print(json.dumps({{"jsonrpc": "2.0", "method": "m", "params": {{"pids": pids, "parent": os.getppid()}}}}), flush=True)
{after}
"""
CHILD = "pids.append(subprocess.Popen([sys.executable, '-c', stubborn]{more}).pid)"
DAEMON = (
    "code = 'import os,subprocess,sys; print(subprocess.Popen([sys.executable, \"-c\", sys.argv[1]], stdin=0,'"
    "' stdout=2, stderr=2, start_new_session=True).pid)'\n"
    "pids.append(int(subprocess.run([sys.executable, '-c', code, stubborn], stdout=subprocess.PIPE).stdout))"
)


@contextlib.asynccontextmanager
async def gateway(program: str, before: str = "") -> AsyncIterator[tuple["subprocess.Popen[bytes]", list[int]]]:
    """A gateway in a group of its own, and the ids of all processes that its program started."""
    with subprocess.Popen(  # noqa: ASYNC220 - it takes no time, and what it says is waited for in a thread
        [sys.executable, "-c", GATEWAY.format(before=before), program],
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    ) as run:
        pids: list[int] = []
        try:
            assert run.stdout is not None
            line = await anyio.to_thread.run_sync(run.stdout.readline)
            pids = json.loads(line)["params"]["pids"] if line else []
            yield run, pids
        finally:
            for pid in (run.pid, *pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(handle)
    finally:
        os.close(handle)


def watchdogs_of(pid: int) -> list[int]:
    """The watchdogs that a process started."""
    return sorted(children_of(pid, orphans.__file__.encode()))


EVERY_CHILD = "\n".join(
    (
        CHILD.format(more=""),
        CHILD.format(more=", process_group=0"),
        CHILD.format(more=", start_new_session=True"),
        CHILD.format(more=", start_new_session=True, stdin=null, stdout=null, stderr=null"),
        DAEMON,
    )
)
LEFT_CHILD = CHILD.format(more=", stdin=null, stdout=null, stderr=null")
STARTS = pytest.mark.parametrize(
    ("start", "after"),
    [(EVERY_CHILD, "time.sleep(300)"), (LEFT_CHILD, "sys.stdin.read(); os._exit(0)")],
    ids=["stubborn", "its leader ends by itself"],
)
ALONE = PROGRAM.format(start="", after="time.sleep(300)")


@STARTS
async def test_kill_9_of_the_gateway_leaves_no_process(start: str, after: str) -> None:
    with anyio.fail_after(20):
        async with gateway(PROGRAM.format(start=start, after=after)) as (run, pids):
            (dog,) = watchdogs_of(run.pid)
            run.kill()
            for pid in (*pids, dog):
                await gone(pid)


@STARTS
async def test_a_stop_leaves_no_process_either(start: str, after: str) -> None:
    with anyio.fail_after(20):
        command = Command(sys.executable, ("-c", PROGRAM.format(start=start, after=after)), grace=0.1)
        async with running(command) as (read, _, _process):
            item = await read.receive()
            pids = item.message.params["pids"]  # type: ignore[union-attr]  # it is a notification
            (dog,) = watchdogs_of(os.getpid())
        for pid in (*pids, dog):
            await gone(pid)


async def test_the_watchdog_survives_what_is_sent_to_the_gateways_group() -> None:
    ignoring = "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)"
    with anyio.fail_after(20):
        async with gateway(ALONE, ignoring) as (run, pids):
            (dog,) = watchdogs_of(run.pid)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.killpg(run.pid, number)
                os.kill(dog, number)
            assert watchdogs_of(run.pid) == [dog]
            run.kill()
            for pid in (*pids, dog):
                await gone(pid)


async def test_a_watchdog_that_is_killed_is_replaced_and_the_new_one_watches(tmp_path: Path) -> None:
    told = tmp_path / "told"  # a line for each watchdog that knows of all programs
    quick = f"""
from gateway.transport import watchdog
start = watchdog.Watchdog._start
def and_tell(self):
    run = start(self)
    print(file=open({str(told)!r}, "a"))
    return run
watchdog.AGAIN, watchdog.Watchdog._start = 0, and_tell
"""
    with anyio.fail_after(20):
        async with gateway(ALONE, quick) as (run, pids):
            (dog,) = watchdogs_of(run.pid)
            os.kill(dog, signal.SIGKILL)
            while told.read_text() != "\n\n":  # noqa: ASYNC110 - another's file
                await anyio.sleep(0.01)
            dogs = watchdogs_of(run.pid)
            assert dogs not in ([], [dog])
            run.kill()
            for pid in (*pids, *dogs):
                await gone(pid)


@pytest.mark.parametrize("place", ["orphans.Ward.led_by", "watchdog._Run.wait_until_ready"])
async def test_a_gateway_that_is_killed_while_it_starts_a_program_leaves_none(place: str, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    program = f"import os,time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(300)"
    before = (
        "import signal\nfrom gateway.transport import orphans, watchdog\n"
        f"def die(*_):\n    while not os.path.exists({str(told)!r}) or not open({str(told)!r}).read(): pass\n"
        f"    os.kill(os.getpid(), signal.SIGKILL)\n{place} = die\n"
    )
    with anyio.fail_after(20):
        async with gateway(program, before) as (run, _):
            await anyio.to_thread.run_sync(run.wait)
        await gone(int(told.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "command",
    [
        ("/no/such/program",),
        ("/dev/null",),
        (sys.executable, "-c", ""),
        (sys.executable, "-c", "import os; os.read(0, 1)"),
    ],
    ids=["missing", "not executable", "ends at once", "ends when it is told something"],
)
async def test_without_a_watchdog_no_program_runs(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "COMMAND", command)
    before, others = descriptors(), children(watchdog=True)
    with anyio.fail_after(20), pytest.raises(GatewayError):
        async with running(Command(sys.executable, ("-c", "import time; time.sleep(300)"))):
            pytest.fail("it runs, and nobody watches it")
    assert descriptors() - before == set()
    assert children(watchdog=True) - others == set()


async def test_a_watchdog_that_never_gets_ready_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "COMMAND", (sys.executable, "-c", "import sys; sys.stdin.read()"))
    monkeypatch.setattr(watchdog, "READY", 0.1)
    with anyio.fail_after(20), pytest.raises(GatewayError):
        async with running(Command(sys.executable, ("-c", "import time; time.sleep(300)"))):
            pytest.fail("it runs, and nobody watches it")


async def test_several_programs_share_one_watchdog_and_it_ends_with_the_last() -> None:
    command = Command(sys.executable, ("-c", "import sys; sys.stdin.read()"))
    with anyio.fail_after(20):
        async with running(command) as (_, _, first):
            async with running(command) as (_, _, second):
                (dog,) = watchdogs_of(os.getpid())
                await anyio.to_thread.run_sync(lambda: end([led(first.pid)], 0))
                assert not second.exited.is_set()
            assert watchdogs_of(os.getpid()) == [dog]
        assert watchdogs_of(os.getpid()) == []


def led(pid: int) -> Ward:
    ward = Ward([])
    ward.led_by(pid, start_of(pid))
    return ward


def test_a_process_id_that_was_given_to_another_is_spared() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as other:
        ward = Ward(["1"])
        ward.led_by(other.pid, "1")  # the one that had this id was started long ago
        assert members([ward]) == {}
        end([ward], 0)
        orphans._signal(other.pid, "1", signal.SIGKILL)
        assert members([led(other.pid)]) == {other.pid: start_of(other.pid)}
        assert other.poll() is None
        orphans._signal(other.pid, start_of(other.pid), signal.SIGKILL)
        assert other.wait(10) == -signal.SIGKILL


def test_neither_we_nor_our_parent_are_ever_a_member() -> None:
    ward = Ward([])
    ward.led_by(os.getsid(0), start_of(os.getsid(0)))
    ward.family = {os.getpid(): start_of(os.getpid()), os.getppid(): start_of(os.getppid())}
    assert not members([ward]).keys() & {os.getpid(), os.getppid()}


@pytest.mark.parametrize("ignored", [False, True], ids=["ends on SIGTERM", "ignores SIGTERM"])
async def test_without_proc_the_group_is_ended(ignored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "sees_processes", lambda: False)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" if ignored else ""
    code += "print('ready', flush=True); input()"
    with subprocess.Popen(  # noqa: ASYNC220 - it takes no time
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as program:
        assert program.stdout is not None
        await anyio.to_thread.run_sync(program.stdout.readline)
        ward = led(program.pid)
        assert ward.started == ""
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, end, [ward], 0.1 if ignored else 10)
                await anyio.to_thread.run_sync(program.wait)  # as init would
        assert program.returncode == -(signal.SIGKILL if ignored else signal.SIGTERM)


async def test_without_proc_a_stop_still_ends_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "sees_processes", lambda: False)
    command = Command(sys.executable, ("-c", PROGRAM.format(start=LEFT_CHILD, after="time.sleep(300)")), grace=0.1)
    with anyio.fail_after(4):
        async with running(command) as (read, _, _process):
            pids = (await read.receive()).message.params["pids"]  # type: ignore[union-attr]  # it is a notification
        for pid in pids:
            await gone(pid)


def test_without_proc_a_group_that_is_not_of_its_number_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "sees_processes", lambda: False)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:  # leads no session
        ward = Ward([])
        ward.led_by(other.pid, "")
        end([ward], 0)
        assert other.poll() is None
        other.kill()


def test_what_the_watchdog_is_told_wrongly_harms_nothing() -> None:
    run = subprocess.run(
        [*watchdog.COMMAND], input=b"+ 1 5\n= 1 x 7\n= 2 1 1\n- 3\nnonsense\n\xff\n+ 2", capture_output=True, timeout=20
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"ready\n", b"")
