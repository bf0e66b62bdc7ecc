"""Laws of the flow, for any order of what may happen: taint never shrinks, and no way round makes an origin better."""

from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.model import Effect, Trust
from gateway.flows import Flows
from gateway.records import Records
from tests.core.test_flow import SPELLINGS
from tests.fakes import KEY, FakeClock
from tests.store.memory import Memory, open_memory
from tests.test_flows import CLOSED, EVE, OPEN, POLICY, SEND, STORE, USER, call_of, place, text, tool

TOOLS = {trust: tool(trust=trust, name=trust.value) for trust in Trust}
NAMES = ("s_1", "s_2", f"{USER}/{CLOSED}/a", f"{USER}/{CLOSED}/b")

# What an agent that is hijacked can do, with a value of the attacker's in any spelling: read, search for it, name
# an argument so, write it down, connect anew; and what else may happen: another client works, time passes, the gateway
# starts anew.
spelled = st.sampled_from(sorted(SPELLINGS)).map(lambda name: SPELLINGS[name](EVE)) | st.just(EVE)
steps = st.one_of(
    st.tuples(st.just("read"), st.sampled_from(list(Trust)), spelled),
    st.tuples(st.just("echo"), st.sampled_from([Trust.TRUSTED, Trust.NEUTRAL]), spelled),
    st.tuples(st.just("name"), st.sampled_from([Trust.TRUSTED, Trust.NEUTRAL]), spelled),
    st.tuples(st.just("write"), st.just(Trust.NEUTRAL), spelled),
    st.tuples(st.just("connect"), st.just(Trust.NEUTRAL), st.sampled_from(NAMES)),
    st.tuples(st.just("other"), st.just(Trust.TRUSTED), spelled),
    st.tuples(st.just("wait"), st.just(Trust.NEUTRAL), st.just("an hour")),
    st.tuples(st.just("restart"), st.just(Trust.NEUTRAL), st.just("")),
)


class Play:
    """One gateway, and what an agent does."""

    def __init__(self, store: Any) -> None:
        self.store, self.clock, self.session = store, FakeClock(), "s_1"
        self.flows = self.start()

    def start(self) -> Flows:
        return Flows(Records(self.store, self.clock), self.clock, [KEY], CLOSED.__eq__, lambda: POLICY, place)

    def tainted(self) -> dict[str, bool]:
        return {name: self.flows.look(call_of(session=name), None).tainted for name in NAMES}

    async def step(self, what: str, trust: Trust, said: str) -> None:
        call = call_of(session=self.session)
        if what == "connect":
            self.session = said
        elif what == "wait":
            self.clock.advance(3600)
        elif what == "restart":
            self.flows = self.start()
            await self.flows.load(self.store)
        elif what == "other":
            await self.flows.delivered(call_of(OPEN, session="s_9"), TOOLS[trust], text(said))
        elif what == "read" and trust is Trust.UNTRUSTED:
            await self.flows.delivered(call, TOOLS[trust], text(said))
        elif what == "read":
            await self.flows.delivered(call, TOOLS[trust], text("nothing of it"))
        else:
            asked = {"echo": {"q": said}, "name": {said: True}, "write": {"path": said}}[what]
            call, of = call_of(session=self.session, **asked), STORE if what == "write" else TOOLS[trust]
            self.flows.sends(call, of)
            await self.flows.delivered(call, of, text(f"no result for {said}, none for {EVE}"))


def play(steps: list[tuple[str, Trust, str]], *, begin: bool) -> Play:
    """Play the steps, holding taint to its law at each."""
    plays: list[Play] = []

    async def run() -> None:
        async with open_memory(Memory(), 1_000) as store:
            played = Play(store)
            plays.append(played)
            if begin:
                for name in NAMES:
                    await played.flows.delivered(call_of(session=name), TOOLS[Trust.UNTRUSTED], text("hello"))
            before = played.tainted()
            for step in steps:
                await played.step(*step)
                now = played.tainted()
                assert all(now[name] for name, tainted in before.items() if tainted), (step, before, now)
                before = now

    anyio.run(run)
    return plays[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=12))
def test_taint_never_shrinks(taken: list[tuple[str, Trust, str]]) -> None:
    play(taken, begin=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=12))
def test_in_a_tainted_session_an_attackers_value_gets_no_origin(taken: list[tuple[str, Trust, str]]) -> None:
    played = play(taken, begin=True)
    for name in NAMES:
        for effect in (SEND, tool(Effect.WRITE, sinks=None)):
            values = played.flows.look(call_of(session=name, to=EVE), effect).values
            assert values is not None
            assert [value.origins for value in values] == [frozenset()]
