"""The ledger of leaks, as people use it: list, show, resolve, accept; and the look at what is due.

What was seen is written by `records.py`, in the transaction of the record that tells of it. Here is what people say,
and what the gateway sees by itself: that a reference gives another value, that an acceptance is over. All of it is
recorded.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import anyio
import msgspec
from msgspec.structs import replace

from gateway import ids
from gateway.clock import Sleeper
from gateway.core.approval import Voter
from gateway.core.canon import canonical
from gateway.core.leaks import LONGEST_ACCEPTED, Leak, LeakState, Stage, continued, leak_id
from gateway.core.model import Grade, Kind, Proof, Record
from gateway.core.record import columns, encode, stamp
from gateway.core.secrets import GATEWAY_SECRET, fingerprint_of, identity, parts, weakness
from gateway.errors import ApprovalError, RecordError
from gateway.store import Change, Entry, Store, leaks, rows
from gateway.store.folder import digest_keys, mark

LOOK = 10.0  # seconds between two looks at what is due
LAST_LOOK = 2.0  # seconds that the last look may take
PULSE = 1.0  # seconds until a look at a reference that was just learned
TIDY_EVERY = 86_400.0  # seconds between two looks for what was rotated long ago
MOST_AT_ONCE = 200  # leaks that one look tells of
PAGE_LIMIT = 1_000
NOTE_LIMIT = 1_000  # characters of a proof or a reason
GENERATION = 16  # hex digits of a key's mark by which its leaks are told apart, as `old-keys` names it
GATEWAY = "gateway"  # who says what the gateway saw by itself
REFERENCE = "reference"  # how that is known

log = logging.getLogger("wardgate")

Fingerprints = Mapping[str, frozenset[str]]  # of one value, by the generation of the key


class Leaks:
    """The leaks of one store. `keys` are those of keyed digests by generation, the present one first.

    Everything that a person says raises `ApprovalError` where it doesn't count, and `RecordError` as ever. `load` has
    to be called before the first output is screened.
    """

    def __init__(self, store: Store, clock: Sleeper, keys: Mapping[str, bytes]) -> None:
        self._store, self._clock, self._keys = store, clock, keys
        self._passing: dict[
            str, dict[str, datetime]
        ] = {}  # by fingerprint: until when, by the leak of which it was said
        self._older: dict[str, tuple[str, ...]] = {}  # kinds by the fingerprints of leaks of earlier keys
        self._known_again: dict[str, str] = {}  # fingerprints of now by those that they had under an earlier key
        self._learned: dict[str, Fingerprints] = {}  # by reference, as it is now
        self._tidied_at = clock.monotonic()
        self._unsettled: set[str] = set()  # references that were learned since the last look
        self.on_stage: list[Callable[[Leak, Stage], None]] = []  # hear what is to be told of a leak; they never raise
        self.on_change: list[Callable[[Leak], None]] = []  # hear what somebody said of one

    async def load(self) -> None:
        """Read what was said to be no secret, and what was seen under earlier keys."""
        for id, fingerprint, until in await leaks.passing(self._store, self._clock.now()):
            self._passing.setdefault(fingerprint, {})[id] = until
        self._older = await leaks.of_earlier_keys(self._store)

    def allows(self, fingerprint: str) -> bool:
        """Whether somebody said that what has this fingerprint is no secret, and that still counts."""
        said = self._passing.get(fingerprint)
        return said is not None and any(self._clock.now() < until for until in said.values())

    async def page(self, state: str = "", after: str = "", limit: int = PAGE_LIMIT) -> list[Leak]:
        """One page of leaks; see `ledger.page`."""
        return await leaks.list_leaks(self._store, state, after, min(limit, PAGE_LIMIT))

    async def show(self, prefix: str) -> Leak:
        """One leak by the beginning of its id."""
        wanted = ids.normal(prefix)
        found = await leaks.find_leaks(self._store, wanted) if len(wanted) >= ids.SHORTEST_PREFIX else []
        exact = [leak for leak in found if leak.id == wanted] or found
        if not exact:
            raise ApprovalError(f"unknown leak `{prefix}`", "unknown")
        if len(exact) > 1:
            raise ApprovalError(f"`{prefix}` begins several leaks", "ambiguous")
        return exact[0]

    async def resolve(self, prefix: str, state: LeakState, note: str, voter: Voter) -> Leak:
        """Say that a leak is being rotated, that it was (with proof in words: `note`), or that it is open after all.

        The note is redacted already.
        """
        _check(voter)
        leak = await self.show(prefix)
        if state is LeakState.ACCEPTED:
            raise ApprovalError("a leak is accepted by `accept`, with a reason and an expiry", "state")
        if state is LeakState.ROTATED and not note.strip():
            raise ApprovalError("expected what shows that the secret counts no more, found nothing", "note")
        after = self._said(leak, state, note, voter)
        if state is LeakState.OPEN:
            after = replace(after, opened_at=self._clock.now(), told=Stage.OPENED)
        return await self._move(leak, after)

    async def accept(
        self, prefix: str, reason: str, until: datetime, voter: Voter, *, false_positive: bool = False
    ) -> Leak:
        """Say why a leak may stay until a time (at most 90 days away); the reason is redacted already.

        With `false_positive` what was found is no secret, needs no more reason, and passes until then.
        """
        _check(voter)
        leak = await self.show(prefix)
        if not reason.strip() and not false_positive:
            raise ApprovalError("expected a reason, found nothing", "note")
        now = self._clock.now()
        if not now < until <= now + LONGEST_ACCEPTED:
            raise ApprovalError(f"expected an expiry within {LONGEST_ACCEPTED.days} days", "expiry")
        if false_positive and leak.grade is Grade.EXACT:
            raise ApprovalError("a secret that the gateway itself holds is no false positive", "exact")
        after = self._said(leak, LeakState.ACCEPTED, reason, voter)
        return await self._move(leak, replace(after, until=until, false_positive=false_positive))

    def learned(self, upstream: str, values: Mapping[str, str]) -> None:
        """Hear the values that an upstream's references give now. Keeps their fingerprints, and no value."""
        for name, value in values.items():
            known = [identity(part.encode("utf-8", "replace")) for part in parts(value) if not weakness(part)]
            self._learned[f"{upstream}.{name}"] = {
                generation: frozenset(fingerprint_of(key, one) for one in known)
                for generation, key in self._keys.items()
            }
            for one in known:
                self.recognise(one, fingerprint_of(next(iter(self._keys.values())), one))
            self._unsettled.add(f"{upstream}.{name}")

    def recognise(self, secret: bytes, present: str) -> None:
        """Hear of a secret that is being looked at: its leak of an earlier key goes on under its present fingerprint.

        Called from the threads of the scanner, too; no secret is kept.
        """
        if not self._older:
            return
        for key in [*self._keys.values()][1:]:
            before = fingerprint_of(key, secret)
            if before in self._older:
                self._known_again[before] = present

    async def run(self) -> None:
        """Look again and again, until cancelled; what was learned by then is settled all the same."""
        try:
            while True:
                await self.look()
                await self._pause()
                if self._clock.monotonic() - self._tidied_at >= TIDY_EVERY:
                    self._tidied_at = self._clock.monotonic()
                    await self.tidy()
        finally:
            with anyio.move_on_after(LAST_LOOK, shield=True):
                await self.look()

    async def _pause(self) -> None:
        """Wait for the next look; less long where a reference was learned, or a secret known again."""
        until = self._clock.monotonic() + LOOK
        while self._clock.monotonic() < until:
            await self._clock.sleep(PULSE)
            if self._unsettled or self._known_again:
                return

    async def look(self) -> None:
        """One look: references that changed, acceptances that are over, stages to be told.

        What fails is tried again.
        """
        try:
            for before, after in [*self._known_again.items()]:
                if all([await self._go_on(kind, before, after) for kind in self._older.get(before, ())]):
                    self._older.pop(before, None)
                    self._known_again.pop(before, None)
            for name in sorted(self._unsettled):
                self._unsettled.discard(name)  # first: it may be learned again meanwhile, in a thread
                settled = False
                try:
                    settled = await self._settle(name)
                finally:
                    if not settled:
                        self._unsettled.add(name)
            now = self._clock.now()
            for leak in await leaks.due_leaks(self._store, now, MOST_AT_ONCE):
                await (self._lapse(leak, now) if leak.lapsed(now) else self._tell(leak, now))
        except RecordError as problem:
            log.warning("the leaks can't be looked after now: %s", problem)

    async def tidy(self) -> None:
        """Forget what was rotated long ago."""
        try:
            await self._store.append((), leaks.tidy(self._clock.now()))
        except RecordError as problem:
            log.warning("old leaks can't be forgotten now: %s", problem)

    async def _settle(self, name: str) -> bool:
        """Compare what a reference gives with what it gave before: what it gives no more counts as rotated.

        False where a leak was changed by somebody at the same moment.
        """
        present = next(iter(self._keys))
        now, kept = self._learned[name], f"reference:{name}"
        before = await rows.get_meta(self._store, kept)
        after = canonical({"generation": present, "fingerprints": sorted(now[present])}).decode()
        if before == after:
            return True
        for fingerprint in self._given_up(before, now):
            leak = await self._counting(leak_id(GATEWAY_SECRET, fingerprint))
            if leak is not None:
                note = f"the reference `{name}` gives another value now"
                said = replace(leak, state=LeakState.ROTATED, by=GATEWAY, known_by=REFERENCE, at=self._clock.now())
                said = replace(said, note=note, until=None, false_positive=False)
                if not await self._write(leak, said):
                    return False
                self._hear(said)
        return await self._store.append((), (rows.set_meta(kept, after),))

    def _given_up(self, before: str, now: Fingerprints) -> list[str]:
        """The fingerprints that a reference had before and no reference has now; none where their key is lost."""
        if not before:
            return []
        told = msgspec.json.decode(before)
        generation = told["generation"]
        if generation not in now:
            return []
        learned = [*self._learned.values()]  # more may be learned meanwhile, in a thread
        still = frozenset[str]().union(*(each[generation] for each in learned))
        return [fingerprint for fingerprint in told["fingerprints"] if fingerprint not in still]

    async def _go_on(self, kind: str, before: str, fingerprint: str) -> bool:
        """Let a leak of an earlier key go on under the fingerprint that its secret has now; True unless it has to be
        tried again, since one of the two was changed at the same moment.
        """
        old, new = await self._exactly(leak_id(kind, before)), await self._exactly(leak_id(kind, fingerprint))
        if old is None:
            return True
        after = continued(old, leak_id(kind, fingerprint), fingerprint, new)
        about = {**_told(after), "follows": old.id}
        entry = self._entry(after, about, after.by, after.note)
        if not await self._store.append((entry,), leaks.go_on(old, new, after)):
            return False
        self._forget(before, old.id)
        self._hear(after)
        return True

    async def _exactly(self, id: str) -> Leak | None:
        return next((leak for leak in await leaks.find_leaks(self._store, id) if leak.id == id), None)

    async def _counting(self, id: str) -> Leak | None:
        """The leak of that id, if something is still to be done about it."""
        leak = await self._exactly(id)
        return leak if leak is not None and leak.state is not LeakState.ROTATED else None

    async def _lapse(self, leak: Leak, now: datetime) -> None:
        """An acceptance is over: its days are counted anew."""
        after = replace(leak, state=LeakState.OPEN, by=GATEWAY, known_by="clock", at=now, note="its acceptance is over")
        after = replace(after, until=None, false_positive=False, opened_at=now, reopened=leak.reopened + 1, told=0)
        if await self._write(leak, after):
            self._hear(after)

    async def _tell(self, leak: Leak, now: datetime) -> None:
        """Tell the stage that a leak has come to: recorded first, and once."""
        stage = leak.stage(now)
        if stage is None or stage <= leak.told:
            return
        about = {"leak": leak.id, "stage": stage.word, "days": leak.days(now)}
        if await self._store.append((self._entry(leak, about),), (leaks.tell(leak, stage),)):
            for hear in self.on_stage:
                hear(replace(leak, told=stage), stage)

    def _said(self, leak: Leak, state: LeakState, note: str, voter: Voter) -> Leak:
        """A leak as somebody says that it is; raises `ApprovalError` where it can't become that."""
        if not leak.may_become(state):
            raise ApprovalError(f"leak `{leak.id}` is {leak.state.value}, and can't become {state.value}", "settled")
        said = replace(leak, state=state, by=voter.by, known_by=voter.proof.word, at=self._clock.now())
        return replace(said, note=note.strip()[:NOTE_LIMIT], until=None, false_positive=False)

    async def _move(self, before: Leak, after: Leak) -> Leak:
        if not await self._write(before, after):
            raise ApprovalError(f"leak `{before.id}` was changed by somebody else: look again", "settled")
        self._hear(after)
        return after

    async def _write(self, before: Leak, after: Leak) -> bool:
        """Record what a leak became, if it is still as it was read."""
        about = {**_told(after), "days": before.days(self._clock.now())}
        changes: tuple[Change, ...] = (leaks.move(before, after),)
        return await self._store.append((self._entry(after, about, after.by, after.note),), changes)

    def _hear(self, leak: Leak) -> None:
        if leak.false_positive and leak.until is not None:
            self._passing.setdefault(leak.fingerprint, {})[leak.id] = leak.until
        else:
            self._forget(leak.fingerprint, leak.id)
        for hear in self.on_change:
            hear(leak)

    def _forget(self, fingerprint: str, id: str) -> None:
        """Let what has a fingerprint pass no more, as far as that was said of this leak."""
        said = self._passing.get(fingerprint, {})
        said.pop(id, None)
        if not said:
            self._passing.pop(fingerprint, None)

    def _entry(self, leak: Leak, about: Mapping[str, object], by: str = "", note: str = "") -> Entry:
        source = leak.source
        record = Record(
            kind=Kind.LEAK,
            id=leak.id,
            at=self._clock.now(),
            principal=by,
            known_by=leak.known_by if by else "",
            upstream=source.upstream if source is not None else "",
            tool=source.tool if source is not None else "",
            detail=note,
            extra={"kind": leak.kind, "owner": leak.owner, **about},
        )
        return Entry(encode(record), columns(record))


def generations(state: Path) -> Mapping[str, bytes]:
    """The keys of keyed digests of a state folder by generation, the present one first.

    Raises `StateError` where one of them can't be read.
    """
    return {mark(key)[:GENERATION]: key for key in digest_keys(state)}


def _check(voter: Voter) -> None:
    """Raise `ApprovalError` for somebody whose word on a leak doesn't count."""
    if voter.proof < Proof.LOCAL:
        raise ApprovalError("what becomes of a leak can't be said through the agent's own client", "proof-too-weak")
    if not voter.may_approve:
        raise ApprovalError("this approver may not say so from here: see `proofs` in `[approvers]`", "not-listed")


def _told(leak: Leak) -> dict[str, object]:
    """What a record says of what a leak is: `core/beside.py` compares it with what is kept."""
    return {
        "leak": leak.id,
        "state": leak.state.value,
        "by": leak.by,
        "known_by": leak.known_by,
        "at": _text(leak.at),
        "until": _text(leak.until),
        "false_positive": leak.false_positive,
        "reopened": leak.reopened,
        "fingerprint": leak.fingerprint,
    }


def _text(at: datetime | None) -> str:
    return stamp(at) if at is not None else ""
