"""Rates, budgets and loops on the path of a call: nobody takes what is there once twice, whatever runs beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.capture import Capture
from gateway.core.decide import counted as counted_of
from gateway.core.limits import Counted
from gateway.core.model import (
    ELICIT,
    ApprovalState,
    Asked,
    Asking,
    Context,
    Done,
    Question,
    Reason,
    Refused,
    Resume,
    Spend,
    Verdict,
)
from gateway.core.policy import Limits
from gateway.enforce import Enforcer
from gateway.inquire import Inquiry
from gateway.records import Records
from gateway.sessions import Sessions
from gateway.store import Store
from tests.house import POLICY, START, FakeClock, Model, a_call, policy_of
from tests.store.memory import Memory, open_memory

UNIT = 1_000_000
READS = '[[budget]]\nid = "reads"\ntools = "read"\nper = "session"\ncalls = 2\n'
SETS = '[[budget]]\nid = "sets"\ntools = "set"\nper = "day"\ncalls = 2\nover = "block"\n'
RATED = POLICY.replace('drop = ["bcc"]', 'drop = ["bcc"]\nrate = "2/hour"')
ASKS = {
    "mode": "form",
    "message": "which?",
    "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
}
SCOPE = "session\n6 os:ada\n11 claude-code\n3 s_1"


def model(text: str = POLICY + READS) -> Model:
    return Model(policy_of(text))


class Living(Model):
    """A house whose record and counters are real, on a store that may outlast it."""

    def __init__(self, store: Store, text: str) -> None:
        super().__init__(policy_of(text))
        self.real = Sessions(store)
        self.real.follow(self.policy)
        records = Records(store, FakeClock())  # type: ignore[arg-type]  # nothing sleeps on it here
        house = self.house._replace(sessions=self.real, records=records, capture=Capture(self.house.key))
        self.enforcer = Enforcer(house, Inquiry(house, patience=0.05, most_rounds=3))

    async def together(self, name: str, count: int, **arguments: Any) -> list[str]:
        """How so many calls end that come at once: `done`, or the reason of a refusal."""
        ended: list[str] = []

        async def one(number: int) -> None:
            call = replace(a_call(name, {"n": number, **arguments}), id=f"d_{number:010d}")
            answer = await self.enforcer.handle(call, self.caller)
            ended.append("done" if isinstance(answer, Done) else answer.reason.value)

        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(one, number)
        return sorted(ended)


def limits_of(house: Model, name: str = "set") -> Limits:
    """What is counted of a tool's calls."""
    return counted_of(a_call(name), house.tool(name), house.policy)


@asynccontextmanager
async def living(text: str, memory: Memory | None = None) -> AsyncIterator[Living]:
    async with open_memory(memory or Memory(), 1_000) as store:
        house = Living(store, text)
        await house.real.load()
        yield house


async def test_a_read_with_a_budget_is_on_the_disk_before_it_is_sent() -> None:
    house = model()
    assert isinstance(await house.call("read", path="x"), Done)
    assert house.effects == ["append intent", "forward", "screen", "queue outcome"]
    assert house.records.spent == [Spend("reads", SCOPE, UNIT, 2 * UNIT)]
    assert house.records.rows[0].arguments == {"path": "x"}


async def test_a_read_without_one_is_not_slowed() -> None:
    house = model(POLICY + SETS)
    await house.call("read", path="x")
    assert house.effects == ["queue intent", "forward", "screen", "queue outcome"]


async def test_what_a_budget_holds_stands_in_the_facts_and_it_asks_once_it_is_used_up() -> None:
    house = model()
    house.sessions.counts = Counted({}, {"reads": 2 * UNIT}, 7, 1)
    assert isinstance(await house.call("read", path="x"), Done)
    intent = house.records.rows[0]
    assert "obtain" in house.effects
    assert (intent.reason, intent.approval) == ("approved", "a_0000000001")
    assert {name: intent.facts[name] for name in ("spent", "repeated", "refused")} == {
        "spent": {"reads": 2 * UNIT},
        "repeated": 7,
        "refused": 1,
    }
    assert house.records.spent[0].most > 2 * UNIT  # it is counted, beyond what there is


