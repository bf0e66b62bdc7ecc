"""Calls of clients over one connection: the limits they meet, what is sent, and how a call that was asked goes on.

Starts and ends no connection, and decides nothing about a call.
"""

from collections.abc import Mapping
from typing import Any

import anyio
from mcp_types import METHOD_NOT_FOUND

from gateway.core.model import REFUSED, Again, Call, Failure, Lost, Reason, Reply, Result, Tool, Unsent
from gateway.ports import Ears
from gateway.upstreams.exchange import Exchange
from gateway.upstreams.link import Link
from gateway.upstreams.questions import Parked
from gateway.upstreams.relay import meta_of, params_of, relay
from gateway.upstreams.results import METHODS
from gateway.upstreams.supervisor import Supervisor


async def forward(
    home: Supervisor, tool: Tool, arguments: bytes, call: Call, ears: Ears, again: Again | None = None
) -> Reply:
    """Relay one call, unless the upstream isn't ready, offers something else by now, or has as many as it may get."""
    link, logs, method = home.link, home.logs, call.method
    if link is None or logs is None or link.over:
        return Unsent(f"upstream `{home.spec.name}` is {home.state.value}")
    if method not in METHODS:
        return Unsent(f"`{method}` is nothing that an upstream is asked")
    if home.in_flight + link.parked >= home.spec.calls_in_flight:
        return Unsent(f"busy: upstream `{home.spec.name}` has {home.busy} calls in flight")
    # INVARIANT: what was decided on is what is called, also where another process of the upstream answers by now.
    if method == "tools/call" and home.digests.get(tool.ref.name, tool.digest) != tool.digest:
        return Unsent(f"tool `{tool.exposed_as}` changed after the call was decided")
    home.in_flight += 1
    try:
        logs.heed(call.principal.id)
        if call.context.log_level and not link.modern:
            await logs.ask_for(call.context.log_level)
        if method in _SUBSCRIBING:
            return await _SUBSCRIBING[method](home, link, tool, call, ears)
        return await _send(home, link, tool, arguments, call, ears, again)
    finally:
        home.in_flight -= 1


async def resume(parked: Parked, again: Again, call: Call, ears: Ears) -> Reply:
    """Answer what a call was asked, and wait on with the time that its upstream had left."""
    home, link, exchange = parked.home, parked.link, parked.exchange
    home.in_flight += 1
    try:
        exchange.hear(ears)
        parked.answer(again)
        heard = link.heard
        reply = await relay(link, exchange, None, {}, exchange.left)
        return _settle(home, link, exchange, call, reply, heard)
    finally:
        home.in_flight -= 1


async def unwatch(home: Supervisor, uris: tuple[str, ...]) -> None:
    """Nobody watches these any more. An upstream that goes on telling is not listened to."""
    link, listener = home.link, home.listener
    if listener is not None:
        listener.refresh()
    elif link is not None and not link.modern:
        for uri in uris:
            exchange = Exchange(link.new_id(), "resources/unsubscribe")
            await relay(link, exchange, {"uri": uri}, link.meta, home.spec.timeout)


async def _send(
    home: Supervisor, link: Link, tool: Tool, arguments: bytes, call: Call, ears: Ears, again: Again | None
) -> Reply:
    exchange = Exchange(link.new_id(), call.method, ears)
    heard = link.heard
    try:
        params = params_of(link, tool, arguments, call, again)
    except ValueError:
        return Unsent("the call could not be encoded")
    reply = await relay(link, exchange, params, meta_of(link, call, _declared(home, link, call)), home.spec.timeout)
    return _settle(home, link, exchange, call, reply, heard)


def _declared(home: Supervisor, link: Link, call: Call) -> Mapping[str, Any]:
    """What is said of the client to a modern upstream, with each call."""
    if not link.modern or not call.context.capabilities:
        return {}
    return home.ties.declare(home.spec.name, call.client.name, call.context.capabilities)


def _settle(home: Supervisor, link: Link, exchange: Exchange, call: Call, reply: Reply | None, heard: int) -> Reply:
    """The reply; a call that is asked something waits in the parking."""
    if reply is None:
        until = anyio.current_time() + home.spec.question
        return home.ties.parking.park(Parked(home, link, exchange, call.principal.id, until))
    silent = isinstance(reply, Unsent) or (isinstance(reply, Lost) and reply.reason is Reason.UPSTREAM_TIMEOUT)
    if silent and link.heard == heard:
        home.doubt()
    return reply


async def _subscribe(home: Supervisor, link: Link, tool: Tool, call: Call, ears: Ears) -> Reply:
    uri, seat = tool.ref.name, call.context.seat
    if home.watched.has(uri, seat):
        return Result({})
    most = home.spec.most_subscriptions
    if home.ties.subscribed[seat] >= most:
        return Failure(REFUSED, f"busy: a client can be told of at most {most} resources at a time")
    known = uri in home.watched.uris
    home.watched.add(uri, seat)
    reply: Reply = Lost(Reason.UPSTREAM_LOST, "interrupted")
    try:
        reply = Result({}) if known else await _watch(home, link, tool, call, ears)
        return reply
    finally:
        if not isinstance(reply, Result) and home.watched.remove(uri, seat) and home.listener is not None:
            home.listener.refresh()


async def _watch(home: Supervisor, link: Link, tool: Tool, call: Call, ears: Ears) -> Reply:
    """Have the upstream tell of one more resource: by a request, or by the stream of a modern one."""
    if not link.modern:
        return await _send(home, link, tool, b"{}", call, ears, None)
    listener = home.listener
    if listener is None:
        return Unsent("the connection closed before the call was sent")
    listener.refresh()
    with anyio.move_on_after(home.spec.timeout):
        if await listener.covers(tool.ref.name):
            return Result({})
        return Failure(METHOD_NOT_FOUND, "the upstream tells nothing of this resource")
    return Lost(Reason.UPSTREAM_TIMEOUT, f"no answer within {home.spec.timeout:g} s")


async def _unsubscribe(home: Supervisor, _link: Link, tool: Tool, call: Call, _ears: Ears) -> Reply:
    if home.watched.remove(tool.ref.name, call.context.seat):
        await unwatch(home, (tool.ref.name,))
    return Result({})


_SUBSCRIBING = {"resources/subscribe": _subscribe, "resources/unsubscribe": _unsubscribe}
