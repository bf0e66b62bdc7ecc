"""What the console is told of the record and of the tools: numbers, findings, former definitions."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from gateway.app import tallies
from gateway.app.console import PATIENCE, ConsoleGate
from gateway.app.definitions import MOST, Definitions
from gateway.console.pages import hours_back
from gateway.core.model import Finding, Kind, Tool
from gateway.errors import StateError
from gateway.reading import reading
from gateway.records import Records
from gateway.store import open_store
from tests.fakes import DEADLINE, NOON, FakeClock, a_record, a_tool
from tests.store.keep import AT_ONCE

FOUND = (Finding("github", "content[0].text", "f" * 16),)


async def _fill(state: Path) -> None:
    async with open_store(state, AT_ONCE) as store:
        records = Records(store, FakeClock())
        hour = timedelta(hours=1)
        for number, (tier, verdict, ago, more) in enumerate(
            (
                ("read", "allow", 0 * hour, {}),
                ("read", "allow", 1 * hour, {"findings": FOUND, "release": "redacted"}),
                ("write", "ask", 1 * hour, {"tool": "note"}),
                ("high", "block", 40 * hour, {}),
                ("read", "allow", 0 * hour, {"principal": "os:bob", "findings": FOUND, "release": "withheld"}),
            ),
            start=1,
        ):
            at = NOON - ago
            await records.append(a_record(number, at=at, tier=tier, verdict=verdict))
            outcome = {"at": at, "tier": tier, "verdict": verdict, "outcome": "ok", **more}
            await records.append(a_record(number, Kind.OUTCOME, **outcome))
        for number, tools in ((11, {"added": {"files__a": "1"}}), (12, {"changed": {"files__a": "2"}})):
            about = {"tools": tools}
            at = NOON + timedelta(seconds=number)
            await records.append(a_record(number, Kind.CATALOGUE, at=at, extra=about, tool="", upstream=""))


def test_calls_are_counted_by_hour_tier_and_verdict(tmp_path: Path) -> None:
    anyio.run(_fill, tmp_path)
    with reading(tmp_path) as db:
        tiers, verdicts = tallies.calls_by_hour(db, hours_back(NOON, 1))
        whole, _ = tallies.calls_by_hour(db, hours_back(NOON, 7))
    assert {name: values[-2:] for name, values in tiers.by.items()} == {"read": (1, 2), "write": (1, 0)}
    assert {name: sum(values) for name, values in verdicts.by.items()} == {"allow": 3, "ask": 1}
    assert sum(whole.by["high"]) == 1
    assert len(tiers.hours) == 24


async def test_a_question_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_store(tmp_path, AT_ONCE) as store:
        upstreams = SimpleNamespace(catalogue=Offered())
        settings = SimpleNamespace(gateway=SimpleNamespace(state=tmp_path))
        gateway: Any = SimpleNamespace(clock=clock, store=store, settings=settings, upstreams=upstreams)
        gate = ConsoleGate(gateway, Definitions(gateway.upstreams.catalogue))

        def endless(db: sqlite3.Connection) -> Any:
            clock.advance(PATIENCE + 1)
            counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            return db.execute(counting).fetchall()

        with pytest.raises(StateError), anyio.fail_after(DEADLINE):
            await gate._read(endless)


class Offered:
    """A catalogue of tools, that can change."""

    def __init__(self) -> None:
        self.tools: tuple[Tool, ...] = ()
        self.watchers: list[object] = []

    def offered(self, kind: str) -> tuple[Tool, ...]:
        return self.tools

    def on_change(self, watcher: object) -> None:
        self.watchers.append(watcher)

    def put(self, *tools: Tool, kinds: frozenset[str] = frozenset({"tools"})) -> None:
        self.tools = tools
        for watcher in self.watchers:
            watcher(kinds)  # type: ignore[operator]  # a fake


def other(tool: Tool, text: str) -> Tool:
    """A tool whose definition became another one."""
    from msgspec.structs import replace

    return replace(tool, digest=text, definition={**tool.definition, "description": text})


def test_the_former_definition_of_a_tool_is_kept_and_no_other() -> None:
    offered = Offered()
    definitions = Definitions(offered)  # type: ignore[arg-type]  # a fake
    first = a_tool()
    offered.put(first)
    assert definitions.former(first) is None
    offered.put(first, a_tool("more"))
    assert definitions.former(first) is None
    second = other(first, "second")
    offered.put(second, kinds=frozenset({"prompts"}))
    assert definitions.former(second) is None
    offered.put(second)
    assert definitions.former(second) == first
    offered.put(other(first, "third"))
    assert definitions.former(second) == second


def test_of_too_many_changed_definitions_the_first_is_forgotten() -> None:
    offered = Offered()
    definitions = Definitions(offered)  # type: ignore[arg-type]  # a fake
    tools = [a_tool(f"t{number}") for number in range(MOST + 1)]
    offered.put(*tools)
    offered.put(other(tools[0], "new"), *tools[1:])
    offered.put(other(tools[0], "new"), *[other(tool, "new") for tool in tools[1:]])
    assert definitions.former(tools[0]) is None
    assert definitions.former(tools[1]) == tools[1]