async def test_what_others_took_meanwhile_is_decided_on() -> None:
    house = model()
    house.sessions.counts, gone = Counted(), Counted({}, {"reads": 2 * UNIT})
    house.sessions.changes = [gone, gone, gone, gone]
    await house.call("read", path="my secret")
    assert house.effects[0] == "obtain"
    assert house.approvals.given is not None
    assert house.approvals.given.reason is Reason.BUDGET_EXCEEDED
    assert house.approvals.given.arguments == {"path": "my [R]"}


async def test_what_others_took_meanwhile_blocks_where_the_budget_says_so() -> None:
    house = model(POLICY + SETS)
    house.sessions.changes = [Counted(), gone := Counted({}, {"sets": 2 * UNIT}), gone, gone, gone]
    answer = await house.call("set")
    assert (answer.verdict, answer.reason) == (Verdict.BLOCK, Reason.BUDGET_EXCEEDED)
    assert house.upstreams.sent == []


async def test_a_count_that_changed_and_still_suffices_changes_nothing() -> None:
    house = model()
    house.sessions.changes = [some := Counted({}, {"reads": UNIT}), some, some]
    assert isinstance(await house.call("read", path="x"), Done)
    assert "obtain" not in house.effects
    assert house.records.rows[0].facts["spent"] == {"reads": UNIT}


async def test_a_read_that_went_on_in_haste_is_weighed_anew_where_a_policy_with_a_budget_came_meanwhile() -> None:
    house = model(RATED.replace('tools = "set"', 'tools = ["set", "read"]').replace('set = { priority = "low" }', ""))
    budgeted = policy_of(POLICY + READS)

    def swap(call: Any, tool: Any, limits: Any, now: Any) -> Counted:
        asked.append(limits)
        if len(asked) == 2:
            house.policy = budgeted
        return Counted() if len(asked) == 1 else Counted({}, {"reads": UNIT})

    asked: list[Any] = []
    house.sessions.counted = swap  # type: ignore[method-assign]  # a reload, between decision and intent
    assert isinstance(await house.call("read", path="x"), Done)
    assert house.effects[0] == "append intent"
    assert house.records.rows[0].arguments == {"path": "x"}


async def test_an_intent_that_the_store_refuses_is_given_back_and_not_sent() -> None:
    house = model()
    house.records.left, house.sessions.exceeded = False, True
    answer = await house.call("read", path="x")
    assert answer.reason is Reason.BUDGET_EXCEEDED
    assert house.upstreams.sent == []
    assert house.sessions.given_back == [Spend("reads", SCOPE, UNIT, 2 * UNIT)]
    assert house.records.outcomes() == [("blocked", "budget-exceeded")]


async def test_a_call_that_is_held_meanwhile_gives_back_what_it_did_not_spend() -> None:
    house = model()
    house.approvals.settle = None
    kept = house.approvals.standing
    calls = iter([kept(None, None), replace(kept(None, None), frozen="by os:ada")])
    house.approvals.standing = lambda call, tool: next(calls, replace(kept(None, None), frozen="by os:ada"))  # type: ignore[method-assign]  # somebody freezes it
    answer = await house.call("read", path="x")
    assert answer.reason is Reason.FROZEN
    assert [one.budget for one in house.sessions.given_back] == ["reads"]


@pytest.mark.parametrize(
    ("tool", "arguments", "state", "counted"),
    [
        ("read", {"bad": 1}, "ready", 1),
        ("read", {"path": "x"}, "ready", 0),
        ("write", {"path": "x"}, "ready", 1),
        ("read", {"path": "x"}, "failed", 0),
        ("nothing", {"path": "x"}, "ready", 0),
    ],
    ids=["by a rule", "not at all", "by a person", "its upstream is down", "no such tool"],
)
async def test_what_policy_or_a_person_refused_is_counted(
    tool: str, arguments: dict[str, Any], state: str, counted: int
) -> None:
    house = model()
    house.approvals.settle, house.upstreams.up = ApprovalState.DENIED, state
    await house.call(tool, **arguments)
    assert len(house.sessions.denied) == counted


