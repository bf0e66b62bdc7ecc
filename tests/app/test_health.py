"""When a gateway says that it is ready, and why not; its numbers with a gateway that can't tell some of them."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.app.health import TRY_AGAIN, Doors, Health
from gateway.app.starting import READY_AT_LATEST
from gateway.core.measures import Counts
from gateway.core.model import ApprovalState
from gateway.errors import RecordError
from gateway.server.probes import Unready
from tests.fakes import FakeClock


@dataclass
class Store:
    """A store that is as it is told to be, and that counts the tries of it."""

    broken: str = ""
    mended: bool = False
    tries: int = 0
    size: int = 7
    queued: int = 2

    async def flush(self) -> None:
        self.tries += 1
        if not self.mended:
            raise RecordError("nothing can be recorded")
        self.broken = ""

    async def used(self) -> int:
        raise RecordError("the record can't be read")


@dataclass
class Far:
    """The rest of a gateway."""

    store: Store
    clock: FakeClock = field(default_factory=FakeClock)
    states: dict[str, str] = field(default_factory=lambda: {"one": "ready", "two": "ready"})
    loaded: bool = True
    draining: bool = False

    def health(self, tmp_path: Path) -> Health:
        async def waiting(state: ApprovalState) -> list[str]:
            return ["a_1"]

        folder = SimpleNamespace(store=tmp_path / "record.db")
        store: Any = self.store
        store.folder = folder
        gateway: Any = SimpleNamespace(
            store=store,
            clock=self.clock,
            upstreams=SimpleNamespace(states=lambda: {name: (state, "") for name, state in self.states.items()}),
            scanner=SimpleNamespace(loaded=self.loaded),
            face=SimpleNamespace(calls_in_flight=3),
            monitor=SimpleNamespace(known=4),
            approvals=SimpleNamespace(list=waiting, standings=SimpleNamespace(freezes=lambda: ["held"])),
            reload=SimpleNamespace(held={}),
            counts=Counts(("one", "two")),
        )
        return Health(gateway, Doors(lambda: 5, lambda: 1, lambda: self.draining))


async def test_a_gateway_is_ready_though_an_upstream_is_down(tmp_path: Path) -> None:
    found = await Far(Store(), states={"one": "ready", "two": "failed"}).health(tmp_path).readiness()
    assert (found.reasons, found.upstreams) == ((), {"ready": 1, "failed": 1})


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"states": {"one": "ready", "two": "starting"}}, Unready.STARTING),
        ({"loaded": False}, Unready.SCANNER),
        ({"draining": True}, Unready.DRAINING),
        ({"store": Store(broken="the disk is full")}, Unready.RECORD),
    ],
    ids=lambda value: value.value if isinstance(value, Unready) else "",
)
async def test_why_it_is_not_ready(about: dict[str, Any], reason: Unready, tmp_path: Path) -> None:
    found = await Far(**{"store": Store(), **about}).health(tmp_path).readiness()
    assert found.reasons == (reason,)


async def test_an_upstream_that_is_slow_to_start_is_waited_for_as_long_as_lists_are(tmp_path: Path) -> None:
    far = Far(Store(), states={"one": "starting"})
    health = far.health(tmp_path)
    assert (await health.readiness()).reasons == (Unready.STARTING,)
    far.clock.advance(READY_AT_LATEST)
    assert (await health.readiness()).reasons == ()


async def test_a_record_that_failed_is_tried_again_and_not_more_often_than_once_a_second(tmp_path: Path) -> None:
    store = Store(broken="the disk is full")
    far = Far(store)
    health = far.health(tmp_path)
    for _ in range(5):
        assert (await health.readiness()).reasons == (Unready.RECORD,)
    assert store.tries == 1
    store.mended = True
    far.clock.advance(TRY_AGAIN)
    assert (await health.readiness()).reasons == ()
    far.clock.advance(TRY_AGAIN)
    await health.readiness()
    assert store.tries == 2  # one that works is not tried


async def test_what_cannot_be_told_is_left_out_of_the_numbers_and_the_rest_is_there(tmp_path: Path) -> None:
    body, _ = await Far(Store(), states={"one": "ready", "two": "failed"}).health(tmp_path).metrics()
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if not sample.labels
    }
    assert found["wardgate_calls_in_flight"] == 3
    assert found["wardgate_http_requests_open"] == 5
    assert found["wardgate_sessions"] == 4
    assert found["wardgate_freezes"] == 1
    assert found["wardgate_record_queue"] == 2
    assert found["wardgate_record_free_bytes"] > 0
    assert "wardgate_record_size_bytes" not in found
    assert b'wardgate_upstream_ready{upstream="two"} 0.0' in body
