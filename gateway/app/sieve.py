"""What upstreams say of themselves, screened before anybody else gets to hear it, with what was found on the record.

Definitions, instructions, and why one failed. What can't be screened is not offered; no call comes by here.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import anyio.lowlevel
from msgspec.structs import replace

from gateway.clock import SystemClock
from gateway.core import posing
from gateway.core.model import Finding, Kind, Record
from gateway.core.outward import excused, spared
from gateway.core.tiers import withheld
from gateway.errors import GatewayError, RecordError, UpstreamError
from gateway.ids import ENTRY, new_id
from gateway.ports import Records, Screener
from gateway.upstreams.definitions import OFFERINGS, Definition, Listing, Offering, anew, gather

PATIENCE = 60.0  # seconds for a whole listing: the scanner may have to compile its rules first
MOMENT = 5.0  # seconds for a line of text
MOST_FINDINGS = 200  # that one record tells of
MOST_NOTED = 1_000  # that are remembered, so that none is recorded again and again
UNTOLD = "(why is not told: it could not be screened)"

log = logging.getLogger("wardgate")


class Sieve:
    """Implements `upstreams.lists.Sieve`. `owner_of` tells the business owner of an upstream."""

    def __init__(
        self, screener: Screener, records: Records, clock: SystemClock, owner_of: Callable[[str], str]
    ) -> None:
        self._screener, self._records, self._clock, self._owner_of = screener, records, clock, owner_of
        self._told: dict[str, frozenset[Finding]] = {}  # by upstream: what its last record tells of
        self._noted: OrderedDict[tuple[str, Finding], None] = OrderedDict()

    async def listing(self, upstream: str, listing: Listing) -> Listing:
        """The listing without its secrets, and without what can't be offered so; raises `UpstreamError` if it can't be
        screened or what was found can't be recorded.
        """
        deadline = self._clock.monotonic() + PATIENCE
        found: dict[Finding, None] = {}
        kept: dict[str, tuple[Definition, ...]] = {}
        try:
            notes = list(await self._clean(list(listing.left_out), "left_out", found, deadline))
            for kind in OFFERINGS:
                kept[kind.kind], note = await self._sift(kind, listing.of(kind.kind), found, deadline)
                notes.append(note)
            said, note = await self._instructions(listing.instructions, found, deadline)
            await self._record(upstream, found)
        except RecordError as problem:
            raise UpstreamError(f"a secret in what it lists could not be recorded: {problem}") from None
        except GatewayError:
            raise UpstreamError("what it lists could not be screened") from None
        told = tuple(each for each in (*notes, note) if each)
        tools, resources, templates, prompts = (kept[kind.kind] for kind in OFFERINGS)
        return Listing(tools, resources, templates, prompts, said, told, listing.failed)

    async def words(self, upstream: str, text: str) -> str:
        """A line about an upstream that may quote it, redacted; what can't be screened now is not told."""
        found: dict[Finding, None] = {}
        try:
            return str(await self._clean(text, "detail", found, self._clock.monotonic() + MOMENT))
        except GatewayError:
            return UNTOLD
        finally:
            if found:
                self._note(upstream, found)

    async def uri(self, upstream: str, uri: str) -> bool:
        """Whether the URI of an update holds no secret; what was found is recorded."""
        found: dict[Finding, None] = {}
        try:
            await self._clean(uri, "updated.uri", found, self._clock.monotonic() + MOMENT)
        except GatewayError:
            return False
        if found:
            self._note(upstream, found if spared(found) else withheld(found))
        return spared(found)

    async def _sift(
        self, kind: Offering, listed: Iterable[Definition], found: dict[Finding, None], deadline: float
    ) -> tuple[tuple[Definition, ...], str]:
        checked: list[Definition | str] = []
        for one in listed:
            clean, seen = await self._redact({kind.kind: {one.name: one.value}}, deadline)
            await anyio.lowlevel.checkpoint()
            kept = one if spared(seen) else _again(kind, one, clean[kind.kind], seen)
            checked.append(kept)
            found.update(dict.fromkeys(seen if isinstance(kept, Definition) else withheld(seen)))
        return gather(kind, checked)

    async def _instructions(self, text: str, found: dict[Finding, None], deadline: float) -> tuple[str, str]:
        """Words of the gateway's own are marked before the text is redacted: markers in it are ours afterwards."""
        seen: dict[Finding, None] = {}
        clean = await self._clean(posing.marked(text), "instructions", seen, deadline) if text else ""
        if any(one.exact for one in seen):
            found.update(dict.fromkeys(withheld(seen)))
            return "", "instructions left out (they hold a secret of the gateway's own)"
        found.update(seen)
        return str(clean), ""

    async def _clean(self, value: Any, where: str, found: dict[Finding, None], deadline: float) -> Any:
        clean, seen = await self._redact(value, deadline)
        found.update({replace(one, place=f"{where}{'.' * bool(one.place)}{one.place}"): None for one in seen})
        return clean

    async def _redact(self, value: Any, deadline: float) -> tuple[Any, tuple[Finding, ...]]:
        """As `Screener.redact`, but for what a person allowed alone, which stays as it is."""
        clean, found = await self._screener.redact(value, deadline)
        found = excused(found, self._screener.allowed)
        return (value if spared(found) else clean), found

    async def _record(self, upstream: str, found: dict[Finding, None]) -> None:
        """Record what was found in a listing, once as long as it is the same."""
        seen = frozenset(found)
        if seen and self._told.get(upstream) != seen:
            await self._records.append(self._row(upstream, found))
        self._told[upstream] = seen

    def _note(self, upstream: str, found: Iterable[Finding]) -> None:
        """Record what was found beside the listing, each once as long as it is remembered."""
        fresh = [one for one in found if (upstream, one) not in self._noted]
        self._noted.update(dict.fromkeys((upstream, one) for one in fresh))
        while len(self._noted) > MOST_NOTED:
            self._noted.popitem(last=False)
        try:
            if fresh:
                self._records.queue(self._row(upstream, fresh))
        except RecordError as problem:
            log.warning("a secret in what `%s` says could not be recorded: %s", upstream, problem)

    def _row(self, upstream: str, found: Iterable[Finding]) -> Record:
        return Record(
            Kind.CATALOGUE,
            new_id(ENTRY),
            self._clock.now(),
            upstream=upstream,
            owner=self._owner_of(upstream),
            findings=tuple(found)[:MOST_FINDINGS],
        )


def _again(kind: Offering, one: Definition, clean: Any, found: Iterable[Finding]) -> Definition | str:
    """A definition as it was redacted, or why it can't be offered so."""
    if one.name not in clean:
        return f"one whose {kind.key} holds a secret"
    if any(each.exact for each in found):
        return f"`{one.name[:60]}` (it holds a secret of the gateway's own)"
    return anew(kind, one, clean[one.name])