async def test_two_calls_never_take_the_last_unit() -> None:
    async with living(POLICY + SETS) as house:
        assert await house.together("set", 9) == ["budget-exceeded"] * 7 + ["done"] * 2
        assert len(house.upstreams.sent) == 2


async def test_calls_at_once_never_exceed_a_rate_and_are_asked_about() -> None:
    async with living(RATED) as house:
        house.approvals.settle = None
        ended: list[Any] = []

        async def one(number: int) -> None:
            ended.append(await house.enforcer.handle(replace(a_call("set", {"n": number})), house.caller))

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(one, number)
        assert sum(isinstance(each, Done) for each in ended) == 2
        assert house.effects.count("obtain") == 4


async def test_a_restart_and_a_second_gateway_take_no_more_than_is_left() -> None:
    memory = Memory()
    async with living(POLICY + SETS, memory) as house:
        assert await house.together("set", 1) == ["done"]
    async with living(POLICY + SETS, memory) as house:  # it knows of the one that was taken
        assert await house.together("set", 2) == ["budget-exceeded", "done"]


async def test_a_gateway_that_was_not_told_learns_it_from_the_store() -> None:
    async with open_memory(Memory(), 1_000) as store:
        one, other = Living(store, POLICY + SETS), Living(store, POLICY + SETS)
        assert await one.together("set", 2) == ["done", "done"]
        assert await other.together("set", 1) == ["budget-exceeded"]
        assert other.upstreams.sent == []
        told = other.real.counted(a_call("set"), other.tool("set"), limits_of(other), START)
        assert told.spent == {"sets": 2 * UNIT}


async def test_the_same_call_in_a_loop_is_stopped_also_where_it_comes_at_once() -> None:
    async with living(POLICY + '[loop]\nsame_call = 3\nover = "block"\n') as house:
        answers = [await house.call("read", path="x") for _ in range(5)]
        assert [isinstance(answer, Done) for answer in answers] == [True] * 3 + [False] * 2
        assert {answer.reason for answer in answers[3:]} == {Reason.LOOP}
        assert isinstance(await house.call("read", path="y"), Done)


async def test_what_was_refused_again_and_again_is_not_asked_about_any_more() -> None:
    async with living(POLICY + '[loop]\nsame_refusal = 2\nover = "block"\n') as house:
        house.approvals.settle = ApprovalState.DENIED
        reasons = [(await house.call("write", path="x")).reason for _ in range(4)]
        assert reasons == [Reason.APPROVAL_DENIED] * 2 + [Reason.LOOP] * 2
        assert house.effects.count("obtain") == 2


async def test_a_record_that_fails_sends_nothing_and_keeps_what_was_taken() -> None:
    memory = Memory()
    async with living(POLICY + SETS, memory) as house:
        memory.failing = "no disk"
        answer = await house.call("set")
        assert isinstance(answer, Refused)
        assert answer.reason is Reason.RECORD_FAILED
        assert house.upstreams.sent == []
        memory.failing = ""


async def test_a_call_that_its_upstream_asked_something_takes_one_unit_and_counts_once() -> None:
    async with living(POLICY + READS.replace("calls = 2", 'calls = 1\nover = "block"')) as house:
        house.caller.modern = True
        house.upstreams.may_elicit = "form"
        house.upstreams.asks = [Asked((Question("q1", ELICIT, ASKS),), "state")]
        context = Context("s_1", capabilities={"elicitation": {"form": {}}})
        call = replace(a_call("read", {"path": "x"}), context=context)
        assert isinstance(await house.enforcer.handle(call, house.caller), Asking)
        resume = Resume("r_1", answers={"q1": {"action": "accept", "content": {"name": "x"}}})
        assert isinstance(await house.enforcer.handle(replace(call, resume=resume), house.caller), Done)
        counted = house.real.counted(call, house.tool("read"), limits_of(house, "read"), START)
        assert counted.spent == {"reads": UNIT}
        again = await house.enforcer.handle(call, house.caller)
        assert isinstance(again, Refused)
        assert again.reason is Reason.BUDGET_EXCEEDED
