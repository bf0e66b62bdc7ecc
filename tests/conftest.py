"""What every test starts from: nothing of the person who runs it, and an event loop in which nothing may block.

Knows no part of the gateway: parts have their fakes beside their tests.
"""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

FOLDERS = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")

# A law holds or doesn't, however busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# What is started here hears Ctrl-C, also where the whole suite was started as a script's background job, which doesn't.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def private(folder: Path) -> Path:
    """Make a folder that only its owner may use."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def settle(home: Path, cache: Path) -> dict[str, str]:
    """The variables that put a person's home into `home` and the compiled rules of the scanner into `cache`."""
    folders = {name: str(private(home / name.lower())) for name in FOLDERS}
    return {"HOME": str(private(home)), "WARDGATE_CACHE": str(private(cache)), **folders}


def pytest_xdist_auto_num_workers() -> int:
    """Three for two processors: tests wait for processes of their own a quarter of their time."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) * 3 // 2


@pytest.fixture(scope="session")
def rules_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the scanner's rules are compiled to, once for all tests of a session and all processes that share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return private(shared / "wardgate-cache" / "rules")


@pytest.fixture(scope="session", autouse=True)
def _as_deep_as_a_gateway() -> Iterator[None]:
    """Python may recurse as deep as in a gateway's own process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(4_000)
    yield
    sys.setrecursionlimit(before)


@pytest.fixture(scope="session", autouse=True)
def _away_from_home(tmp_path_factory: pytest.TempPathFactory, rules_cache: Path) -> Iterator[None]:
    """No test reads or writes the files of the person who runs it, whatever it forgets to ask for."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.startswith("WARDGATE_"):
                patch.delenv(name)
        patch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)  # nobody is told on the desktop
        for name, value in settle(tmp_path_factory.mktemp("home"), rules_cache).items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def environment(tmp_path: Path, rules_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A home of the test's own, set for this process and returned whole for the ones that it starts."""
    for name, value in settle(tmp_path / "home", rules_cache).items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.fixture(scope="session")
def wardgate_command() -> str:
    """The path of the installed command."""
    command = Path(sys.executable).with_name("wardgate")
    if not command.is_file():
        pytest.fail("the command `wardgate` is not installed beside this Python: run the tests with `make test`")
    return str(command)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """What a command that runs in the test's own process makes of the process's logs ends with the test."""
    root, ours = logging.getLogger(), logging.getLogger("wardgate")
    handlers, levels = [*root.handlers], (root.level, ours.level)
    raising, told = logging.raiseExceptions, warnings.showwarning
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    for logger, level in zip((root, ours), levels, strict=True):
        logger.setLevel(level)
    root.handlers[:], logging.raiseExceptions, warnings.showwarning = handlers, raising, told
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture(scope="session")
def _blockbuster() -> BlockBuster:
    """What finds blocking calls, made once."""
    made = BlockBuster("gateway")
    for function in made.functions.values():
        function.can_block_in("pytest_timeout.py", {"timeout_sigalrm", "timeout_timer"})  # else a hang isn't shown
        function.can_block_in("coverage/collector.py", {"lock_data"})  # `make cover` with threads
    return made


@pytest.fixture(autouse=True)
def _nothing_blocks(request: pytest.FixtureRequest, _blockbuster: BlockBuster) -> Iterator[None]:
    """A blocking call of the gateway in the event loop fails the test, unless it says `may_block` and why."""
    marker = request.node.get_closest_marker("may_block")
    if marker is not None:
        if not (marker.args or marker.kwargs.get("reason")):
            pytest.fail("`may_block` needs a reason")
        yield
        return
    _blockbuster.activate()
    yield
    _blockbuster.deactivate()
