"""How a call is held: what its card shows of its effect, what a person changed in it, and that nothing got worse."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.canon import canonical, keyed_digest
from gateway.core.limits import Counted
from gateway.core.model import (
    AGAIN,
    Approval,
    ApprovalState,
    Call,
    Done,
    Failure,
    Kind,
    Labels,
    Place,
    Proof,
    Reason,
    Refused,
    Result,
    Resume,
    Standing,
    Tool,
    Vote,
)
from gateway.core.policy import Policy
from gateway.core.risk import classify
from gateway.errors import GatewayError
from gateway.holding import MOST, PREVIEW, Nobody
from tests.core.test_card import approval
from tests.house import KEY, POLICY, Model, a_call, a_grant, policy_of

PREVIEWED = POLICY.replace(
    'match = "write"\neffect = "write"',
    'match = "write"\neffect = "write"\npreview = { tool = "%s", args = { path = "path", mode = "how" } }',
)
Answer = Callable[[Approval], Approval]


class Desk(Model):
    """A house whose approvals answer as a test says, row after row; it notes what each card showed."""

    def __init__(self, *answers: Answer, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.cards: list[Approval] = []
        self.waited: list[Approval | None] = []
        self._answers = list(answers) or [approved]
        self.approvals.obtain = self._obtain  # type: ignore[method-assign]  # what a person says, row after row

    async def _obtain(self, call: Call, asked: Approval, caller: Any, waiting: Approval | None = None) -> Approval:
        self.effects.append("obtain")
        self.cards.append(asked)
        self.waited.append(waiting)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(replace(asked, id="a_0000000001"))


def approved(row: Approval) -> Approval:
    return replace(row, state=ApprovalState.APPROVED, decided_by="os:ada", proof=Proof.LOCAL)


def signed(row: Approval) -> Approval:
    return replace(approved(row), proof=Proof.SIGNED)


def again(row: Approval) -> Approval:
    """Somebody said what the tool does."""
    return replace(row, state=ApprovalState.WITHDRAWN, followed_by=AGAIN)


def edited(**arguments: Any) -> Answer:
    """A person put other arguments in the place of the agent's, and approved those."""

    def answer(row: Approval) -> Approval:
        sealed = keyed_digest(KEY, canonical(arguments))
        return approved(replace(row, arguments=arguments, arguments_digest=sealed, follows="a_0000000000"))

    return answer


def previewing(tool: str = "read") -> Policy:
    return policy_of(PREVIEWED % tool)


def preview_calls(desk: Model) -> list[str]:
    return [record.tool for record in desk.records.rows if record.claimed == PREVIEW and record.kind is Kind.OUTCOME]


# --- previews --------------------------------------------------------------------------------------------------------


async def test_what_the_call_would_change_is_read_before_anybody_is_asked_and_again_before_it_runs() -> None:
    desk = Desk(policy=previewing())
    done = await desk.call("write", path="a.txt", how="once")
    assert isinstance(done, Done)
    assert desk.cards[0].shown.preview["text"] == "fine"
    assert desk.cards[0].shown.preview["tool"] == "read"
    assert desk.upstreams.sent[0] == b'{"mode":"once","path":"a.txt"}'
    assert preview_calls(desk) == ["read", "read"]
    assert desk.effects.index("forward") < desk.effects.index("obtain")
    assert desk.upstreams.sent[-1] == b'{"how":"once","path":"a.txt"}'


async def test_an_argument_that_the_call_does_not_have_is_left_out_of_the_preview() -> None:
    desk = Desk(policy=previewing())
    await desk.call("write", path="a.txt")
    assert desk.upstreams.sent[0] == b'{"path":"a.txt"}'


async def test_a_card_keeps_no_secret_of_a_preview_and_a_preview_that_can_not_be_screened_is_none() -> None:
    desk = Desk(policy=previewing())
    desk.upstreams.reply = Result({"content": [{"type": "text", "text": "a secret"}]})
    await desk.call("write", path="a.txt")
    assert desk.cards[0].shown.preview["text"] == "a [R]"

    async def fail(value: object, deadline: float) -> object:
        raise GatewayError("the scanner fails")

    desk = Desk(policy=previewing())
    desk.screener.clean = fail  # type: ignore[method-assign]  # the fake fails for previews alone
    await desk.call("write", path="a.txt")
    assert desk.cards[0].shown.preview["why"] == "it could not be screened"


