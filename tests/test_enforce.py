"""The path of one call: the ordered effects of each way through it, and that nothing is forwarded on any way that
fails.
"""

from collections.abc import Sequence

import anyio
import pytest
from msgspec.structs import replace

from gateway.core.account import Trail
from gateway.core.canon import canonical, keyed_digest
from gateway.core.capture import Capture
from gateway.core.model import (
    Act,
    Approval,
    ApprovalState,
    Done,
    Failure,
    Finding,
    Grade,
    Held,
    Kind,
    Lost,
    Reason,
    Refused,
    Release,
    Result,
    Resume,
    Screened,
    Unsent,
    Verdict,
    Vote,
)
from gateway.ending import Endings
from gateway.errors import BusyError, RecordError
from tests.house import KEY, POLICY, Model, a_call, found, policy_of

READ = ["queue intent", "forward", "screen", "queue outcome"]
ASKED = ["obtain", "append intent", "forward", "screen", "append outcome"]


async def test_a_read_flows_with_queued_records() -> None:
    house = Model()
    answer = await house.call("read", path="x")
    assert answer == Done({"content": [{"type": "text", "text": "fine"}]})
    assert house.effects == READ
    assert house.records.outcomes() == [("ok", "tier-default")]
    assert house.sessions.seen == ["d_0000000001"]


async def test_a_write_asks_and_its_records_are_durable() -> None:
    house = Model()
    answer = await house.call("write", path="x")
    assert isinstance(answer, Done)
    assert house.effects == ASKED
    intent, outcome = house.records.rows
    assert (intent.kind, intent.approval, intent.reason) == (Kind.INTENT, "a_0000000001", "approved")
    assert (outcome.outcome, outcome.approval) == ("ok", "a_0000000001")
    assert intent.arguments == {"path": "x"}
    assert outcome.arguments is None
    assert len(outcome.result_digest) == 64


async def test_what_was_checked_is_what_is_sent() -> None:
    house = Model()
    await house.call("read", b=1, a=[2, None, "ü"])
    assert house.upstreams.sent == [canonical({"a": [2, None, "ü"], "b": 1})]


async def test_a_blocked_call_is_not_forwarded() -> None:
    house = Model()
    answer = await house.call("read", bad=1)
    assert isinstance(answer, Refused)
    assert (answer.verdict, answer.reason) == (Verdict.BLOCK, Reason.RULE)
    assert house.effects == ["queue outcome"]
    assert house.records.outcomes() == [("blocked", "rule")]
    assert house.records.rows[0].arguments == {"bad": 1}


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("nothing", lambda house: None, Reason.UNKNOWN_TOOL),
        ("read", lambda house: setattr(house.upstreams, "up", "failed"), Reason.UPSTREAM_DOWN),
        ("read", lambda house: setattr(house.guard, "path", "/state"), Reason.SELF_PROTECTION),
        ("nothing", lambda house: setattr(house.guard, "path", "/state"), Reason.SELF_PROTECTION),
        ("write", lambda house: setattr(house.screener, "unclean", True), Reason.SCANNER_FAILED),
        ("read", lambda house: house.screener.fail(quick=False), Reason.SCANNER_FAILED),
    ],
    ids=[
        "unknown tool",
        "upstream down",
        "own files",
        "own files through an unknown tool",
        "not screened",
        "large, not screened",
    ],
)
async def test_a_fact_that_blocks_is_recorded_and_nothing_is_forwarded(
    name: str, change: object, reason: Reason
) -> None:
    house = Model()
    change(house)  # type: ignore[operator]  # a table of lambdas
    answer = await house.call(name)
    assert isinstance(answer, Refused)
    assert answer.reason is reason
    assert house.upstreams.sent == []
    assert house.records.outcomes() == [("blocked", reason.value)]


