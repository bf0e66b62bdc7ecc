"""The console behind the real door, before a gate that notes what it is asked to do. The clock is the test's."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import anyio
import httpx2
from msgspec.structs import replace

from gateway.console.app import Console
from gateway.console.leaks import BECOMES
from gateway.console.looks import Looks
from gateway.console.pages import hours_back
from gateway.console.ports import (
    Counts,
    FileRow,
    HeldPolicy,
    HeldRow,
    LeakStory,
    LeakWord,
    PolicyRow,
    Told,
    ToolRow,
    UpstreamRow,
)
from gateway.console.signin import ARMED_AFTER, SignIns
from gateway.core.approval import Voter
from gateway.core.coverage import Part, Sight
from gateway.core.figures import figures
from gateway.core.leaks import Leak, LeakState, Seen, Source, leak_id
from gateway.core.model import (
    Act,
    Approval,
    ApprovalState,
    Choice,
    Effect,
    Finding,
    Freeze,
    Grade,
    Grant,
    Kind,
    Proof,
    Shown,
    Tier,
)
from gateway.core.query import Query
from gateway.core.spare import Proposal
from gateway.core.view import Card, History, view
from gateway.errors import ApprovalError
from gateway.reading import Row, Story
from gateway.server.auth import NO_TOKEN, Denied
from gateway.server.http import Door, DoorSettings
from gateway.server.names import names_of
from gateway.server.peer import Peer
from tests.fakes import DEADLINE, NOON, FakeClock, a_call, a_record, a_row, a_tool, an_ask

PORT = 8765
HOST = f"localhost:{PORT}"
HERE = f"http://{HOST}"
FIRST, SECOND, DANGER = "a_0000000001", "a_0000000002", "a_0000000003"
LOOKS = Looks()
MARK = "f" * 16  # a fingerprint
LEAK = leak_id("github", MARK)


def a_leak(days: float = 0, state: LeakState = LeakState.OPEN, **more: Any) -> Leak:
    """A leak that was opened so many days before noon."""
    at = NOON - timedelta(days=days)
    acts = {Act.REDACTED.value: 3, Act.FLAGGED.value: 1}
    seen = Seen({"files": 4}, {"files/read": 4}, {"s1": 4}, {"claude-code": 4}, acts)
    leak = Leak(
        *(LEAK, "github", MARK, "k1", Grade.VENDOR, state, "o@example.com", at, NOON, 4, at),
        source=Source("files", "read", "digest"),
        first_call="d_0000000001",
        last_call="d_0000000001",
        place="content[0].<b>",
        seen=seen,
    )
    return replace(leak, **more)


def rows() -> dict[str, Approval]:
    """Two writes and one deletion that wait in one session."""
    tool, ask = a_tool(), an_ask(Proof.LOCAL)
    shown = Shown(known_by="os-user", claimed="claude-code 2.1", transport="stdio", owner="o@example.com")
    danger = a_tool("wipe", Tier.HIGH, Effect.DESTRUCTIVE)
    found = (
        a_row(FIRST, a_call(1, path="a.txt", text="<b>bold</b>"), tool, ask, {"path": "a.txt", "text": "<b>bold</b>"}),
        a_row(SECOND, a_call(2, path="b.txt"), tool, ask, {"path": "b.txt"}),
        a_row(DANGER, a_call(3, path="c.txt"), danger, ask, {"path": "c.txt"}, exposed="files__wipe"),
    )
    return {row.id: replace(row, shown=shown, free=("text",)) for row in found}


POLICY = "cd" * 32  # the digest of a policy that is held
HELD = (HeldPolicy(POLICY, "wardgate accept policy@abcd", ("<b>new</b> rule", "reach: 3 more")),)


def holdings() -> list[HeldRow]:
    """What is held of `files`: a changed read, and a new tool that deletes."""
    told = ("changed", "ab" * 32, "ba" * 32, "wardgate accept files__read@abababababab", "", "read", "read")
    read = HeldRow(
        "files",
        "tools",
        "read",
        "files__read",
        *told,
        "`read` at files.toml:3",
        difference=("- <b>a</b>", "+ c\\u{200b}"),
    )
    lines = ("+ <script>alert(1)</script>",)
    more = {"confirm": "files__wipe", "effect": "destructive", "tier": "high", "proposed": "destructive"}
    said = {"remarks": ("description: <i>orders</i> the model about",), "difference": lines}
    wipe = HeldRow("files", "tools", "wi\u200bpe", "files__wipe", "new", "ef" * 32, **more, **said)  # type: ignore[arg-type]  # texts and tuples
    return [read, wipe]


@dataclass
class FakeGate:
    """The gateway as the console sees it: `done` is everything that was changed, in order."""

    clock: FakeClock
    rows: dict[str, Approval] = field(default_factory=rows)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    held: list[Freeze] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)  # digests of those that wait
    given: list[Grant] = field(default_factory=list)
    recorded: list[Row] = field(default_factory=list)
    queries: list[tuple[str, Query]] = field(default_factory=list)
    history: History = field(default_factory=History)
    leaked: dict[str, Leak] = field(default_factory=dict)
    known: bool = True  # a person who may see everybody's records
    may: bool = True  # such a one, or the owner of the leak
    changed: list[HeldRow] = field(default_factory=holdings)
    reads_only: bool = False  # a person whose word lets nothing count
    elsewhere: set[str] = field(default_factory=set)  # rows that wait in another session

    def voter(self, name: str) -> Voter:
        return Voter(name, Proof.LOCAL)

    async def waiting(self) -> Sequence[Approval]:
        return [row for row in self.rows.values() if row.state is ApprovalState.WAITING]

    async def row(self, prefix: str) -> Approval:
        if prefix not in self.rows:
            raise ApprovalError(f"unknown approval `{prefix}`", "unknown")
        return self.rows[prefix]

    async def card(self, row: Approval) -> Card:
        return view(row, self.history, await self.waiting(), self.clock.now())

    async def plan(self, row: Approval) -> Sequence[Approval]:
        return [one for one in await self.waiting() if one.id != row.id and one.id not in self.elsewhere]

    async def would_cover(self, row: Approval, choice: Choice, voter: Voter) -> tuple[int, int]:
        return 2, 7

    async def answer(self, row: Approval, body: Mapping[str, Any], voter: Voter) -> Approval:
        self.done.append((body["choice"], row.id, voter.by, voter.proof))
        self.bodies.append(body)
        if body["choice"] == "edit":
            return replace(row, id="a_0000000009", follows=row.id)
        state = ApprovalState.DENIED if body["choice"] in ("deny", "bar") else ApprovalState.APPROVED
        self.rows[row.id] = replace(row, state=state, decided_by=voter.by, proof=voter.proof)
        return self.rows[row.id]

    async def label(self, row: Approval, effect: str, voter: Voter) -> int:
        self.done.append(("label", row.id, effect, voter.by))
        return 1

    async def grants(self) -> Sequence[Grant]:
        return self.given

    async def revoke(self, prefix: str, voter: Voter) -> Grant:
        found = next((grant for grant in self.given if grant.id == prefix), None)
        if found is None:
            raise ApprovalError(f"unknown grant `{prefix}`", "unknown")
        self.done.append(("revoke", prefix, voter.by))
        return found

    def held_policies(self) -> Sequence[str]:
        return self.policies

    def freezes(self) -> Sequence[Freeze]:
        return self.held

    async def freeze(self, upstream: str, session: str, voter: Voter, note: str = "") -> Freeze:
        self.done.append(("freeze", upstream, session, voter.by, note))
        self.held.append(Freeze("l_0000000001", upstream, session, "", voter.by, self.clock.now(), note))
        return self.held[-1]

    async def thaw(self, upstream: str, session: str, voter: Voter, *, everything: bool = False) -> Sequence[Freeze]:
        self.done.append(("thaw", upstream, session, voter.by, everything))
        gone, self.held = self.held, []
        return gone

    async def decisions(self, name: str, query: Query) -> Sequence[Row]:
        self.queries.append((name, query))
        return self.recorded[: query.limit]

    async def story(self, name: str, prefix: str) -> Story | None:
        found = tuple(sorted((row for row in self.recorded if row.record.id == prefix), key=lambda row: row.seq))
        return Story(prefix, found, 9, "ab" * 32) if found else None

    def sessions(self, name: str) -> Sequence[Mapping[str, Any]]:
        texts = {"session": "s1", "principal": "os:alice", "client": "claude-code", "first_at": "", "last_at": ""}
        counts = {"verdicts": {}, "outcomes": {"ok": 3}, "tiers": {}, "signals": {"repeated-refusal": 1}}
        sentence = "first egress to email `<b>eve@evil.example</b>` by os:alice"
        told = {"signal": "new-sink", "at": "2026-11-22T12:00:00.000000Z", "effect": "raise", "call": "d_1"}
        quiet = {**told, "effect": "note", "call": ""}
        about = {"raised": "new-sink", "told": [{**each, "explanation": sentence} for each in (quiet, told)]}
        return [{**texts, **counts, **about, "calls": 4, "prompts": 2}]

    async def upstreams(self) -> Sequence[UpstreamRow]:
        tool = ToolRow(
            *("wipe", "files__wipe", "destructive", "high", "", "0123456789ab", "<script>alert(1)</script>"),
            *(3, "2026-11-22T12:00:00.000000Z", "2026-11-22T11:00:00.000000Z", ("-before", "+after")),
            held="new: <i>nobody</i> has accepted it",
        )
        parts = (Part("results", Sight.PASSES, "by label", ("<b>", "read"), 3),)
        told = ("files", "ready", "", "o@example.com", "t@example.com", "human ada", "", (tool,))
        return [UpstreamRow(*told, screened="all text screened", coverage=parts)]

    def may_accept(self, name: str) -> bool:
        return not self.reads_only

    async def holdings(self, most: int) -> tuple[Sequence[HeldRow], int]:
        return self.changed[:most], max(0, len(self.changed) - most)

    async def accept(self, shown: HeldRow, voter: Voter) -> None:
        if self.reads_only:
            raise ApprovalError("a reader accepts nothing", "not-permitted")
        self.done.append(("accept", shown.upstream, shown.kind, shown.name, shown.digest, voter.by, voter.proof))
        self.changed.remove(shown)

    async def accept_policy(self, digest: str, voter: Voter) -> bool:
        if self.reads_only:
            raise ApprovalError("a reader accepts nothing", "not-permitted")
        self.done.append(("accept-policy", digest, voter.by, voter.proof))
        return False

    async def leaks(self, name: str) -> Sequence[Leak]:
        return list(self.leaked.values())

    async def leak(self, name: str, prefix: str) -> LeakStory | None:
        leak = self.leaked.get(prefix)
        if leak is None:
            return None
        calls = tuple(row for row in self.recorded if row.record.findings)
        about = {"leak": leak.id, "stage": "due", "days": 7}
        said = {"leak": leak.id, "state": "rotating", "by": "os:ada", "known_by": "local", "until": ""}
        history = (
            Row(3, a_record(7, Kind.LEAK, id=leak.id, extra=about)),
            Row(4, a_record(8, Kind.LEAK, id=leak.id, detail="<u>soon</u>", extra=said)),
        )
        return LeakStory(leak, calls, history, self.known, self.may)

    async def settle_leak(self, leak: Leak, word: LeakWord, voter: Voter) -> Leak:
        self.done.append(("leak", leak.id, word, voter.by, voter.proof))
        until = None if word.lasts is None else self.clock.now() + word.lasts
        self.leaked[leak.id] = replace(leak, state=BECOMES[word.choice], until=until, by=voter.by)
        return self.leaked[leak.id]

    async def policy(self) -> PolicyRow:
        file = FileRow("files.toml", "o@example.com", "t@example.com", "files", "2026-01-01", True, "", 3, 4)
        accepted = {"accepted_by": "os:ada", "accepted_at": "2026-11-22T12:00:00.000000Z", "accepted_how": "at start"}
        return PolicyRow("ab" * 32, accepted, (file,), (("warning", "files.toml:1: old"),), HELD)

    async def told(self, days: int) -> Told:
        hours = hours_back(self.clock.now(), days)
        counts = Counts(hours, {"read": (*[0] * (len(hours) - 1), 5), "allow": (*[0] * (len(hours) - 1), 5)})
        spared = {"files.writes": (Proposal("rule", "files", "write_file", '[[rule]]\nid = "<b>"', 19, 21),)}
        return Told(days, figures(self.rows.values()), tuple(self.rows.values()), counts, counts, spared)

    def now(self) -> datetime:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def longest_grant(self) -> int:
        return 480

    def a_grant(self, id: str = "g_0000000001") -> Grant:
        """A grant that stands."""
        from gateway.core.approval import Chosen
        from gateway.core.grants import give

        grant = give(self.rows[FIRST], Chosen(Choice.PATTERN), self.voter("os:ada"), id, self.clock.now())
        self.given.append(grant)
        return grant

    def a_leak(self, days: float = 0, state: LeakState = LeakState.OPEN, **more: Any) -> Leak:
        """A leak that is known."""
        leak = a_leak(days, state, **more)
        self.leaked[leak.id] = leak
        return leak

    def a_call_on_record(self) -> None:
        """A call that ended, with a finding."""
        finding = Finding("github", "content[0].text", MARK)
        self.recorded += [
            Row(2, a_record(1, Kind.OUTCOME, outcome="ok", release="redacted", findings=(finding,))),
            Row(1, a_record(1, Kind.INTENT, arguments={"path": "<i>a</i>"})),
        ]


class Tab:
    """A page of the console in some browser: its cookies, the key that its tab holds, and where it stands."""

    def __init__(self, http: httpx2.AsyncClient, origin: str = HERE) -> None:
        self.http, self.origin, self.key = http, origin, ""

    def headers(self, **more: str) -> dict[str, str]:
        """What the page's own script sends."""
        return {"origin": self.origin, **({"x-wardgate-key": self.key} if self.key else {}), **more}

    async def sign_in(self, link: str) -> httpx2.Response:
        """Use a link's secret."""
        answer = await self.http.post("/do/sign-in", json={"link": link}, headers=self.headers())
        if answer.status_code == 200:
            self.key = answer.json()["key"]
        return answer

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """Ask for a page's data."""
        return await self.http.get(path, headers=self.headers(**headers))

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Do something."""
        return await self.http.post(path, json=body if body is not None else {}, headers=self.headers(**headers))

    async def answer(self, row: Approval, **body: Any) -> httpx2.Response:
        """Answer a card of which the digest was shown."""
        return await self.post(f"/do/approvals/{row.id}", {"digest": row.arguments_digest, **body})


@dataclass
class Room:
    """A console, and all around it."""

    clock: FakeClock
    gate: FakeGate
    signins: SignIns
    console: Console
    door: Door

    def browser(self, address: str = HERE) -> httpx2.AsyncClient:
        """A browser with cookies of its own."""
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.door), base_url=address)

    def link(self, name: str = "os:ada") -> str:
        """The secret of a link, as `wardgate console` prints it."""
        return self.signins.link(name)

    def read(self) -> None:
        """Let the time pass that a card needs to be seen at all."""
        self.clock.advance(ARMED_AFTER)


@asynccontextmanager
async def a_room(proofs: Any = None) -> AsyncIterator[Room]:
    """A console with nobody in it."""
    clock = FakeClock()
    gate, signins = FakeGate(clock), SignIns(clock.monotonic)
    console = Console(gate, signins, LOOKS, proofs)
    settings = DoorSettings(names_of("127.0.0.1", PORT), frozenset({"files"}), max_body=1 << 20)
    with anyio.fail_after(DEADLINE):
        yield Room(clock, gate, signins, console, Door(_behind, _admit, settings, console))


@asynccontextmanager
async def signed_in(proofs: Any = None) -> AsyncIterator[tuple[Room, Tab]]:
    """A console, and a tab that is signed in as `os:ada`."""
    async with a_room(proofs) as room, room.browser() as http:
        tab = Tab(http)
        assert (await tab.sign_in(room.link())).status_code == 200
        yield room, tab


async def _admit(token: str, only: str) -> Peer | Denied:
    """Every token is good, for programs."""
    from gateway.core.model import Principal

    return Peer(Principal(f"client:{token}", "token"), token, f"client:{token}/x", "http") if token else NO_TOKEN


async def _behind(scope: Any, receive: Any, send: Any) -> None:
    """What programs reach by a good token."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"for programs"})
