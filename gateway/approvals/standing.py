"""What people have said for a while: grants that stand, and what is held or barred. In memory, written down first.

It decides nothing: `core/grants.py` says what a grant covers, `core/decide.py` what follows.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from gateway import ids
from gateway.clock import Sleeper
from gateway.core.beside import mark
from gateway.core.grants import SCOPES, stands
from gateway.core.kept import grant_bytes
from gateway.core.model import Call, Choice, Freeze, Grant, Kind, Record, Standing, Tool
from gateway.core.record import columns, encode, stamp
from gateway.errors import ApprovalError
from gateway.store import Change, Entry, Store, people

LIST_LIMIT = 1_000
MOST_ALIKE = 200  # grants that are compared with a call: of one tool and caller, or vouches of one session
NOTHING = Standing()


class Standings:
    """The grants and freezes of one store. `load` has to be called before the first call."""

    def __init__(self, store: Store, clock: Sleeper) -> None:
        self._store, self._clock = store, clock
        self._grants: dict[tuple[str, ...], dict[str, Grant]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        self._freezes: dict[str, Freeze] = {}

    async def load(self) -> None:
        """Read what stands from the store."""
        for grant in await people.standing_grants(self._store, self._clock.now()):
            self.add(grant)
        self._freezes = {freeze.id: freeze for freeze in await people.list_freezes(self._store)}

    def of(self, call: Call, tool: Tool | None) -> Standing:
        """What concerns a call now."""
        if not self._grants and not self._freezes:
            return NOTHING
        session, upstream = call.context.session, tool.ref.upstream if tool is not None else ""
        frozen = barred = note = ""
        for freeze in self._freezes.values():
            if freeze.holds(upstream, session):
                frozen = _told(freeze)
            elif tool is not None and _bars(freeze, session, tool):
                barred, note = _told(freeze), freeze.note
        who = (call.principal.id, call.client.name)
        found = list(self._grants.get((*who, session), {}).values())
        if tool is not None:
            named = (*who, tool.ref.upstream, tool.ref.name)
            found += self._grants.get(named, {}).values()
            found += self._grants.get((*named, call.digest), {}).values()
        return Standing(frozen, barred, tuple(found), note)

    def add(self, grant: Grant) -> None:
        """Let a grant count that was written down; those that count no more are forgotten."""
        now = self._clock.now()
        gone = [one for each in self._grants.values() for one in each.values() if not stands(one, now)]
        for one in gone:
            self._end(one)
        self._keys[grant.id] = _key(grant)
        self._grants.setdefault(_key(grant), {})[grant.id] = grant

    def full(self, grant: Grant) -> bool:
        """Whether as many like this one stand as a call is compared with."""
        now = self._clock.now()
        return sum(stands(one, now) for one in self._grants.get(_key(grant), {}).values()) >= MOST_ALIKE

    def spent(self, uses: Sequence[str]) -> list[Grant]:
        """Count the use of grants that a recorded intent has used up; returns those that were used for the first
        time.
        """
        first: list[Grant] = []
        for id in uses:
            if id in self._keys:
                granted = self._grants[self._keys[id]]
                first += [granted[id]] if not granted[id].used else []
                granted[id] = replace(granted[id], used=granted[id].used + 1)
        return first

    async def grants(self) -> list[Grant]:
        """All grants that were ever given and are still remembered, the newest first."""
        return await people.list_grants(self._store, LIST_LIMIT)

    async def revoke(self, prefix: str, by: str) -> Grant:
        """End a grant; raises `ApprovalError` for one that is unknown or has ended, `RecordError` as ever."""
        wanted = ids.normal(prefix)
        found = await people.find_grants(self._store, wanted) if len(wanted) >= ids.SHORTEST_PREFIX else []
        exact = [grant for grant in found if grant.id == wanted] or found
        if len(exact) != 1:
            raise ApprovalError(f"unknown grant `{prefix}`" if not exact else f"`{prefix}` begins several", "unknown")
        (grant,) = exact
        ended = replace(grant, ended=f"revoked by {by}")
        change = people.end_grant(grant.id, ended.ended)
        if not stands(grant, self._clock.now()) or not await self._store.append((self.entry(ended, by),), (change,)):
            raise ApprovalError(f"grant `{grant.id}` counts no more already", "settled")
        self._end(grant)
        return ended

    def freezes(self) -> list[Freeze]:
        """All that is held now, oldest first."""
        return list(self._freezes.values())

    async def freeze(self, upstream: str, session: str, tool: str, by: str, note: str) -> Freeze:
        """Hold everything (nothing named), one upstream, one session, or one tool in one session; grants that it
        concerns lapse. It is on disk when this returns; calls that were forwarded before go on.
        """
        freeze = Freeze(ids.new_id(ids.ENTRY), upstream, session, tool, by, self._clock.now(), note)
        entries, changes = self.freezing(freeze), [people.insert_freeze(freeze)]
        self._freezes[freeze.id] = freeze  # at once: what can't be written down is held all the same
        lapsed = [] if tool else self._concerned(freeze)
        while entries or lapsed:  # once more for a grant that was on its way to the disk at the same moment
            for grant in lapsed:
                ended = replace(grant, ended=f"lapsed: frozen by {by}")
                entries.append(self.entry(ended, by))
                changes.append(_optional(people.end_grant(grant.id, ended.ended)))
            await self._store.append(entries, changes)
            for grant in lapsed:
                self._end(grant)
            entries, changes, lapsed = [], [], [] if tool else self._concerned(freeze)
        return freeze

    def hold(self, freeze: Freeze) -> None:
        """Let a freeze count that was written down together with something else."""
        self._freezes[freeze.id] = freeze

    async def thaw(self, upstream: str, session: str, by: str, *, everything: bool = False) -> list[Freeze]:
        """Let go what is held, and return it: all, an upstream, or a session with the tools that are barred there."""
        found = [
            freeze
            for freeze in self._freezes.values()
            if everything
            or (upstream and freeze.upstream == upstream and not freeze.tool)
            or (session and freeze.session == session)
        ]
        for freeze in found:
            entry = self._record(freeze, "thaw", by)
            await self._store.append((entry,), (_optional(people.lift_freeze(freeze.id)),))
            self._freezes.pop(freeze.id, None)
        return found

    def freezing(self, freeze: Freeze) -> list[Entry]:
        """The record of a freeze."""
        return [self._record(freeze, "freeze", freeze.by)]

    def _record(self, freeze: Freeze, state: str, by: str) -> Entry:
        about = {"state": state, "freeze": freeze.id, "by": by, "since": stamp(freeze.at)}
        record = Record(
            kind=Kind.FREEZE,
            id=ids.new_id(ids.ENTRY),
            at=self._clock.now(),
            session=freeze.session,
            upstream=freeze.upstream,
            tool=freeze.tool,
            detail=freeze.note,
            extra=about,
        )
        return Entry(encode(record), columns(record))

    def entry(self, grant: Grant, by: str, covered: int | None = None) -> Entry:
        """The record of a grant as it became; `covered` is how many recorded calls it would have covered."""
        about = {
            "state": grant.ended or "given",
            "grant": grant.id,
            "scope": grant.scope.value,
            "by": by,
            "owner": grant.owner,
            "proof": grant.proof.word,
            "from": grant.approval,
            "expires_at": stamp(grant.expires_at),
            "uses": grant.uses,
            "used": grant.used,
            **({"value": grant.value} if grant.value else {}),
            **({"would_have_covered": covered} if covered is not None else {}),
            **({"kept": mark(grant_bytes(grant))} if not grant.ended else {}),
        }
        record = Record(
            kind=Kind.GRANT,
            id=grant.id,
            at=self._clock.now(),
            principal=grant.principal,
            client=grant.client,
            session=grant.session,
            upstream=grant.upstream,
            tool=grant.tool,
            definition=grant.definition,
            tier=grant.tier.value,
            effect=grant.effect.value,
            reason=grant.reason.value,
            rules=grant.rules,
            obligations=grant.obligations,
            arguments_digest=grant.arguments_digest,
            detail=grant.note,
            extra=about,
        )
        return Entry(encode(record), columns(record))

    def _concerned(self, freeze: Freeze) -> list[Grant]:
        now = self._clock.now()
        return [
            grant
            for granted in self._grants.values()
            for grant in granted.values()
            if freeze.holds(grant.upstream, grant.session) and stands(grant, now)
        ]

    def _end(self, grant: Grant) -> None:
        granted = self._grants.get(self._keys.pop(grant.id, ()), {})
        granted.pop(grant.id, None)
        if not granted:
            self._grants.pop(_key(grant), None)


def _optional(change: Change) -> Change:
    """The change, which may also hit nothing."""
    return change._replace(must=False)


def _key(grant: Grant) -> tuple[str, ...]:
    who = (grant.principal, grant.client)
    if grant.scope not in SCOPES:
        return (*who, grant.session)
    exact = (grant.arguments_digest,) if grant.scope is Choice.ARGUMENTS else ()
    return (*who, grant.upstream, grant.tool, *exact)


def _bars(freeze: Freeze, session: str, tool: Tool) -> bool:
    return (freeze.session, freeze.upstream, freeze.tool) == (session, tool.ref.upstream, tool.ref.name)


def _told(freeze: Freeze) -> str:
    return f"by {freeze.by} since {stamp(freeze.at)}" + (f": {freeze.note}" if freeze.note else "")