async def test_small_arguments_of_a_read_are_redacted_for_its_record_while_it_runs() -> None:
    house = Model()
    assert isinstance(await house.call("read", path="my secret"), Done)
    intent, outcome = house.records.rows
    assert house.upstreams.sent == [b'{"path":"my secret"}']
    assert intent.arguments == {"path": "my [R]"}
    assert [finding.place for finding in intent.findings] == ["arguments.somewhere"]
    assert "arguments" in outcome.timings_us
    assert (outcome.arguments, outcome.findings) == (None, ())


async def test_a_read_that_is_refused_before_it_is_sent_has_its_arguments_on_record() -> None:
    house = Model()
    house.records.fails_at["intent"] = RecordError("no disk")
    await house.call("read", path="my secret")
    (owed,) = house.records.owed
    assert owed.arguments == {"path": "my [R]"}


async def test_small_arguments_of_a_read_that_can_not_be_screened_are_told_by_their_size() -> None:
    house = Model()
    house.screener.fail(quick=True)
    assert isinstance(await house.call("read", path="my secret"), Done)
    intent = house.records.rows[0]
    assert (intent.arguments, intent.omitted) == (None, {"arguments": len(b'{"path":"my secret"}')})
    assert intent.arguments_digest


async def test_an_error_in_a_rule_blocks() -> None:
    house = Model(policy_of(POLICY.replace("has(args.bad)", "args.missing == 1")))
    answer = await house.call("read")
    assert answer.reason is Reason.RULE_ERROR
    assert house.upstreams.sent == []


async def test_a_held_call_waits_with_no_outcome() -> None:
    house = Model()
    house.approvals.settle = None
    answer = await house.call("write")
    assert isinstance(answer, Held)
    assert house.effects == ["obtain"]
    assert house.records.rows == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ApprovalState.DENIED, "approval-denied"),
        (ApprovalState.EXPIRED, "approval-expired"),
        (ApprovalState.WITHDRAWN, "approval-denied"),
    ],
)
async def test_a_call_that_was_not_approved_is_denied(state: ApprovalState, reason: str) -> None:
    house = Model()
    house.approvals.settle, house.approvals.note = state, "ask Ada first"
    answer = await house.call("write")
    assert isinstance(answer, Refused)
    assert house.upstreams.sent == []
    assert house.records.outcomes() == [("denied", reason)]
    assert answer.approval is not None
    if state is ApprovalState.DENIED:
        assert "ask Ada first" in answer.text


async def test_a_call_is_not_sent_for_who_would_not_be_let_in_any_more() -> None:
    house = Model()
    house.caller.let_in = False
    answer = await house.call("write")
    assert isinstance(answer, Refused)
    assert house.upstreams.sent == []
    assert house.effects == ["obtain", "expire", "append outcome"]
    assert house.records.outcomes() == [("blocked", "client-gone")]


async def test_an_approval_is_used_once() -> None:
    house = Model()
    house.records.usable.clear()
    answer = await house.call("write")
    assert answer.reason is Reason.APPROVAL_USED
    assert house.upstreams.sent == []
    assert house.records.outcomes() == [("blocked", "approval-used")]


async def test_an_approval_is_void_when_the_definition_changed_meanwhile() -> None:
    house = Model()

    def change() -> None:
        house.catalogue.tools["up__write"] = house.tool("write", description="now something else")

    house.approvals.on_obtain = change
    answer = await house.call("write")
    assert answer.reason is Reason.APPROVAL_VOID
    assert house.effects == ["obtain", "expire", "append outcome"]


async def test_an_approval_is_void_when_the_tool_is_gone_meanwhile() -> None:
    house = Model()
    house.approvals.on_obtain = house.catalogue.tools.clear
    answer = await house.call("write")
    assert answer.reason is Reason.UNKNOWN_TOOL
    assert house.upstreams.sent == []


