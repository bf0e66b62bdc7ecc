"""What upstreams say unasked: logs to the right ears, updates of what somebody subscribed to, nothing else."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.core.model import Failure, Reply, Result, Unsent
from gateway.upstreams import Updated, Upstreams
from tests.upstreams.fleet import (
    GOOD,
    SILENT,
    Heard,
    ask,
    asks,
    call,
    eventually,
    json_of,
    lines_of,
    noted,
    over_http,
    running,
    until,
)

KINDS = pytest.mark.parametrize("kind", ["stdio-modern", "stdio-legacy", "http-modern", "http-legacy"])


async def subscribe(upstreams: Upstreams, uri: str, seat: str = "s1", verb: str = "subscribe", **more: Any) -> Reply:
    """Subscribe to a resource, or end that."""
    method = f"resources/{verb}"
    tool = upstreams.catalogue.find(uri, method)
    assert tool is not None
    made = call({"uri": uri}, method=method, seat=seat, **more)
    return await upstreams.forward(tool, made.canonical, made, SILENT)


class Told:
    """Remembers updates."""

    def __init__(self, upstreams: Upstreams) -> None:
        self.seen: list[Updated] = []
        self._more = anyio.Event()
        upstreams.on_notice(self._take)

    def _take(self, updated: Updated) -> None:
        self.seen.append(updated)
        self._more.set()

    async def once(self) -> Updated:
        """The next one."""
        with anyio.fail_after(10):
            while not self.seen:
                self._more = anyio.Event()
                await self._more.wait()
        return self.seen.pop(0)


@KINDS
async def test_a_log_notice_reaches_the_call_that_runs(kind: str) -> None:
    heard = Heard()
    with asks(kind) as upstream:
        async with running(upstream) as upstreams:
            assert isinstance(await ask(upstreams, "up__log", {"times": 3}, heard, log_level="info"), Result)
            await ask(upstreams, "up__who")
    assert heard.lines == [("info", number, "asks") for number in range(3)]


async def test_a_log_notice_reaches_nobody_once_two_principals_called() -> None:
    mine, theirs = Heard(), Heard()
    with asks("stdio-legacy") as upstream:
        async with running(upstream) as upstreams:
            await ask(upstreams, "up__log", {}, mine)
            await ask(upstreams, "up__log", {}, theirs, principal="os:other")
            await ask(upstreams, "up__log", {}, mine)
            await ask(upstreams, "up__who")
    assert (len(mine.lines), theirs.lines) == (1, [])


async def test_log_notices_are_bounded_in_size_and_rate() -> None:
    heard = Heard()
    with asks("stdio-legacy") as upstream:
        async with running(upstream) as upstreams:
            await ask(upstreams, "up__log", {"data": "x" * 70_000}, heard)
            assert heard.lines == []
            await ask(upstreams, "up__log", {"times": 2_000}, heard)
            await ask(upstreams, "up__who")
    assert 0 < len(heard.lines) <= 400


@pytest.mark.parametrize("kind", ["stdio-modern", "http-modern"])
async def test_a_modern_upstream_is_told_with_each_call_how_much_to_log(kind: str) -> None:
    with asks(kind) as upstream:
        async with running(upstream) as upstreams:
            levels = [
                json_of(await ask(upstreams, "up__who", log_level=level))["level"] for level in ("info", "", "debug")
            ]
    assert levels == ["info", "", "debug"]


@pytest.mark.parametrize(
    ("per", "expected"), [("gateway", ["error", "info", "info"]), ("client", ["error", "info", "error"])]
)
async def test_a_legacy_upstream_logs_what_its_client_wants_or_the_most_that_any_wants(
    per: str, expected: list[str]
) -> None:
    with asks("stdio-legacy", per=per) as upstream:
        async with running(upstream) as upstreams:
            levels = [
                json_of(await ask(upstreams, "up__who", seat="s1", log_level=level))["level"]
                for level in ("error", "info", "error")
            ]
    assert levels == expected


@KINDS
async def test_an_update_is_told_while_somebody_is_subscribed(kind: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with asks(kind, "--ledger", str(ledger)) as upstream:
        async with running(upstream) as upstreams:
            if kind == "http-legacy":
                await noted(ledger, "stream opened")
            told = Told(upstreams)
            await ask(upstreams, "up__touch", {"uri": "x://zero"})
            assert await subscribe(upstreams, "x://one") == Result({})
            assert await subscribe(upstreams, "x://one") == Result({})
            assert await subscribe(upstreams, "x://one", "s2") == Result({})
            await ask(upstreams, "up__touch", {"uri": "x://two"})
            await ask(upstreams, "up__touch", {"uri": "x://one"})
            assert await told.once() == Updated("up", "x://one", "")
            assert await subscribe(upstreams, "x://one", "s1", "unsubscribe") == Result({})
            await ask(upstreams, "up__touch", {"uri": "x://one"})
            assert await told.once() == Updated("up", "x://one", "")
            upstreams.left("s2")
            await ask(upstreams, "up__touch", {"uri": "x://one"})
            await ask(upstreams, "up__who")
            assert told.seen == []


async def test_a_legacy_upstream_hears_of_the_first_and_the_last_subscription_only(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with asks("stdio-legacy", "--ledger", str(ledger)) as upstream:
        async with running(upstream) as upstreams:
            for seat in ("s1", "s2", "s3"):
                await subscribe(upstreams, "x://one", seat)
            await subscribe(upstreams, "x://one", "s1", "unsubscribe")
            await subscribe(upstreams, "x://one", "s1", "unsubscribe")
            upstreams.left("s2")
            upstreams.left("s3")
            await noted(ledger, "unsubscribe x://one")
    assert [line for line in lines_of(ledger) if "subscribe" in line] == ["subscribe x://one", "unsubscribe x://one"]


@pytest.mark.parametrize("kind", ["stdio-modern", "stdio-legacy"])
async def test_subscriptions_outlive_a_restart_and_what_may_have_been_missed_is_told(kind: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with asks(kind, "--ledger", str(ledger)) as upstream:
        async with running(upstream) as upstreams:
            told = Told(upstreams)
            await subscribe(upstreams, "x://one")
            await ask(upstreams, "up__die")
            await until(upstreams, "up", "ready")
            assert await told.once() == Updated("up", "x://one", "")
            again = "listen x://one" if kind == "stdio-modern" else "subscribe x://one"
            await eventually(lambda: lines_of(ledger).count(again) == 2)


@pytest.mark.parametrize("kind", ["stdio-modern", "stdio-legacy"])
async def test_one_subscription_too_many_is_busy(kind: str) -> None:
    with asks(kind, most_subscriptions=1) as upstream:
        async with running(upstream) as upstreams:
            assert await subscribe(upstreams, "x://one") == Result({})
            many = await subscribe(upstreams, "x://two")
            assert isinstance(many, Failure)
            assert many.message.startswith("busy:")
            assert await subscribe(upstreams, "x://two", "s2") == Result({})
            await subscribe(upstreams, "x://one", verb="unsubscribe")
            assert await subscribe(upstreams, "x://two") == Result({})


async def test_an_update_of_an_instance_is_for_its_seat_and_keeps_it_alive() -> None:
    with asks("stdio-both", per="client", idle=0.1) as upstream:
        async with running(upstream) as upstreams:
            told = Told(upstreams)
            for seat in ("s1", "s2"):
                await subscribe(upstreams, "x://one", seat)
            pids = {json_of(await ask(upstreams, "up__who", seat=seat))["pid"] for seat in ("s1", "s2")}
            await anyio.sleep(0.4)
            await ask(upstreams, "up__touch", {"uri": "x://one"}, seat="s2")
            assert await told.once() == Updated("up", "x://one", "s2")
            assert pids == {json_of(await ask(upstreams, "up__who", seat=seat))["pid"] for seat in ("s1", "s2")}


async def test_an_upstream_without_a_stream_of_changes_refuses_subscriptions() -> None:
    with over_http(GOOD, "--era", "modern") as upstream:
        async with running(upstream) as upstreams:
            tool = upstreams.catalogue.find("up__echo")
            assert tool is not None
            made = call({"uri": "x://one"}, method="resources/subscribe", seat="s1")
            reply = await upstreams.forward(tool, made.canonical, made, SILENT)
            assert isinstance(reply, Failure)


@KINDS
async def test_any_changed_list_is_listed_again(kind: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with asks(kind, "--ledger", str(ledger)) as upstream:
        async with running(upstream) as upstreams:
            if kind == "http-legacy":
                await noted(ledger, "stream opened")
            changed = anyio.Event()
            upstreams.catalogue.on_change(lambda _kinds: changed.set())
            assert not isinstance(await ask(upstreams, "up__grow", {"name": "x://new", "resource": True}), Unsent)
            with anyio.fail_after(10):
                await changed.wait()
            assert upstreams.catalogue.find("x://new", "resources/read") is not None
