"""When a gateway ends by itself, and where it listens."""

import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from gateway.app.attach import release
from gateway.app.run import Told, _on_signal, listen, until_over
from gateway.config import Settings, load_settings
from gateway.errors import ConfigurationError

WAIT = 5  # seconds after which a test that waits has failed


@dataclass
class Doors:
    """The two things that the end of a gateway depends on."""

    count: int = 0
    calls_in_flight: int = 0
    draining: anyio.Event = field(default_factory=anyio.Event)


def settings(tmp_path: Path, port: int) -> Settings:
    file = tmp_path / "upstreams.toml"
    upstream = '[upstreams.none]\ncommand = "none"\nowner = "o@example.com"\n'
    gateway = f'schema = 1\n[gateway]\nstate = "state"\nlisten = "127.0.0.1:{port}"\n'
    file.write_text(gateway + upstream, encoding="utf-8")
    file.chmod(0o600)
    return load_settings(file, {})


async def test_a_gateway_on_demand_ends_once_nobody_is_there() -> None:
    doors = Doors()
    with anyio.fail_after(WAIT):
        await until_over(doors, doors, True, Told(), patience=0.05)  # type: ignore[arg-type]  # a fake of both


@pytest.mark.parametrize("busy", [{"count": 1}, {"calls_in_flight": 1}], ids=["a client", "a call over HTTP"])
async def test_a_gateway_that_is_used_goes_on(busy: dict[str, int]) -> None:
    doors = Doors(**busy)
    with anyio.move_on_after(0.2) as scope:
        await until_over(doors, doors, True, Told(), patience=0.05)  # type: ignore[arg-type]  # a fake of both
    assert scope.cancelled_caught


async def test_a_drain_ends_every_gateway() -> None:
    doors = Doors(count=1)
    doors.draining.set()
    with anyio.fail_after(WAIT):
        await until_over(doors, doors, False, Told())  # type: ignore[arg-type]  # a fake of both


async def test_a_signal_ends_every_gateway() -> None:
    told = Told()
    told.stop.set()
    with anyio.fail_after(WAIT):
        await until_over(Doors(count=1), Doors(), False, told)  # type: ignore[arg-type]  # a fake of both


def test_a_taken_port_is_an_error_and_on_demand_another_one_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = settings(tmp_path, taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match="listen"), listen(where, on_demand=False):
            pass
        with listen(where, on_demand=True) as free:
            assert free.getsockname()[1] != taken.getsockname()[1]


@pytest.mark.parametrize(
    ("version", "numbers"), [("1.10.0", (1, 10, 0)), ("0.1.0", (0, 1, 0)), ("1.0b2", (1, 0)), ("", (0,))]
)
def test_versions_compare_as_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert release(version) == numbers


async def _signals(*numbers: signal.Signals) -> AsyncIterator[signal.Signals]:
    for number in numbers:
        yield number


@pytest.mark.parametrize(
    ("there", "given", "expected"),
    [
        ([False, False], [signal.SIGHUP], (1, False, False)),  # not started at a terminal: there is none to be gone
        ([True, True], [signal.SIGHUP], (1, False, False)),
        ([True, False], [signal.SIGHUP], (0, True, False)),  # the terminal is gone
        ([False], [signal.SIGTERM], (0, True, False)),
        ([False], [signal.SIGTERM, signal.SIGINT], (0, True, True)),
        ([False, False, False], [signal.SIGTERM, signal.SIGHUP, signal.SIGTERM], (1, True, True)),
    ],
)
async def test_a_hangup_loads_the_policies_again_and_other_signals_stop(
    there: list[bool],
    given: list[signal.Signals],
    expected: tuple[int, bool, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, asked, answers = Told(), list[int](), iter(there)
    monkeypatch.setattr("gateway.app.run.at_terminal", lambda: next(answers, False))
    await _on_signal(_signals(*given), told, lambda: asked.append(1))
    assert (len(asked), told.stop.is_set(), told.now.is_set()) == expected