async def test_an_approval_is_void_when_policy_asks_for_more_meanwhile() -> None:
    house = Model()
    stricter = POLICY + '[[rule]]\nid = "up.two"\ntools = "write"\ndecide = "ask"\napprove = { approvers = 2 }\n'

    def change() -> None:
        house.policy = policy_of(stricter)

    house.approvals.on_obtain = change
    answer = await house.call("write")
    assert answer.reason is Reason.APPROVAL_VOID
    assert house.upstreams.sent == []


async def test_a_second_round_with_a_handle_goes_on_as_the_first_call() -> None:
    house = Model()
    house.approvals.settle = None
    held = await house.call("write")
    house.approvals.settle = ApprovalState.APPROVED
    house.approvals.resumable = ("d_first", held.approval)
    answer = await house.call("write", Resume("handle", Vote.APPROVE))
    assert isinstance(answer, Done)
    assert house.effects == ["obtain", "resume", *ASKED]
    assert {row.id for row in house.records.rows} == {"d_first"}


async def test_a_forged_handle_is_refused_even_where_the_call_would_be_allowed() -> None:
    house = Model()
    for name in ("write", "read"):
        answer = await house.call(name, Resume("forged", Vote.APPROVE))
        assert answer.reason is Reason.HANDLE_INVALID
    assert house.upstreams.sent == []


async def test_policy_sets_and_drops_arguments_and_the_model_is_told() -> None:
    house = Model()
    answer = await house.call("set", to="x", bcc="y")
    assert house.upstreams.sent == [canonical({"priority": "low", "to": "x"})]
    assert "priority" in answer.value["content"][-1]["text"]
    assert house.records.rows[0].arguments == {"priority": "low", "to": "x"}


async def test_a_policy_that_never_stops_changing_a_call_blocks_it() -> None:
    spin = """\
[[rule]]
id = "up.one"
tools = "spin"
when = '!has(args.n)'
decide = "allow"
set = { n = 1 }
[[rule]]
id = "up.two"
tools = "spin"
decide = "allow"
set = { n = 2 }
"""
    house = Model(policy_of(POLICY + spin))
    answer = await house.call("spin")
    assert answer.reason is Reason.OBLIGATION_UNMET
    assert house.upstreams.sent == []


async def test_a_change_that_makes_the_call_blocked_blocks_it() -> None:
    rules = """\
[[rule]]
id = "up.one"
tools = "spin"
when = '!has(args.n)'
decide = "allow"
set = { n = 1 }
[[rule]]
id = "up.two"
tools = "spin"
when = 'has(args.n)'
decide = "block"
"""
    answer = await Model(policy_of(POLICY + rules)).call("spin")
    assert answer.reason is Reason.RULE


async def test_a_record_by_digest_holds_no_arguments() -> None:
    house = Model()
    await house.call("quiet", path="x")
    assert [row.arguments for row in house.records.rows] == [None, None]
    assert all(row.arguments_digest for row in house.records.rows)


async def test_no_record_no_call() -> None:
    for name, problem, reason in (
        ("write", RecordError("full"), Reason.RECORD_FAILED),
        ("read", RecordError("broken"), Reason.RECORD_FAILED),
        ("read", BusyError("full"), Reason.BUSY),
    ):
        house = Model()
        house.records.fails_at = {"intent": problem}
        answer = await house.call(name)
        assert isinstance(answer, Refused)
        assert answer.reason is reason
        assert house.upstreams.sent == []
        assert house.records.outcomes() == [("blocked", reason.value)]


async def test_a_call_is_refused_even_when_nothing_at_all_can_be_recorded() -> None:
    house = Model()
    house.records.fails_at = {"intent": RecordError("gone"), "outcome": RecordError("gone")}
    answer = await house.call("write")
    assert answer.reason is Reason.RECORD_FAILED
    assert house.upstreams.sent == []


