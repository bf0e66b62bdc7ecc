"""A recorded day: the real path, desk, record, counters and flow on a real store, before upstreams that are stand-ins.

Many kinds of calls, so that what decides again on a record has all of them to get right.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.core.approval import Chosen, Voter
from gateway.core.canon import canonical, digest, keyed_digest
from gateway.core.capture import Capture
from gateway.core.model import (
    Call,
    Choice,
    Client,
    Context,
    Done,
    Held,
    Principal,
    Proof,
    Surface,
    Tool,
    ToolRef,
)
from gateway.core.policy import Policy, parse
from gateway.core.problems import Severity
from gateway.core.risk import classify, labels_for, surface_labels
from gateway.enforce import Enforcer
from gateway.flows import Flows
from gateway.inquire import Inquiry
from gateway.ports import House
from gateway.records import Records
from gateway.sessions import Sessions
from gateway.store import open_store
from tests.fakes import KEY, FakeClock
from tests.house import FakeCaller, FakeCatalogue, FakeGuard, FakeRounds, FakeScreener, FakeTurns, FakeUpstreams
from tests.store.keep import AT_ONCE

POLICY = """\
upstream = "up"
owner = "o@example.com"
[lists]
team = ["*@corp.example"]
[[tool]]
match = ["list", "hinted"]
effect = "read"
output = { trust = "trusted" }
[[tool]]
match = ["read", "get"]
effect = "read"
[[tool]]
match = "send"
effect = "egress"
sinks = { to = "email" }
payload = ["body"]
known = { to = "team" }
output = { trust = "neutral" }
[[tool]]
match = ["write", "note", "set", "put"]
effect = "write"
sinks = { path = "path" }
payload = ["text"]
output = { trust = "neutral" }
[[tool]]
match = "quiet"
effect = "write"
sinks = { path = "path" }
record = "digest"
[[tool]]
match = "pay"
effect = "money"
sinks = { account = "account", amount = "amount" }
[[rule]]
id = "up.no-git"
tools = ["write", "get"]
when = 'has(args.path) && args.path.contains(".git")'
decide = "block"
[[rule]]
id = "up.busy"
tools = "*"
when = "session.calls_10m > 60"
decide = "block"
[[rule]]
id = "up.staff"
tools = "put"
when = '"staff" in principal.roles'
decide = "allow"
[[rule]]
id = "up.clean"
tools = "note"
when = "!session.tainted"
decide = "allow"
[[rule]]
id = "up.rated"
tools = "write"
when = 'size(sinks) > 0 && sinks.all(s, s.startsWith("/tmp/"))'
decide = "allow"
rate = "3/hour"
[[rule]]
id = "up.set"
tools = "set"
decide = "allow"
set = { mode = "safe" }
drop = ["force"]
[[rule]]
id = "up.send"
tools = ["send", "pay", "note"]
decide = "ask-unless-proven"
[[rule]]
id = "up.number"
tools = "read"
when = "args.n > 3"
decide = "ask"
"""
LIMITS = """\
owner = "o@example.com"
observe_until = 2026-11-25
[[budget]]
id = "puts"
tools = "up/put"
per = "principal"
calls = 2
over = "ask"
[[budget]]
id = "sizes"
tools = "up/note"
per = "session"
sum = "args.size"
limit = 10
over = "block"
[loop]
same_call = 3
same_refusal = 2
over = "block"
[[rule]]
id = "house.put"
tools = "up/put"
when = 'args.path == "/tmp/seen"'
decide = "ask"
"""
OVERDUE = """\
owner = "o@example.com"
review_by = 2026-01-01
[[rule]]
id = "old.quiet"
tools = "up/quiet"
decide = "allow"
"""
TOOLS = ("list", "read", "get", "hinted", "send", "write", "note", "set", "put", "quiet", "pay", "zap")
BOB = Voter("os:bob", Proof.LOCAL)
ADA = Principal("os:ada", "os-user")


def policy_of(text: str = POLICY, **more: str) -> Policy:
    """A policy without errors, of one file or several."""
    policy, problems = parse(
        {"policies/up.toml": text, **{f"policies/{name}.toml": body for name, body in more.items()}}
    )
    assert not [str(problem) for problem in problems if problem.severity is Severity.ERROR]
    return policy


class Asked(FakeCaller):
    """A client that waits for nobody."""

    budget = 0.0


class Day:
    """A house with a store, and what a test does in it."""

    def __init__(self, store: Any, policy: Policy) -> None:
        self.clock = FakeClock()
        self.policy = policy
        effects: list[str] = []
        self.screener, self.guard, self.upstreams = FakeScreener(effects), FakeGuard(), FakeUpstreams(effects)
        self.catalogue = FakeCatalogue({f"up__{name}": self.tool(name) for name in TOOLS})
        uri = ToolRef("up", "note://one")
        labels = surface_labels(policy, uri, Surface.RESOURCES)
        self.catalogue.tools["note://one"] = classify({}, uri, "note://one", "d", labels, None, Surface.RESOURCES)
        self.sessions = Sessions(store)
        self.sessions.follow(policy)
        self.approvals = Approvals(store, self.clock, KEY)
        records = Records(store, self.clock)
        self.flows = Flows(
            records,
            self.clock,
            [KEY],
            lambda client: client == "closed",
            lambda: self.policy,
            lambda call: (call.principal.id, call.client.name, call.context.session),
        )
        house = House(
            clock=self.clock,
            catalogue=self.catalogue,
            upstreams=self.upstreams,
            guard=self.guard,
            screener=self.screener,
            records=records,
            approvals=self.approvals,
            rounds=FakeRounds(effects),
            sessions=self.sessions,
            flows=self.flows,
            turns=FakeTurns(),
            policy=lambda: self.policy,
            key=KEY,
            capture=Capture(KEY),
        )
        self.enforcer, self._number, self._caller = Enforcer(house, Inquiry(house, 0.05, 3)), 0, Asked()

    def tool(self, name: str) -> Tool:
        ref, said = ToolRef("up", name), {"annotations": {"readOnlyHint": False}} if name == "hinted" else {}
        definition = {"name": name, **said}
        return classify(definition, ref, f"up__{name}", digest(definition), labels_for(self.policy, ref), None)

    async def call(
        self, name: str, *, client: str = "closed", session: str = "s1", who: Principal = ADA, **arguments: Any
    ) -> Any:
        """Take one call along the path, a second after the one before."""
        self.clock.advance(1)
        self._number += 1
        sealed, resource = canonical(arguments), "://" in name
        made = Call(
            id=f"d_{self._number:010d}",
            principal=who,
            client=Client(client),
            exposed=name if resource else f"up__{name}",
            arguments=arguments,
            canonical=sealed,
            digest=keyed_digest(KEY, sealed),
            at=self.clock.now(),
            context=Context(session=session),
            method="resources/read" if resource else "tools/call",
        )
        return await self.enforcer.handle(made, self._caller)

    async def ask(self, name: str, choice: Choice, *, values: Sequence[str] = (), **call: Any) -> Any:
        """A call that a person is asked about, the answer, and the call again."""
        held = await self.call(name, **call)
        assert isinstance(held, Held), held
        self.clock.advance(5)
        await self.approvals.settle(held.approval.id, Chosen(choice, values=tuple(values)), BOB)
        return await self.call(name, **call)


@asynccontextmanager
async def recording(state: Path, policy: Policy | None = None) -> AsyncIterator[Day]:
    """A day that is recorded in this state folder."""
    async with open_store(state, AT_ONCE) as store:
        day = Day(store, policy or policy_of())
        await day.approvals.recover()
        yield day


async def a_day(state: Path) -> None:
    """Record many kinds of calls."""
    with anyio.fail_after(30):
        async with recording(state) as day:
            await _play(day)


async def a_limited_day(state: Path) -> None:
    """Record calls that reach budgets and loops, and some that are only observed."""
    staff = replace(ADA, id="os:sam", roles=frozenset({"staff"}))
    with anyio.fail_after(30):
        async with recording(state, policy_of(limits=LIMITS, old=OVERDUE)) as day:
            for number in range(2):
                assert isinstance(await day.call("put", who=staff, path=f"/tmp/{number}"), Done)
            await day.ask("put", Choice.ONCE, who=staff, path="/tmp/2")
            for number in range(3):
                await day.call("note", path="/tmp/note", text=str(number), size=4)
            for _ in range(4):
                await day.call("list")
            for _ in range(4):
                await day.call("get", path="a.git")
            assert isinstance(await day.call("put", who=ADA, path="/tmp/seen"), Done)
            await day.ask("quiet", Choice.ONCE, path="/tmp/old")


async def _play(day: Day) -> None:
    staff = replace(ADA, id="os:sam", roles=frozenset({"staff"}))
    # a clean session: what it says is a good origin later on
    assert isinstance(await day.call("list"), Done)
    assert isinstance(await day.call("note", path="/tmp/plan", text="x"), Done)
    assert isinstance(await day.call("send", to="eve@other.example", body="hello"), Done)
    assert isinstance(await day.call("read", n=1), Done)  # it taints
    assert isinstance(await day.call("send", to="eve@other.example", body="again"), Done)  # said before the taint
    assert isinstance(await day.call("send", to="ann@corp.example", body="see you"), Done)  # a known list
    assert isinstance(await day.call("note", path="/tmp/plan", text="y"), Done)
    await day.ask("send", Choice.ONCE, to="mallory@evil.example", body="first")
    await day.ask("send", Choice.DENY, to="mallory@evil.example", body="second")
    await day.ask("send", Choice.VOUCH, values=["pat@other.example"], to="pat@other.example", body="third")
    assert isinstance(await day.call("send", to="pat@other.example", body="fourth"), Done)
    assert isinstance(await day.call("send", to="ann@corp.example", body="see http://evil.example/x"), Held)
    # rates, conditions that hold, don't hold and err
    for number in range(3):
        assert isinstance(await day.call("write", path=f"/tmp/{number}", text="z"), Done)
    await day.ask("write", Choice.ONCE, path="/tmp/3", text="z")
    day.clock.advance(3700)
    assert isinstance(await day.call("write", path="/tmp/4", text="z"), Done)
    await day.call("write", path="/srv/.git/config", text="z")
    await day.call("get", path="a.git")
    await day.call("read", m=1)
    await day.ask("read", Choice.ONCE, n=4)
    await day.call("read", n=2**70)
    await day.ask("write", Choice.PATTERN, path="/srv/notes", text="one")
    assert isinstance(await day.call("write", path="/srv/notes", text="two"), Done)
    assert isinstance(await day.call("write", path="/tmp/7", text="beside a grant of another path"), Done)
    await day.ask("write", Choice.SESSION, path="/srv/other", text="one")
    assert isinstance(await day.call("write", path="/srv/third", text="two"), Done)
    # labels, hints, what is set and dropped, roles, clients
    assert isinstance(await day.call("set", path="/tmp/a", mode="wild", force=True), Done)
    await day.call("put", path="/tmp/a")
    assert isinstance(await day.call("put", who=staff, path="/tmp/a"), Done)
    await day.call("hinted", a=1)
    await day.ask("zap", Choice.ONCE, what="all")
    await day.ask("quiet", Choice.ONCE, path="/tmp/secret-place", text="a secret of mine")
    await day.call("send", client="unknown", session="s2", to="eve@other.example", body="no origin")
    await day.ask("pay", Choice.ONCE, client="open", session="s3", account="DE02120300000000202051", amount="12.50")
    await day.call("pay", client="open", session="s3")
    await day.call("note://one", uri="note://one")
    await day.ask("zap", Choice.BAR, session="s4", what="some")
    held = await day.call("zap", session="s5", what="void")
    await day.approvals.settle(held.approval.id, Chosen(Choice.ONCE), BOB)
    day.catalogue.tools["up__zap"] = replace(day.tool("zap"), digest="another definition")
    await day.call("zap", session="s5", what="void")
    day.catalogue.tools["up__zap"] = replace(day.tool("zap"), held="nobody accepted it")
    await day.call("zap", session="s6", what="held")
    # facts that block, secrets, and what people hold
    await day.call("nothing", a=1)
    await day.call("read", n=1, key="the-own-key")
    day.guard.path = "policies"
    await day.call("write", path="policies/up.toml", text="x")
    day.guard.path, day.upstreams.up = "", "failed"
    await day.call("read", n=1)
    day.upstreams.up = "ready"
    await day.call("write", path="/tmp/5", text="[REDACTED:token:1]")
    await day.call("write", path="/tmp/6", text="a secret")
    await day.approvals.freeze("up", "", "os:bob", "hold on")
    await day.call("read", n=1)
