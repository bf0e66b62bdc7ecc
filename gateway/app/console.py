"""The console's view of one gateway: implements `console/ports.Gate` with the door, the record and the rooms."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from difflib import unified_diff
from functools import partial
from typing import Any, TypeVar, assert_never

import anyio
import anyio.to_thread
import msgspec
from msgspec.structs import replace

from gateway.acceptance import IN_CONSOLE
from gateway.app import tallies
from gateway.app.build import Gateway
from gateway.app.consent import UNREACHABLE, LockCommands, accept_policy, objection_to
from gateway.app.consent import Row as HeldItem
from gateway.app.definitions import Definitions
from gateway.app.door import PLAN_LIMIT, Door
from gateway.approvals.proofs import EndorsementError, Proofs
from gateway.config import check
from gateway.console.pages import hours_back
from gateway.console.ports import (
    FileRow,
    HeldPolicy,
    HeldRow,
    LeakChoice,
    LeakStory,
    LeakWord,
    PolicyRow,
    Told,
    ToolRow,
    UpstreamRow,
)
from gateway.control import Refusal
from gateway.core.approval import Voter, person
from gateway.core.coverage import badge, coverage
from gateway.core.figures import figures, questions
from gateway.core.inventory import Use
from gateway.core.leaks import Leak, LeakState
from gateway.core.lock import RUNTIME
from gateway.core.model import Approval, Choice, Freeze, Grant, Tier, Tool
from gateway.core.policy import PolicyFile
from gateway.core.query import Query
from gateway.core.spare import proposals
from gateway.core.view import Card
from gateway.core.visible import visible
from gateway.errors import ApprovalError, StateError
from gateway.people import AUDITOR
from gateway.reading import Row, Story, Viewer, approvals_since, find_call, newest, reading, story
from gateway.store import rows
from gateway.upstreams.catalogue import KINDS
from gateway.usage import look_up

MOST_ROWS = 5_000  # questions that figures are made of
PATIENCE = 10.0  # seconds that one question to the record may take
STEPS = 100_000  # of the database's machine, between two looks at the clock
ABOUT = 240  # characters of a tool's description

T = TypeVar("T")


class ConsoleGate:
    """One gateway, as its console sees it."""

    def __init__(self, gateway: Gateway, definitions: Definitions) -> None:
        self._gateway, self._door, self._definitions = gateway, Door(gateway), definitions
        self._consent = LockCommands(gateway)

    def voter(self, name: str) -> Voter:
        """Who votes under a name: proof `local`, with the roles of the configuration."""
        return self._gateway.proofs.voter(name)

    async def waiting(self) -> Sequence[Approval]:
        """The rows that wait for a person, oldest first."""
        return await self._door.waiting()

    async def row(self, prefix: str) -> Approval:
        """One row by the beginning of its id."""
        return await self._door.row(prefix)

    async def card(self, row: Approval) -> Card:
        """Its card."""
        return await self._door.card(row)

    async def plan(self, row: Approval) -> Sequence[Approval]:
        """The other rows that wait in its session, oldest first."""
        found = await rows.waiting_in(self._gateway.store, row, PLAN_LIMIT)
        return [one for one in found if one.id != row.id]

    async def would_cover(self, row: Approval, choice: Choice, voter: Voter) -> tuple[int, int]:
        """How many questions of the last 30 days a grant would have spared, and of how many."""
        return await self._door.would_cover(row, choice, voter)

    async def answer(self, row: Approval, body: Mapping[str, Any], voter: Voter) -> Approval:
        """Settle a row as a person chose."""
        return await self._door.answer(row, body, voter)

    async def label(self, row: Approval, effect: str, voter: Voter) -> int:
        """Write down what the tool of a row does."""
        return await self._door.label(row, effect, voter)

    async def grants(self) -> Sequence[Grant]:
        """All grants, the newest first."""
        return await self._door.grants()

    async def revoke(self, prefix: str, voter: Voter) -> Grant:
        """End a grant."""
        return await self._door.revoke(prefix, voter)

    def held_policies(self) -> Sequence[str]:
        """The digests of the policies, or of upstreams.toml, that wait for a person."""
        return [held.digest for held in self._gateway.reload.held.values()]

    def freezes(self) -> Sequence[Freeze]:
        """All that is held now."""
        return self._door.freezes()

    async def freeze(self, upstream: str, session: str, voter: Voter, note: str = "") -> Freeze:
        """Hold everything, one upstream or one session."""
        return await self._door.freeze(upstream, session, voter, note)

    async def thaw(self, upstream: str, session: str, voter: Voter, *, everything: bool = False) -> Sequence[Freeze]:
        """Let go what was held."""
        return await self._door.thaw(upstream, session, voter, everything=everything)

    async def decisions(self, name: str, query: Query) -> Sequence[Row]:
        """One page of the record, of what this person may see."""
        own = replace(query, principal=self._viewer(name).restriction)
        return await self._read(lambda db: newest(db, own))

    async def story(self, name: str, prefix: str) -> Story | None:
        """All records of one call; None for one that is unknown, or not this person's to see."""

        def find(db: Any) -> Story | None:
            found = find_call(db, prefix)
            return story(db, found[0]) if len(found) == 1 else None

        told, only = await self._read(find), self._viewer(name).restriction
        seen = told is not None and (not only or all(row.record.principal == only for row in told.rows))
        return told if seen else None

    def sessions(self, name: str) -> Sequence[Mapping[str, Any]]:
        """What the monitor has seen of each session; without sentences, which may hold values of calls, where a call is
        not this person's to see.
        """
        only = self._viewer(name).restriction
        items = self._gateway.monitor.sessions()
        return [{**item, "told": item["told"] if item["principal"] == only or not only else []} for item in items]

    async def upstreams(self) -> Sequence[UpstreamRow]:
        """All upstreams with their tools."""
        folder, now = self._gateway.settings.gateway.state, self._gateway.clock.now()
        offered = self._gateway.upstreams.catalogue.offered("tools")
        refs = [(tool.ref.upstream, tool.ref.name) for tool in offered]
        uses = (await self._read(lambda db: look_up(db, folder, now, refs))).tally
        held = {freeze.upstream: freeze for freeze in self.freezes() if not freeze.tool and not freeze.session}
        found = []
        for name, (state, detail) in self._gateway.upstreams.states().items():
            entry, freeze = self._gateway.settings.upstreams[name], held.get(name)
            owner, catalogue = entry.owner, self._gateway.upstreams.catalogue
            parts = coverage(tool for kind in KINDS for tool in catalogue.offered(kind, name))
            found.append(
                UpstreamRow(
                    name=name,
                    state=state,
                    detail=visible(detail),
                    owner=owner.business,
                    technical=owner.technical,
                    acts_as=f"{entry.acts_as.kind} {entry.acts_as.identity}" if entry.acts_as else "",
                    frozen=freeze.by if freeze else "",
                    tools=tuple(
                        self._tool(
                            tool, uses.use(name, tool.ref.name, now.date()), uses.changed.get(tool.exposed_as, "")
                        )
                        for tool in catalogue.offered("tools", name)
                    ),
                    screened=badge(parts),
                    coverage=parts,
                )
            )
        return found

    def may_accept(self, name: str) -> bool:
        """Whether this person's word lets count what is held."""
        return not objection_to(self.voter(name))

    async def holdings(self, most: int) -> tuple[Sequence[HeldRow], int]:
        """What of the upstreams is held because it is new or changed, and how many more than `most` there are."""
        found, more = await self._consent.held(most)
        return [self._held(one) for one in found], more

    async def accept(self, shown: HeldRow, voter: Voter) -> None:
        """Accept one thing, if it is as it was shown: its digest, and what it would count as."""
        same = ("upstream", "kind", "name", "state", "before", "digest", "effect", "tier", "entry")
        about: dict[str, Any] = {key: getattr(shown, key) for key in same}
        try:
            await self._consent.accept_shown({**about, "remarks": list(shown.remarks)}, voter)
        except Refusal as refusal:
            if refusal.code == UNREACHABLE:
                raise StateError(str(refusal)) from None
            raise ApprovalError(str(refusal), refusal.objection or "not-accepted") from None

    async def accept_policy(self, digest: str, voter: Voter) -> bool:
        """Let a policy that is held count, by its whole digest; returns whether it does at the next start only."""
        return (await accept_policy(self._gateway, digest, voter, IN_CONSOLE)).policy is None

    async def leaks(self, name: str) -> Sequence[Leak]:
        """The leaks that this person may see; what is to be done first comes first."""
        may = await self._may_see(name)
        return [leak for leak in await self._read(tallies.leaks) if may(leak)]

    async def leak(self, name: str, prefix: str) -> LeakStory | None:
        """One leak by the beginning of its id; None for one that is unknown, or not this person's to see."""
        await self._gateway.store.flush()
        only = self._viewer(name).restriction
        try:
            leak = await self._gateway.leaks.show(prefix)
        except ApprovalError:
            return None
        if not (await self._may_see(name))(leak):
            return None
        calls, said = await self._read(lambda db: (tallies.saw(db, leak, only), tallies.said_of(db, leak)))
        return LeakStory(leak, calls, said, known=not only, may=not only or leak.owner == person(name))

    async def settle_leak(self, leak: Leak, word: LeakWord, voter: Voter) -> Leak:
        """Write down what a person said of a leak that was read before."""
        leaks, note = self._gateway.leaks, await self._door.clean(word.note)
        match word.choice:
            case LeakChoice.ACCEPT | LeakChoice.ALLOW:
                fine = word.choice is LeakChoice.ALLOW
                until = self.now() + (word.lasts or timedelta(0))
                return await leaks.accept(leak.id, note, until, voter, false_positive=fine)
            case LeakChoice.ROTATING:
                return await leaks.resolve(leak.id, LeakState.ROTATING, note, voter)
            case LeakChoice.ROTATED:
                return await leaks.resolve(leak.id, LeakState.ROTATED, note, voter)
            case LeakChoice.OPEN:
                return await leaks.resolve(leak.id, LeakState.OPEN, note, voter)
            case _:
                assert_never(word.choice)

    async def policy(self) -> PolicyRow:
        """The policy in force, and what is to be said about the files on the disk now."""
        policy, settings = self._gateway.in_force(), self._gateway.settings
        found = await anyio.to_thread.run_sync(check, settings.file, None, self.now().date())
        problems = tuple((problem.severity.value, visible(str(problem))) for problem in found)
        today = self.now().date()
        held = tuple(
            HeldPolicy(row["digest"], row["do"], tuple(visible(line) for line in row["differences"]))
            for row in self._gateway.reload.status()["held"]
        )
        files = tuple(_file(file, today) for file in policy.files)
        return PolicyRow(policy.revision, policy.accepted, files, problems, held)

    async def told(self, days: int) -> Told:
        """The figures of some days."""
        now = self.now()
        hours = hours_back(now, days)

        def look(db: Any) -> Told:
            asked = tuple(approvals_since(db, now - timedelta(days=days), MOST_ROWS))
            found, each = figures(asked), questions(asked)
            waved = {rule.name: proposals(rule.name, each) for rule in found.rules if rule.waved_through}
            return Told(days, found, asked, *tallies.calls_by_hour(db, hours), waved)

        return await self._read(look)

    def now(self) -> datetime:
        """Aware UTC wall time."""
        return self._gateway.clock.now()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._gateway.clock.monotonic()

    def longest_grant(self) -> int:
        """How many minutes a grant may stand."""
        return int(self._gateway.settings.limits.grant // 60)

    def _viewer(self, name: str) -> Viewer:
        """Who reads the record: whoever came by the control socket is its owner (or root), others need the role."""
        entry = self._gateway.settings.approvers.get(person(name))
        auditor = name.startswith("os:") or (entry is not None and AUDITOR in entry.roles)
        return Viewer(f"os:{person(name)}", auditor)

    async def _may_see(self, name: str) -> Callable[[Leak], bool]:
        """Which leaks are a person's to see: an auditor's all of them, others' those that they own or whose secret
        their own calls saw.
        """
        only = self._viewer(name).restriction
        if not only:
            return lambda leak: True
        own = await self._read(partial(tallies.leaks_of, principal=only))
        return lambda leak: leak.id in own or leak.owner == person(name)

    async def _read(self, look: Callable[[Any], T]) -> T:
        """Ask the record something, in a thread and after what is queued is durable; raises `StateError` where that
        takes longer than `PATIENCE`, as a search through millions of records may.
        """
        await self._gateway.store.flush()
        clock = self._gateway.clock
        latest = clock.monotonic() + PATIENCE

        def work() -> T:
            with reading(self._gateway.settings.gateway.state) as db:
                db.set_progress_handler(lambda: clock.monotonic() > latest, STEPS)
                return look(db)

        return await anyio.to_thread.run_sync(work)

    def _held(self, item: HeldItem) -> HeldRow:
        """A row of the lock's as the page shows it; what is run counts as the worst that it runs."""
        upstream, exposed = item["upstream"], visible(item["exposed_as"])
        tiers = [tool.tier for tool in self._gateway.upstreams.catalogue.shelved(upstream, "tools")]
        high = Tier.HIGH in tiers if item["kind"] == RUNTIME else item.get("tier") == Tier.HIGH.value
        return HeldRow(
            *(upstream, item["kind"], item["name"], exposed, item["state"], item["digest"], item["before"]),
            command=f"wardgate accept {visible(item['accept'])}",
            confirm=exposed if high else "",
            **{key: str(item.get(key, "")) for key in ("effect", "tier", "entry", "proposed")},
            remarks=tuple(item["remarks"]),
            difference=tuple(visible(line) for line in item["difference"]),
        )

    def _tool(self, tool: Tool, use: Use, changed_at: str) -> ToolRow:
        former = self._definitions.former(tool)
        return ToolRow(
            name=visible(tool.ref.name),
            exposed=visible(tool.exposed_as),
            effect=tool.effect.value,
            tier=tool.tier.value,
            labelled=str(tool.labels.at or ""),
            digest=tool.digest[:12],
            description=visible(str(tool.definition.get("description", ""))[:ABOUT]),
            calls=use.calls,
            last_used=use.last,
            changed_at=changed_at,
            difference=_difference(former, tool) if former is not None else (),
            held=visible(tool.held),
        )


class Passkeys:
    """Implements `console/ports.Proofs`; there is none where the extra `passkey` is not installed."""

    def __init__(self, proofs: Proofs) -> None:
        self._proofs = proofs
        self.enrol_options, self.endorse_options = proofs.enrol_options, proofs.endorse_options
        self.endorse, self.sign_in_options, self.sign_in = proofs.endorse, proofs.sign_in_options, proofs.sign_in
        self.sign_options, self.signed = proofs.sign_options, proofs.signed

    async def enrol(self, name: str, answer: Mapping[str, Any], by: str, origin: str) -> tuple[str, str]:
        """Keep the new key of an approver: its id, or what it waits under for a signature of another one."""
        try:
            return await self._proofs.enrol(name, answer, by, origin), ""
        except EndorsementError as waits:
            return "", waits.nonce


def _difference(former: Tool, present: Tool) -> tuple[str, ...]:
    """The lines in which two definitions differ, bounded."""
    before, now = (
        msgspec.json.format(msgspec.json.encode(tool.definition), indent=2).decode().splitlines()[:2_000]
        for tool in (former, present)
    )
    return tuple(visible(line[:300]) for line in list(unified_diff(before, now, n=2, lineterm=""))[2:202])


def _file(file: PolicyFile, today: date) -> FileRow:
    return FileRow(
        name=file.name,
        owner=file.owner.business,
        technical=file.owner.technical,
        upstream=file.upstream,
        review_by=str(file.review_by or ""),
        overdue=file.review_by is not None and file.review_by < today,
        observe_until=str(file.observe_until or ""),
        rules=len(file.rules),
        labels=len(file.tools),
    )