async def test_a_row_holds_no_name_of_an_argument_that_was_redacted() -> None:
    desk = Desk()
    await desk.call("write", path="a.txt")
    assert set(desk.cards[0].pins) == {"path"}
    await desk.call("write", **{"path": "a.txt", "a secret": 1})
    assert (desk.cards[1].pins, desk.cards[1].free) == ({}, ())
    assert set(desk.cards[1].arguments) == {"path", "a [R]"}


async def test_an_approval_is_void_when_the_call_would_change_something_else_by_then() -> None:
    desk = Desk(policy=previewing())
    fine = desk.upstreams.reply

    def change(row: Approval) -> Approval:
        desk.upstreams.reply = Result({"content": [{"type": "text", "text": "somebody else was here"}]})
        return approved(row)

    desk._answers = [change]
    answer = await desk.call("write", path="a.txt")
    assert answer.reason is Reason.APPROVAL_VOID
    assert desk.records.outcomes()[-1] == ("blocked", "approval-void")
    assert "expire" in desk.effects
    assert not [sent for sent in desk.upstreams.sent if b"how" in sent]
    assert fine is not desk.upstreams.reply


async def test_an_approval_is_void_when_its_preview_can_not_be_read_any_more() -> None:
    desk = Desk(policy=previewing())

    def fail(row: Approval) -> Approval:
        desk.upstreams.reply = Failure(-1, "gone")
        return approved(row)

    desk._answers = [fail]
    assert (await desk.call("write", path="a.txt")).reason is Reason.APPROVAL_VOID


@pytest.mark.parametrize(
    "reply",
    [
        Failure(-1, "no"),
        Result({"isError": True, "content": [{"type": "text", "text": "no"}]}),
    ],
    ids=["error", "tool error"],
)
async def test_a_preview_that_gives_nothing_says_so_on_the_card_and_stops_nothing(reply: Any) -> None:
    desk = Desk(policy=previewing())
    fine = desk.upstreams.reply
    desk.upstreams.reply = reply

    def mend(row: Approval) -> Approval:
        desk.upstreams.reply = fine
        return approved(row)

    desk._answers = [mend]
    assert isinstance(await desk.call("write", path="a.txt"), Done)
    assert "text" not in desk.cards[0].shown.preview
    assert desk.cards[0].shown.preview["why"]


@pytest.mark.parametrize("tool", ["send", "nothing"])
async def test_only_a_read_is_called_for_a_preview(tool: str) -> None:
    desk = Desk(policy=previewing(tool))
    assert isinstance(await desk.call("write", path="a.txt"), Done)
    assert desk.cards[0].shown.preview["why"]
    assert preview_calls(desk) == []


async def test_a_preview_takes_the_whole_path_and_a_blocked_one_reads_nothing() -> None:
    blocked = policy_of(PREVIEWED % "read" + '[[rule]]\nid = "up.no"\ntools = "read"\ndecide = "block"\n')
    desk = Desk(policy=blocked)
    assert isinstance(await desk.call("write", path="a.txt"), Done)
    assert desk.cards[0].shown.preview["why"]
    assert desk.upstreams.sent == [b'{"path":"a.txt"}']
    assert ("blocked", "rule") in desk.records.outcomes()


ASKS_FOR_READS = '[[rule]]\nid = "up.reads"\ntools = "read"\ndecide = "ask"\n'