async def test_an_outcome_that_can_not_be_recorded_withholds_the_answer() -> None:
    house = Model()
    house.records.fails_at = {"outcome": RecordError("gone")}
    answer = await house.call("write")
    assert isinstance(answer, Refused)
    assert answer.text.startswith("OUTCOME UNKNOWN")
    assert house.effects == ["obtain", "append intent", "forward", "screen", "owe outcome"]


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (Unsent("not connected"), "blocked", "upstream-down"),
        (Lost(Reason.UPSTREAM_LOST, "gone"), "unknown", "upstream-lost"),
        (Lost(Reason.UPSTREAM_TIMEOUT, "slow"), "unknown", "upstream-timeout"),
    ],
    ids=["unsent", "lost", "timed out"],
)
async def test_a_call_without_an_answer_says_what_is_known(reply: object, outcome: str, reason: str) -> None:
    house = Model()
    house.upstreams.reply = reply  # type: ignore[assignment]  # a table of replies
    answer = await house.call("write")
    assert isinstance(answer, Refused)
    assert house.records.outcomes() == [(outcome, reason)]
    assert answer.text.startswith("OUTCOME UNKNOWN" if outcome == "unknown" else "NOT EXECUTED")


async def test_a_tool_error_is_an_error_outcome_and_reaches_the_caller() -> None:
    house = Model()
    house.upstreams.reply = Result({"content": [], "isError": True})
    assert await house.call("read") == Done({"content": [], "isError": True})
    assert house.records.outcomes() == [("error", "tier-default")]


async def test_a_protocol_error_is_screened_like_a_result() -> None:
    house = Model()
    house.upstreams.reply = Failure(-32000, "secret", {"token": "secret"})
    house.screener.screened = Screened(Release.REDACTED, {"message": "[R]", "data": {"token": "[R]"}}, tuple(found()))
    assert await house.call("read") == Done(None, Failure(-32000, "[R]", {"token": "[R]"}))
    assert house.records.outcomes() == [("error", "upstream-error")]
    assert house.records.rows[-1].release == "redacted"


async def test_what_the_scanner_withholds_does_not_leave_and_keeps_the_upstreams_outcome() -> None:
    house = Model()
    house.screener.screened = Screened(Release.WITHHELD, None, (), Reason.SCANNER_FAILED)
    answer = await house.call("read")
    assert isinstance(answer, Refused)
    assert answer.text.startswith("RESULT WITHHELD")
    assert house.records.outcomes() == [("ok", "scanner-failed")]
    house.screener.screened = Screened(Release.WITHHELD, None)
    assert (await house.call("read")).reason is Reason.SCANNER_FAILED


async def test_whatever_breaks_before_forwarding_blocks() -> None:
    house = Model()
    house.approvals.on_obtain = lambda: 1 / 0
    answer = await house.call("write")
    assert answer.reason is Reason.INTERNAL
    assert house.upstreams.sent == []
    assert house.records.outcomes() == [("blocked", "internal")]
    assert house.records.rows[-1].detail == "ZeroDivisionError"


async def test_whatever_breaks_after_forwarding_is_unknown() -> None:
    house = Model()
    house.upstreams.broken = ZeroDivisionError()
    answer = await house.call("write")
    assert answer.text.startswith("OUTCOME UNKNOWN")
    assert house.records.outcomes() == [("unknown", "internal")]


async def test_a_failure_after_the_outcome_was_recorded_adds_no_second_outcome() -> None:
    house = Model()
    house.upstreams.reply = Failure(-32000, "m", None)
    house.screener.screened = Screened(Release.FULL, {})  # no message in it: the answer can't be built
    answer = await house.call("read")
    assert answer.reason is Reason.INTERNAL
    assert len(house.records.outcomes()) == 1


