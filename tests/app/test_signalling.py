"""The monitor of a gateway: labels and words by the policy in force, inventories by the configuration."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app import signalling
from gateway.app.console import ConsoleGate
from gateway.app.definitions import Definitions
from gateway.app.inforce import InForce
from gateway.app.signalling import AtHand, monitor_of
from gateway.config.nouns import ClientEntry
from gateway.core.model import Effect
from gateway.core.policy import Policy, parse
from gateway.core.remembered import raised_text
from gateway.core.signals import Response, Signal
from gateway.monitor import RAISED_NAME
from gateway.sessions import Sessions
from gateway.store import open_store
from gateway.store.rows import set_meta
from tests.fakes import KEY, NOON, FakeClock, a_call
from tests.store.keep import AT_ONCE


def policy(effect: str, word: str = "note") -> Policy:
    text = (
        f'upstream = "up"\nowner = "a"\n[[tool]]\nmatch = "t*"\neffect = "{effect}"\n[signals]\nnew-sink = "{word}"\n'
    )
    found, problems = parse({"up.toml": text})
    assert problems == ()
    return found


def test_labels_are_those_of_the_policy_in_force_and_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, look_up = list[str](), signalling.labels_for
    monkeypatch.setattr(signalling, "labels_for", lambda given, ref: asked.append(str(ref)) or look_up(given, ref))
    in_force = InForce(policy("write"))
    labels = AtHand(in_force)
    assert [labels("up", "t1").effect, labels("up", "t1").effect] == [Effect.WRITE] * 2
    assert asked == ["up/t1"]
    in_force.exchange(policy("egress"))
    assert labels("up", "t1").effect is Effect.EGRESS
    monkeypatch.setattr(signalling, "MOST_LABELS", 2)
    for name in ("t1", "t2", "t3", "t1"):
        labels("up", name)
    assert asked == ["up/t1", "up/t1", "up/t2", "up/t3", "up/t1"]


async def test_a_monitor_asks_policy_and_configuration_and_raises_sessions(tmp_path: Path) -> None:
    clients = {"tester": ClientEntry("tester", upstreams=("up",)), "other": ClientEntry("other")}
    in_force, sessions = InForce(policy("write")), Sessions()
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        settings: Any = SimpleNamespace(clients=clients)
        told = raised_text([(("os:alice", "claude-code", ""), "new-sink")])
        await store.append((), (set_meta(RAISED_NAME, told),))
        monitor = monitor_of(settings, in_force, store, FakeClock(), lambda record: None, KEY, sessions)
        await monitor.recall()
    assert [monitor.inventory(name) for name in ("tester", "other", "unknown")] == [("up",), (), ()]
    assert monitor.said("up") == {Signal.NEW_SINK: Response.NOTE}
    in_force.exchange(policy("write", "raise"))
    assert (monitor.said("up"), monitor.said("else")) == ({Signal.NEW_SINK: Response.RAISE}, {})
    assert sessions.raised(a_call(), NOON) == "new-sink"


@pytest.mark.parametrize(
    ("name", "seen"),
    [("os:ada", [1, 1]), ("ada", [1, 0]), ("eve", [0, 0])],
    ids=["the owner", "somebody of their own", "somebody else"],
)
def test_sentences_are_for_those_who_may_see_the_call(name: str, seen: list[int]) -> None:
    items = [{"session": "s1", "principal": who, "told": [{"explanation": "x"}]} for who in ("os:ada", "os:bob")]
    monitor, settings = SimpleNamespace(sessions=lambda: items), SimpleNamespace(approvers={})
    gateway: Any = SimpleNamespace(monitor=monitor, settings=settings)
    catalogue: Any = SimpleNamespace(on_change=lambda watcher: None, offered=lambda kind: ())
    gate = ConsoleGate(gateway, Definitions(catalogue))
    assert [len(item["told"]) for item in gate.sessions(name)] == seen