@pytest.mark.parametrize("name", ["write", "read"])
async def test_nobody_is_asked_about_a_preview_and_it_has_none_of_its_own(name: str) -> None:
    """A tool may be named as its own preview: each question would lead to the next one."""
    text = (PREVIEWED % "read").replace(
        'match = "read"\neffect = "read"', 'match = "read"\neffect = "read"\npreview = { tool = "read", args = {} }'
    )
    desk = Desk(policy=policy_of(text + ASKS_FOR_READS))
    assert isinstance(await desk.call(name, path="a.txt"), Done)
    assert desk.effects.count("obtain") == 1
    assert desk.cards[0].shown.preview["why"] == "it gave no answer"
    assert preview_calls(desk) == ["read"]
    assert desk.records.outcomes()[0] == ("blocked", Reason.CLIENT_UNABLE.value)
    assert len(desk.upstreams.sent) == 1


async def test_what_changes_while_the_preview_is_read_again_voids_the_approval() -> None:
    desk = Desk(policy=previewing())
    forward = desk.upstreams.forward

    async def meanwhile(tool: Tool, *given: Any, **named: Any) -> Any:
        if desk.effects.count("obtain"):  # the second preview: the definition changes under it
            changed = replace(desk.catalogue.tools["up__write"], digest="another definition")
            desk.catalogue.tools["up__write"] = changed
        return await forward(tool, *given, **named)

    desk.upstreams.forward = meanwhile  # type: ignore[method-assign]  # an upstream that changes in the middle
    answer = await desk.call("write", path="a.txt", how="once")
    assert answer.reason is Reason.APPROVAL_VOID
    assert preview_calls(desk) == ["read", "read"]
    assert len(desk.upstreams.sent) == 2


async def test_a_long_preview_is_cut_and_still_compared_as_a_whole() -> None:
    desk = Desk(policy=previewing())
    long = "x" * (MOST + 100)
    desk.upstreams.reply = Result({"content": [{"type": "text", "text": long}, {"type": "image"}, "odd"]})
    await desk.call("write", path="a.txt")
    assert len(desk.cards[0].shown.preview["text"]) == MOST
    desk = Desk(policy=previewing())
    desk.upstreams.reply = Result({"content": [{"type": "text", "text": long}]})

    def change(row: Approval) -> Approval:
        desk.upstreams.reply = Result({"content": [{"type": "text", "text": long[:-1] + "y"}]})
        return approved(row)

    desk._answers = [change]
    assert (await desk.call("write", path="a.txt")).reason is Reason.APPROVAL_VOID


async def test_a_preview_without_content_shows_nothing() -> None:
    desk = Desk(policy=previewing())
    desk.upstreams.reply = Result({"content": "odd"})
    await desk.call("write", path="a.txt")
    assert desk.cards[0].shown.preview["text"] == ""


async def test_nobody_can_be_asked_anything_for_a_preview() -> None:
    nobody = Nobody()
    for silent in (nobody.notice("x"), nobody.progress(1, None, None), nobody.log("info", {}, None)):
        assert await silent is None
    assert await nobody.elicit(None) is Vote.CANCEL  # type: ignore[arg-type]  # it looks at nothing
    assert await nobody.stands()
    assert await nobody.open(None, "") is None  # type: ignore[arg-type,func-returns-value]  # as above
    with pytest.raises(GatewayError):
        await nobody.ask(None)


# --- edits -----------------------------------------------------------------------------------------------------------


async def test_what_a_person_changed_is_what_runs_and_the_model_is_told() -> None:
    desk = Desk(edited(path="b.txt"))
    done = await desk.call("write", path="a.txt")
    assert desk.upstreams.sent == [b'{"path":"b.txt"}']
    intent = next(record for record in desk.records.rows if record.kind is Kind.INTENT)
    assert intent.arguments == {"path": "b.txt"}
    assert intent.extra == {"origin": "person"}  # and no untrusted output is where its values come from
    assert isinstance(done, Done)
    assert done.value is not None
    assert done.value != desk.upstreams.reply.value  # type: ignore[union-attr]  # it is a result here


def _protecting_b(arguments: Mapping[str, Any], upstream: str) -> str:
    return "/state/b.txt" if arguments["path"] == "b.txt" else ""