async def test_a_client_that_goes_before_forwarding_leaves_a_blocked_call() -> None:
    house = Model()
    reached = anyio.Event()

    async def wait(*ignored: object) -> None:
        reached.set()
        await anyio.sleep_forever()

    house.approvals.obtain = wait  # type: ignore[method-assign,assignment]  # the fake hangs
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(house.enforcer.handle, a_call("write"), house.caller)
            await reached.wait()
            group.cancel_scope.cancel()
    assert house.upstreams.sent == []
    assert house.records.outcomes() == [("blocked", "client-gone")]


async def test_a_client_that_goes_while_the_intent_is_written_leaves_a_blocked_call() -> None:
    house = Model()
    with anyio.CancelScope() as scope:
        original = house.records.append

        async def append(record: object, consume: Sequence[str] = ()) -> bool:
            scope.cancel()
            return await original(record, consume)  # type: ignore[arg-type]  # passed through

        house.records.append = append  # type: ignore[method-assign,assignment]  # the fake cancels its caller
        await house.call("write")
    assert house.upstreams.sent == []
    assert house.records.outcomes() == [("blocked", "client-gone")]


async def test_a_client_that_goes_after_forwarding_leaves_an_unknown_outcome() -> None:
    house = Model()
    house.upstreams.hang = anyio.Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(house.enforcer.handle, a_call("write"), house.caller)
            await house.upstreams.hang.wait()
            group.cancel_scope.cancel()
    assert house.records.outcomes() == [("unknown", "cancelled")]


async def test_timings_of_each_step_are_recorded() -> None:
    house = Model()
    await house.call("write")
    assert set(house.records.rows[-1].timings_us) == {"decide", "arguments", "approval", "intent", "upstream", "screen"}


def test_the_trail_of_a_call_that_broke_before_it_was_decided_can_be_recorded() -> None:
    from gateway.core.account import Trail
    from gateway.core.model import Outcome

    trail = Trail(a_call("read"), lambda: 0.0, Capture(KEY))
    record = trail.outcome(replace(a_call("read")).at, Outcome.BLOCKED, Reason.INTERNAL)
    assert (record.verdict, record.reason, record.tool) == ("", "internal", "up__read")
    assert trail.durable
    assert trail.changes() is None
    with pytest.raises(LookupError):
        trail.decided()


async def test_nothing_is_forwarded_that_the_last_decision_does_not_allow() -> None:
    house = Model()

    async def nothing(*ignored: object) -> None:
        return None

    house.enforcer._holding.ask = nothing  # type: ignore[method-assign,assignment]  # as if a step had been left out
    answer = await house.call("write")
    assert answer.reason is Reason.INTERNAL
    assert house.upstreams.sent == []


async def test_a_second_round_that_needs_no_approval_any_more_goes_on() -> None:
    house = Model()
    house.approvals.settle = None
    held = await house.call("write")
    house.approvals.resumable = ("d_first", held.approval)
    house.policy = policy_of(POLICY + '[[rule]]\nid = "up.now"\ntools = "write"\ndecide = "allow"\n')
    assert isinstance(await house.call("write", Resume("handle", Vote.APPROVE)), Done)
    assert house.effects == ["obtain", "resume", "append intent", "forward", "screen", "append outcome"]


async def test_an_upstreams_progress_reaches_only_a_client_that_wants_it_and_is_screened() -> None:
    house = Model()
    await house.call("read")
    assert house.caller.heard == []
    house.caller.wants_progress = True
    await house.call("read")
    assert house.caller.heard == [(0.5, 1.0, "half a [R]"), (1.0, None, None)]


async def test_a_record_that_failed_is_not_waited_for_a_second_time() -> None:
    house = Model()
    house.records.fails_at = {"intent": RecordError("locked")}
    await house.call("write")
    assert house.effects == ["obtain", "owe outcome"]


