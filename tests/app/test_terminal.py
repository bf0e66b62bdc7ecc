"""At the terminal where the gateway was started a person is shown what is held; only a `y` that follows accepts it."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from gateway.acceptance import Held
from gateway.agreed import POLICY
from gateway.app.terminal import ask_at_terminal, at_terminal
from gateway.errors import ApprovalError
from tests.fakes import DEADLINE

HELD = Held(POLICY, "ab" * 32, {}, ("a.toml: new\x1b[2J file (may loosen)",))
QUESTION = f"Accept policy@{HELD.digest}? [y/N] "


class FakeReload:
    """What is held, and what somebody accepted of it."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.on_held: list[Callable[[Held], None]] = []
        self.accepted: list[tuple[str, str]] = []
        self.fails = False

    def hold(self, held: Held) -> None:
        self.held[held.what] = held
        for hook in self.on_held:
            hook(held)

    async def accept(self, word: str, by: str) -> Held:
        if self.fails:
            raise ApprovalError("no policy like that is held", "unknown")
        self.accepted.append((word, by))
        return self.held.pop(POLICY)


class Terminal:
    """The other end of a terminal."""

    def __init__(self, master: int, capture: pytest.CaptureFixture[str]) -> None:
        self._master, self._capture, self.said = master, capture, ""

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    async def until(self, claim: Callable[[], Any]) -> None:
        """Wait until it is so; what is said is read meanwhile."""
        while True:
            self.said += self._capture.readouterr().err
            if claim():
                return
            await anyio.sleep(0.01)


@asynccontextmanager
async def at(
    capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, reload: Any
) -> AsyncIterator[Terminal]:
    master, slave = os.openpty()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: slave))
    terminal = Terminal(master, capture)
    try:
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                terminal.type(b"y\n")  # before anything was asked
                tasks.start_soon(ask_at_terminal, reload)
                await anyio.wait_all_tasks_blocked()
                yield terminal
                tasks.cancel_scope.cancel()
    finally:
        os.close(master)
        os.close(slave)


async def test_a_yes_that_follows_the_question_accepts_what_was_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reload = FakeReload()
    reload.held[POLICY] = HELD
    async with at(capsys, monkeypatch, reload) as terminal:
        await terminal.until(lambda: QUESTION in terminal.said)
        assert "  a.toml: new\\u{1b}[2J file (may loosen)" in terminal.said
        assert reload.accepted == []
        terminal.type(b"y\n")
        await terminal.until(lambda: "accepted\n" in terminal.said)
        assert [word for word, _ in reload.accepted] == [HELD.digest]
        reload.hold(HELD)  # and once more, while it runs
        await terminal.until(lambda: terminal.said.count(QUESTION) == 2)
        terminal.type(b"yes\n")
        await terminal.until(lambda: len(reload.accepted) == 2)


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"yy\n", b"\x04"])
async def test_anything_else_accepts_nothing(
    answer: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reload = FakeReload()
    reload.held[POLICY] = HELD
    async with at(capsys, monkeypatch, reload) as terminal:
        await terminal.until(lambda: QUESTION in terminal.said)
        terminal.type(answer)
        await anyio.wait_all_tasks_blocked()
        reload.hold(HELD)
        await terminal.until(lambda: terminal.said.count(QUESTION) == 2)
        assert reload.accepted == []


async def test_what_is_not_held_any_more_is_not_accepted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reload = FakeReload()
    reload.held[POLICY], reload.fails = HELD, True
    async with at(capsys, monkeypatch, reload) as terminal:
        await terminal.until(lambda: QUESTION in terminal.said)
        terminal.type(b"y\n")
        await terminal.until(lambda: "not accepted: no policy like that is held" in terminal.said)


async def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: read))
    assert not at_terminal()
    reload: Any = FakeReload()
    await ask_at_terminal(reload)
    assert reload.on_held == []
    os.close(read)
    os.close(write)
    assert not at_terminal()
    monkeypatch.setattr(sys, "stdin", None)
    assert not at_terminal()