async def test_edited_arguments_that_reach_the_gateways_own_files_are_blocked() -> None:
    desk = Desk(edited(path="b.txt"))
    desk.house.guard.reaches = _protecting_b  # type: ignore[method-assign]  # a path of the gateway's own
    answer = await desk.call("write", path="a.txt")
    assert answer.reason is Reason.SELF_PROTECTION
    assert desk.upstreams.sent == []


# --- decided anew ----------------------------------------------------------------------------------------------------


def unlabelled(desk: Model) -> None:
    tool = desk.catalogue.tools["up__write"]
    desk.catalogue.tools["up__write"] = classify(
        tool.definition, tool.ref, tool.exposed_as, tool.digest, Labels(), None
    )


def relabel(desk: Model, tool: Tool, effect: str) -> None:
    labels = replace(Labels(), effect=type(tool.effect)(effect), at=Place("up.toml", 1))
    desk.catalogue.tools["up__write"] = classify(tool.definition, tool.ref, tool.exposed_as, tool.digest, labels, None)


async def test_a_tool_that_was_labelled_meanwhile_is_decided_anew_and_a_read_runs_at_once() -> None:
    desk = Desk()
    unlabelled(desk)

    def label(row: Approval) -> Approval:
        relabel(desk, desk.catalogue.tools["up__write"], "read")
        return again(row)

    desk._answers = [label]
    assert isinstance(await desk.call("write", path="a.txt"), Done)
    assert len(desk.cards) == 1
    assert (desk.cards[0].shown.labelled, desk.cards[0].shown.proposed) == (False, "write")


async def test_a_tool_that_was_labelled_meanwhile_is_asked_for_anew_where_it_still_asks() -> None:
    desk = Desk()
    unlabelled(desk)

    def label(row: Approval) -> Approval:
        relabel(desk, desk.catalogue.tools["up__write"], "write")
        return again(row)

    desk._answers = [label, approved]
    assert isinstance(await desk.call("write", path="a.txt"), Done)
    assert [card.shown.labelled for card in desk.cards] == [False, True]
    assert [card.effect.value for card in desk.cards] == ["destructive", "write"]


async def test_a_call_that_is_blocked_once_decided_anew_runs_nothing() -> None:
    desk = Desk()

    def freeze(row: Approval) -> Approval:
        desk.approvals.said = Standing(frozen="by os:ada")
        return again(row)

    desk._answers = [freeze]
    answer = await desk.call("write", path="a.txt")
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.FROZEN
    assert desk.upstreams.sent == []


async def test_a_client_that_comes_back_to_a_row_that_is_decided_anew_is_not_sent_there_again() -> None:
    desk = Desk(again, approved)
    desk.approvals.resumable = ("d_0000000000", approved(approval()))
    assert isinstance(await desk.call("write", resume=Resume("h"), path="a.txt"), Done)
    assert desk.waited[0] is not None
    assert desk.waited[1] is None


# --- worse meanwhile -------------------------------------------------------------------------------------------------


async def test_an_approval_is_void_when_something_untrusted_was_read_meanwhile() -> None:
    desk = Desk()
    desk.flows.tainted = False  # nothing was read yet

    def read(row: Approval) -> Approval:
        assert not row.tainted
        desk.flows.tainted = True  # now something was
        return approved(row)

    desk._answers = [read]
    answer = await desk.call("write", path="a.txt")
    assert answer.reason is Reason.APPROVAL_VOID
    assert desk.upstreams.sent == []


async def test_an_approval_on_a_card_that_said_so_is_good_in_a_session_that_read_something_untrusted() -> None:
    assert isinstance(await Desk().call("write", path="a.txt"), Done)


@pytest.mark.parametrize("said", [{"frozen": "by os:ada"}, {"barred": "by os:ada"}], ids=str)
async def test_what_was_held_or_barred_meanwhile_does_not_run(said: dict[str, str]) -> None:
    desk = Desk()

    def hold(row: Approval) -> Approval:
        desk.approvals.said = Standing(**said)
        return approved(row)

    desk._answers = [hold]
    answer = await desk.call("write", path="a.txt")
    assert answer.reason in (Reason.FROZEN, Reason.TOOL_BARRED)
    assert desk.upstreams.sent == []
    assert desk.records.outcomes() == [("blocked", answer.reason.value)]