async def test_the_grounds_of_a_decision_stand_in_the_first_record_of_its_call() -> None:
    house = Model()
    await house.call("write", path="a secret")
    intent, outcome = house.records.rows
    assert intent.arguments == {"path": "a [R]"}
    assert [finding.place for finding in intent.findings] == ["arguments.somewhere"]
    assert (intent.facts["upstream"], intent.facts["tainted"], intent.facts["nodes"]) == ("ready", True, 2)
    assert intent.prompt == "unknown"
    assert outcome.result == {"content": [{"type": "text", "text": "fine"}]}
    assert (dict(outcome.facts), outcome.arguments, outcome.findings) == ({}, None, ())


async def test_a_refusal_carries_its_grounds_itself() -> None:
    house = Model()
    house.guard.path = "/state"
    await house.call("write", path="x")
    (outcome,) = house.records.rows
    assert outcome.facts["protected"] == "/state"
    assert outcome.arguments == {"path": "x"}
    assert outcome.context == {"after": "", "outputs": [], "omitted": 0}


async def test_what_was_delivered_before_a_write_is_listed_in_its_record_and_a_read_lists_nothing() -> None:
    house = Model()
    await house.call("read")
    await house.call("write")
    read, read_outcome, intent, _ = house.records.rows
    assert intent.context["outputs"] == [("d_0000000001", read_outcome.result_digest)]
    assert (dict(read.context), dict(read_outcome.context)) == ({}, {})
    assert len(read_outcome.result_digest) == 64
    assert read_outcome.result is None


async def test_what_is_withheld_is_not_counted_as_delivered() -> None:
    house = Model()
    house.screener.screened = Screened(Release.WITHHELD, None, (), Reason.SECRET_FOUND)
    await house.call("read")
    assert house.turns.outputs == []


async def test_an_allow_by_rule_names_the_rules_owner_and_who_accepted_it() -> None:
    accepted = {"accepted_by": "os:ada", "accepted_at": "2026-11-22T12:00:00.000000Z", "accepted_how": "at start"}
    house = Model(replace(policy_of(), accepted=accepted))
    await house.call("set")
    assert house.records.rows[0].authorised == {"owner": "o@example.com", **accepted}


async def test_an_approved_call_names_who_approved_it_and_with_what_proof() -> None:
    house = Model()
    house.approvals.by = "os:bob"
    await house.call("write")
    intent, outcome = house.records.rows
    assert (intent.authorised["approved_by"], intent.authorised["proof"]) == ("os:bob", "local")
    assert outcome.authorised == {}


async def test_a_prompt_that_came_with_the_call_is_recorded_before_the_call() -> None:
    house = Model()
    call = a_call("write")
    prompted = replace(call, context=replace(call.context, prompt="do it", tool_use="toolu_1"))
    await house.enforcer.handle(prompted, house.caller)
    assert house.turns.prompts == ["do it"]
    intent = house.records.rows[0]
    assert (intent.turn, intent.prompt, intent.tool_use) == ("l_0000000001", "digest of a prompt", "toolu_1")


async def test_the_outcome_of_a_call_whose_record_failed_is_owed() -> None:
    house = Model()
    house.records.fails_at = {"outcome": RecordError("gone")}
    await house.call("write")
    (owed,) = house.records.owed
    assert (owed.id, owed.outcome, owed.reason) == ("d_0000000001", "unknown", "record-failed")


@pytest.mark.parametrize("name", ["read", "write", "send", "set", "nothing"])
@pytest.mark.parametrize("quick", [True, False], ids=["small", "large"])
async def test_a_secret_of_the_gateways_own_in_arguments_blocks_every_call_before_it_is_sent(
    name: str, quick: bool
) -> None:
    house = Model()
    house.screener.quick = quick
    answer = await house.call(name, text="use the-own-key now")
    assert isinstance(answer, Refused)
    assert (answer.verdict, answer.reason) == (Verdict.BLOCK, Reason.EXACT_SECRET)
    assert answer.text.startswith("NOT EXECUTED - the arguments hold a secret")
    assert house.upstreams.sent == []
    assert [effect for effect in house.effects if "outcome" not in effect] == []
    (outcome,) = house.records.rows
    assert (outcome.outcome, outcome.reason, outcome.detail) == (
        "blocked",
        "exact-secret",
        "gateway-secret in arguments.text",
    )
    assert [(one.kind, one.place, one.act) for one in outcome.findings] == [
        ("gateway-secret", "arguments.text", Act.BLOCKED)
    ]
    assert outcome.facts["secrets"] == ["gateway-secret"]


