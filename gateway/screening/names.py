"""How clients call things and themselves, as it may be written down: sessions, tools, URIs, ids, without secrets.

A name that holds a secret is written down as a keyed digest of it, so that one name stays one name. It decides nothing.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.core.capture import name_digest
from gateway.core.model import Call
from gateway.errors import GatewayError
from gateway.ports import Clock
from gateway.screening.screener import Screener

REMEMBERED = 10_000  # names that are known to hold nothing
LONGEST = 256  # characters of a name that is remembered
PATIENCE = 5.0  # seconds for looking at the names of one call
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # `traceparent`, W3C Trace Context 3.2


class Names:
    """Looks at the names that come with calls; those that come again and again are looked at once."""

    def __init__(self, screener: Screener, clock: Clock, key: bytes) -> None:
        """`key` makes the digests."""
        self._screener, self._clock, self._key = screener, clock, key
        self._plain: OrderedDict[str, None] = OrderedDict()
        self._known = screener.known

    async def of(self, call: Call) -> Call:
        """The call with names that may be written down; the very same where none of them holds a secret.

        What is called keeps its name for going on, and gets an `alias` for the record.
        """
        context, client = call.context, call.client
        own = (
            f"{call.principal.id}/{client.name}/"  # before a session's name that is the client's own, as hooks give it
        )
        before = own if context.session.startswith(own) else ""
        names = (call.exposed, context.session[len(before) :], context.tool_use, client.claimed)
        trace = context.trace if not context.trace or _TRACE.fullmatch(context.trace) else ""
        told = names if self._all_plain(names) else await self.told(names)
        if told == names and trace == context.trace:
            return call
        exposed, session, tool_use, claimed = told
        return replace(
            call,
            alias="" if exposed == call.exposed else exposed,
            client=replace(client, claimed=claimed),
            context=replace(context, session=before + session, tool_use=tool_use, trace=trace),
        )

    async def told(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names as they may be written down. One that can't be looked at in time counts as one with a secret."""
        wanted = [name for name in names if name not in self._plain]
        deadline = self._clock.monotonic() + PATIENCE
        try:
            seen: Sequence[str] = await self._screener.clean(wanted, deadline)
        except GatewayError:
            seen = [""] * len(wanted)
        told = {
            name: name if name == clean else name_digest(self._key, name)
            for name, clean in zip(wanted, seen, strict=True)
        }
        for name, alias in told.items():
            if name == alias and len(name) <= LONGEST:
                self._plain[name] = None
        while len(self._plain) > REMEMBERED:
            self._plain.popitem(last=False)
        return tuple(told.get(name, name) for name in names)

    def _all_plain(self, names: Sequence[str]) -> bool:
        if self._known != self._screener.known:  # a secret that nobody knew when a name was looked at
            self._known = self._screener.known
            self._plain.clear()
        return all(name in self._plain for name in names)