async def test_the_words_of_a_barred_tool_carry_what_the_person_said_who_barred_it() -> None:
    desk = Desk()
    desk.approvals.said = Standing(barred="by os:ada: no way", note="no way")
    answer = await desk.call("write", path="a.txt")
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.TOOL_BARRED
    assert "The reviewer's reason: no way." in answer.text
    assert "os:ada" not in answer.text


@pytest.mark.parametrize("name", ["read", "write"])
@pytest.mark.parametrize(("said", "reason"), [("frozen", Reason.FROZEN), ("barred", Reason.TOOL_BARRED)])
async def test_a_call_that_was_decided_before_a_freeze_is_not_sent_after_it(
    name: str, said: str, reason: Reason
) -> None:
    """A read's intent is not awaited, so that the disk never gets to say no to it."""
    desk = Model(policy_of(POLICY + '[[rule]]\nid = "up.all"\ntools = "*"\ndecide = "allow"\n'))
    redact, desk.screener.quick = desk.screener.redact, False

    async def meanwhile(value: Any, deadline: float) -> Any:
        desk.approvals.said = Standing(**{said: "by os:ada"})
        return await redact(value, deadline)

    desk.screener.redact = meanwhile  # type: ignore[method-assign]  # somebody is faster than the scanner
    answer = await desk.call(name, path="a.txt")
    assert isinstance(answer, Refused)
    assert answer.reason is reason
    assert desk.upstreams.sent == []
    assert [record.kind for record in desk.records.rows] == [Kind.OUTCOME]
    assert desk.records.outcomes() == [("blocked", reason.value)]


# --- what the record says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "level"), [(approved, 0), (signed, 1)])
async def test_a_call_that_was_approved_by_a_touch_is_a_level_above(answer: Answer, level: int) -> None:
    desk = Desk(answer)
    await desk.call("write", path="a.txt")
    assert [record.isolation for record in desk.records.rows] == [level, level]


async def test_every_record_of_a_call_says_how_far_its_caller_was() -> None:
    desk = Model()
    call = a_call("read")
    await desk.enforcer.handle(replace(call, context=replace(call.context, isolation=2)), desk.caller)
    assert [record.isolation for record in desk.records.rows] == [2, 2]


async def test_a_granted_call_asks_nobody_uses_its_grant_up_and_says_so() -> None:
    desk = Desk()
    await desk.call("write", path="a.txt")
    desk.approvals.said = Standing(grants=(a_grant(desk.cards[0]),))
    desk.records.usable = {"g_0000000001"}
    desk.records.rows.clear()
    desk.effects.clear()
    assert isinstance(await desk.call("write", path="a.txt"), Done)
    assert desk.effects == ["append intent", "spent g_0000000001", "forward", "screen", "append outcome"]
    intent = desk.records.rows[0]
    assert (intent.reason, intent.authorised["grant"], intent.facts["grants"]) == (
        "granted",
        "g_0000000001",
        ["g_0000000001"],
    )
    answer = await desk.call("write", path="a.txt")  # the record says that it is used up
    assert answer.reason is Reason.APPROVAL_USED
    assert len(desk.upstreams.sent) == 2


async def test_what_is_held_says_so_in_the_facts_of_the_record() -> None:
    desk = Model()
    desk.approvals.said = Standing(frozen="by os:ada", barred="by os:bob")
    await desk.call("write", path="a.txt")
    assert desk.records.rows[0].facts["frozen"] == "by os:ada"
    assert desk.records.rows[0].facts["barred"] == "by os:bob"


async def test_what_was_used_of_a_rate_stands_in_the_facts_of_the_record() -> None:
    desk = Model(policy_of(POLICY.replace('drop = ["bcc"]', 'rate = "9/hour"')))
    desk.sessions.counts = Counted({"up.set": 3})
    await desk.call("set")
    assert desk.records.rows[0].facts["used"] == {"up.set": 3}