async def test_a_secret_in_what_passes_on_beside_the_arguments_blocks_too() -> None:
    house = Model()
    call = a_call("read", {"text": "x"}, None)
    for meta, sent in (({"trace": "the-own-key"}, 0), ({"trace": "fine"}, 1)):
        await house.enforcer.handle(replace(call, context=replace(call.context, meta=meta)), house.caller)
        assert len(house.upstreams.sent) == sent
    (found,) = house.records.rows[0].findings
    assert (found.place, found.act) == ("arguments._meta.text", Act.BLOCKED)


async def test_a_secret_that_only_the_screening_of_arguments_finds_blocks_too() -> None:
    house = Model()
    own = Finding("gateway-secret", "text", "0" * 16, exact=True, grade=Grade.EXACT)

    async def redact(value: object, deadline: float) -> tuple[object, tuple[Finding, ...]]:
        return {"text": "[R]"}, (own,)

    house.screener.redact = redact  # type: ignore[method-assign,assignment]  # it looks at views, which takes a thread
    for name in ("write", "send"):
        answer = await house.call(name, text="a large text")
        assert (answer.verdict, answer.reason) == (Verdict.BLOCK, Reason.EXACT_SECRET)
    assert house.upstreams.sent == []
    assert {one.act for row in house.records.rows for one in row.findings} == {Act.BLOCKED}


async def test_a_blocked_call_whose_arguments_can_not_be_screened_keeps_its_reason() -> None:
    house = Model()
    house.screener.fail(quick=False)
    assert (await house.call("write", text="the-own-key")).reason is Reason.EXACT_SECRET
    assert [one.act for one in house.records.rows[0].findings] == [Act.BLOCKED]


async def test_a_secret_that_a_person_puts_into_the_arguments_does_not_run() -> None:
    house = Model()
    edited = {"text": "the-own-key"}

    async def obtain(call: object, asked: Approval, *rest: object) -> Approval:
        sealed = canonical(edited)
        return replace(
            asked,
            id="a_0000000001",
            state=ApprovalState.APPROVED,
            arguments=edited,
            arguments_digest=keyed_digest(KEY, sealed),
        )

    house.approvals.obtain = obtain  # type: ignore[method-assign,assignment]  # a person edits
    assert (await house.call("write", text="x")).reason is Reason.EXACT_SECRET
    assert house.upstreams.sent == []


@pytest.mark.parametrize(("name", "reason"), [("write", Reason.REDACTED_VALUE), ("send", Reason.REDACTED_VALUE)])
async def test_a_marker_in_a_call_above_tier_read_is_refused_with_a_clear_word(name: str, reason: Reason) -> None:
    house = Model()
    answer = await house.call(name, text="password = [REDACTED:github-pat:1]")
    assert isinstance(answer, Refused)
    assert (answer.verdict, answer.reason) == (Verdict.BLOCK, reason)
    assert "placeholder" in answer.text
    assert house.upstreams.sent == []
    assert house.records.outcomes() == [("blocked", "redacted-value")]
    assert house.records.rows[0].facts["markers"] is True


async def test_a_read_may_carry_a_marker() -> None:
    house = Model()
    assert isinstance(await house.call("read", text="[REDACTED:github-pat:1]"), Done)


