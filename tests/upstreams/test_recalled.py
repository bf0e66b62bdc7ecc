"""What was accepted of upstreams is recalled until each has started, or has failed to; real programs, in both cases."""

from typing import Any

import anyio
import pytest

from gateway.upstreams import Upstreams, UpstreamSpec
from tests.upstreams.fleet import GOOD, HOSTILE, Quick, ask, classify, spec, text_of
from tests.upstreams.offers import listing

ACCEPTED = listing(("echo", "gone"))


def shown(upstreams: Upstreams) -> set[str]:
    """The tools that clients see of those that were accepted."""
    return {tool.exposed_as for tool in upstreams.catalogue.shown("tools")} & {"up__echo", "up__gone"}


def recalling(of: UpstreamSpec) -> tuple[Upstreams, list[tuple[bool, set[str]]]]:
    """Upstreams of which something is recalled, and what clients saw at each change from then on."""
    upstreams = Upstreams([of, spec("other", GOOD)], classify, Quick())
    upstreams.catalogue.recall("up", ACCEPTED)
    seen: list[tuple[bool, set[str]]] = []
    upstreams.catalogue.on_change(lambda kinds: seen.append(("up" in upstreams.catalogue.recalled, shown(upstreams))))
    return upstreams, seen


@pytest.mark.parametrize("more", [{}, {"per": "client"}, {"per": "workspace"}], ids=["shared", "client", "workspace"])
async def test_an_upstream_that_starts_lists_in_the_place_of_what_was_recalled(more: dict[str, Any]) -> None:
    upstreams, seen = recalling(spec("up", GOOD, **more))
    assert (upstreams.catalogue.awaited, shown(upstreams)) == ({"up", "other"}, {"up__echo", "up__gone"})
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            await tasks.start(upstreams.run)
            await upstreams.settled(apart=["up"])
            assert await upstreams.heard("up")
            assert (shown(upstreams), upstreams.catalogue.recalled) == ({"up__echo"}, set())
            where = {"seat": "s_1", "workspace": "/"} if more else {}
            assert text_of(await ask(upstreams, "up__echo", {"text": "x"}, **where)) == "x"
            tasks.cancel_scope.cancel()
    assert (False, {"up__echo"}) in seen
    assert (False, {"up__echo", "up__gone"}) not in seen


async def test_an_upstream_that_does_not_start_is_no_longer_recalled() -> None:
    upstreams, seen = recalling(spec("up", HOSTILE, "dies"))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            await tasks.start(upstreams.run)
            assert not await upstreams.heard("up")
            assert (shown(upstreams), upstreams.catalogue.recalled) == (set(), set())
            await upstreams.settled()
            assert upstreams.catalogue.awaited == set()
            tasks.cancel_scope.cancel()
    assert (False, set()) in seen