async def test_an_output_with_an_exact_secret_does_not_leave_whatever_was_left_of_it() -> None:
    house = Model()
    own = Finding("gateway-secret", "content[0].text", "0" * 16, exact=True)
    house.screener.screened = Screened(Release.REDACTED, {"content": []}, (own,), data=b"{}", recorded={"content": []})
    answer = await house.call("read")
    assert isinstance(answer, Refused)
    assert (answer.verdict, answer.reason) == (Verdict.BLOCK, Reason.EXACT_SECRET)
    assert answer.text.startswith("RESULT WITHHELD")
    assert house.records.outcomes() == [("ok", "exact-secret")]
    assert (house.records.rows[-1].release, house.records.rows[-1].findings[0].act) == ("withheld", Act.WITHHELD)


async def test_an_output_that_completes_a_secret_read_in_pieces_does_not_leave() -> None:
    house = Model()
    house.screener.pieces = (Finding("gateway-secret", "content.text", "0" * 16, True, Grade.EXACT, Act.WITHHELD),)
    assert (await house.call("read")).reason is Reason.EXACT_SECRET
    assert house.records.rows[-1].findings == house.screener.pieces
    assert "freeze" not in house.effects


HONEY = Finding("honeytoken", "content[0].text", "1" * 16, exact=True)


@pytest.mark.parametrize("name", ["read", "write"])
async def test_a_honeytoken_in_an_output_is_withheld_freezes_the_session_and_is_an_incident(name: str) -> None:
    house = Model()
    house.screener.screened = Screened(Release.REDACTED, {"content": []}, (HONEY,))
    assert (await house.call(name)).reason is Reason.EXACT_SECRET
    at = house.effects.index("screen")
    assert house.effects[at + 1 : at + 3] == ["freeze", "append signal"]
    assert house.effects[at + 3].endswith("outcome")
    (signal,) = [row for row in house.records.rows if row.kind is Kind.SIGNAL]
    assert (signal.detail, signal.session, signal.upstream, signal.tool) == ("honeytoken", "s_1", "up", name)
    assert dict(signal.extra) == {
        "call": "d_0000000001",
        "honeytokens": "honeytoken",
        "places": ["content[0].text"],
    }
    assert house.approvals.said.frozen.startswith("by wardgate: honeytoken")


@pytest.mark.parametrize("name", ["read", "write", "nothing"])
async def test_a_honeytoken_in_arguments_is_the_same_alarm_and_nothing_is_sent(name: str) -> None:
    house = Model()
    assert (await house.call(name, text="try the-honey")).reason is Reason.EXACT_SECRET
    assert house.effects[:2] == ["freeze", "append signal"]
    assert house.upstreams.sent == []
    (signal,) = [row for row in house.records.rows if row.kind is Kind.SIGNAL]
    assert (signal.detail, signal.extra["places"]) == ("honeytoken", ["text"])


async def test_a_honeytoken_that_was_heard_beside_the_result_is_the_same_alarm() -> None:
    house = Model()
    for number, told in enumerate(("heard", "sighted")):
        trail = Trail(a_call("read", {}, None), house.clock.monotonic, Capture(KEY))
        if told == "heard":
            trail.hear("progress", (HONEY,))
        else:
            trail.sighted += (HONEY,)
        for _ in range(2):
            await Endings(house.house).alarm(trail, ())
        assert house.effects == ["freeze", *["append signal"] * (number + 1)]


async def test_a_session_that_is_frozen_for_a_honeytoken_is_not_frozen_again_but_the_incident_is_told() -> None:
    house = Model()
    for _ in range(3):
        await house.call("read", text="the-honey")
    assert (house.effects.count("freeze"), house.effects.count("append signal")) == (1, 3)


async def test_an_incident_that_can_not_be_recorded_refuses_the_call_and_the_session_is_held() -> None:
    house = Model()
    house.screener.screened = Screened(Release.REDACTED, {"content": []}, (HONEY,))
    house.records.fails_at = {"signal": RecordError("no disk")}
    answer = await house.call("read")
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.RECORD_FAILED
    assert house.approvals.said.frozen
