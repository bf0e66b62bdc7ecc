"""What the record says of a call: facts and decisions -> `Record`. No I/O here."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core import posing
from gateway.core.canon import canonical, keyed_digest
from gateway.core.capture import Capture
from gateway.core.grounds import answered, overruled, told_facts
from gateway.core.isolation import of_call
from gateway.core.model import (
    Act,
    Approval,
    ApprovalState,
    Asked,
    Call,
    Decision,
    Facts,
    Failure,
    Finding,
    Kind,
    ObligationKind,
    Outcome,
    Proof,
    Question,
    Reason,
    Record,
    Release,
    Round,
    Screened,
    Spend,
    Tier,
    Tool,
    Verdict,
)
from gateway.core.own import argued
from gateway.core.record import stamp
from gateway.core.timing import Timed

HEARD = 100  # findings beside arguments and result that are kept of a call
PERSON = "person"  # the origin of arguments that a person edited, in the record


class Trail(Struct):
    """What has happened to one call so far; the only mutable thing on its path."""

    call: Call
    clock: Callable[[], float]  # monotonic seconds
    capture: Capture
    facts: Facts | None = None  # of the last decision
    decision: Decision | None = None
    turn: tuple[str, str] = ("", "unknown")  # the record of the user's prompt, and the prompt's keyed digest
    marks: tuple[str, ...] = ()  # digests of what it writes in a tainted session, for its next record
    background: Mapping[str, Any] = field(default_factory=dict)  # `context` and `carried`, as a record holds them
    approved: Approval | None = None  # what a person said of it, as it was settled
    consume: str = ""  # the approval that the next intent uses up
    lent: tuple[str, ...] = ()  # the grants that an earlier round of it ran under
    carried: tuple[Mapping[str, Any], ...] = ()  # argument values that stood in outputs, for a card
    preview: Mapping[str, str] = field(default_factory=dict)  # what the call would change, for a card
    edits: bool = False  # a person changed the arguments
    came: str = ""  # the digest of its client's arguments, where others took their place
    release: Approval | None = None  # what a person said of its output, or nobody did
    authorised: Mapping[str, str] = field(default_factory=dict)  # who approved it, and how that person is known
    presence: bool = False  # somebody touched a key to approve it
    arguments: Mapping[str, Any] | None = None  # redacted, for cards and records
    findings: tuple[Finding, ...] = ()  # what was redacted there
    rounds: int = 0  # how often it was sent upstream
    deadline: float = 0.0  # of the last of them, monotonic
    asked: Asked | None = None  # what its upstream waits for
    begun: bool = False  # its upstream has had it, and asked something: it may have happened
    again: Any = None  # how it goes on after that: an `Again`
    poses: set[str] = field(default_factory=set)  # where its upstream used our words: result, progress, log
    heard: dict[Finding, None] = field(default_factory=dict)  # what was found beside the result: see `hear`
    sighted: tuple[Finding, ...] = ()  # what was found in questions of its upstream, and in answers to them
    pieces: tuple[Finding, ...] | None = None  # the secrets that its output completes; None: nobody looked yet
    alarmed: bool = False  # a honeytoken was seen on its way, and the alarm was raised
    hasty: bool = False  # its arguments are redacted after it was sent, with its record
    closed: bool = False  # the outcome is on the record
    unrecorded: bool = False  # a record of it failed: the rest is handed over and not awaited
    timings_us: dict[str, int] = field(default_factory=dict)

    @property
    def tool(self) -> Tool | None:
        """What is called, as the last facts say."""
        return self.facts.tool if self.facts is not None else None

    @property
    def tainted(self) -> bool:
        """Whether an untrusted output had been read in its session, as the last facts say."""
        return self.facts is None or self.facts.tainted

    @property
    def secrets(self) -> tuple[Finding, ...]:
        """The gateway's own secrets and honeytokens in its arguments, as the last facts say."""
        return self.facts.secrets if self.facts is not None else ()

    @property
    def durable(self) -> bool:
        """Whether its records are awaited: tier write and high, and whatever a person approved or granted."""
        asked = bool(self.approved or self.uses or self.spends) or self.release is not None
        return (self.tool is None or self.tool.tier is not Tier.READ or asked) and not self.unrecorded

    @property
    def uses(self) -> tuple[str, ...]:
        """What its next intent uses up: an approval, or the grants that the decision rests on."""
        granted = self.decision.uses if self.decision is not None and not self.rounds else ()
        return (self.consume, *granted) if self.consume else granted

    @property
    def spends(self) -> tuple[Spend, ...]:
        """What its first intent takes of budgets."""
        return self.decision.spends if self.decision is not None and not self.rounds else ()

    @property
    def releases(self) -> tuple[str, ...]:
        """What its outcome uses up: the answer of a person that lets its output leave whole."""
        row = self.release
        return (row.id,) if row is not None and row.state is ApprovalState.APPROVED else ()

    @property
    def verdict(self) -> Verdict:
        """The last verdict; block for a call that broke off before there was one."""
        return self.decision.verdict if self.decision is not None else Verdict.BLOCK

    @property
    def parked(self) -> str:
        """The ticket under which it waits at its upstream, while nobody here sends it on."""
        return self.asked.parked if self.asked is not None else ""

    @property
    def asks(self) -> bool:
        """Whether the decision is that a person decides."""
        return self.verdict is Verdict.ASK

    def decided(self) -> tuple[Tool, Decision]:
        """The tool and the decision of a call that may go on; raises `LookupError` for any other."""
        if self.tool is None or self.decision is None or self.decision.verdict is Verdict.BLOCK:
            raise LookupError("the call is not decided")
        return self.tool, self.decision

    def allowed(self) -> tuple[Tool, Decision]:
        """The tool and the decision of a call that is allowed; raises `LookupError` for any other."""
        tool, decision = self.decided()
        # INVARIANT: nothing is forwarded that is not allowed by the last decision made.
        if decision.verdict is not Verdict.ALLOW:
            raise LookupError("the call is not allowed")
        return tool, decision

    def timed(self, step: str) -> Timed:
        """Note how many microseconds a step of the path took: the block that it is used for."""
        return Timed(self.clock, self.timings_us, step)

    @property
    def as_it_came(self) -> Call:
        """The call by what its client sent, which is all that it can come back with."""
        return replace(self.call, digest=self.came) if self.came else self.call

    def intent(self, at: datetime) -> Record:
        """The record that stands before anything is forwarded: one for each round that is sent upstream."""
        if self.again is None:
            return self._record(Kind.INTENT, at, **self._grounds(Act.FLAGGED))
        answers = {
            key: "refused" if isinstance(answer, Failure) else str(answer.get("action", "answered"))
            for key, answer in self.again.answers.items()
        }
        return self._record(Kind.INTENT, at, extra={"round": self.rounds + 1, "answers": answers})

    def question(self, at: datetime, question: Question, decision: Decision, digest: str) -> Record:
        """What an upstream asked in the middle of the call, and what was decided on it."""
        asked = self._record(Kind.QUESTION, at, detail=decision.detail, arguments_digest=digest)
        poses = posing.holds(question.params)
        return replace(
            asked,
            verdict=decision.verdict.word,
            reason=decision.reason.value,
            rules=decision.rules,
            places=decision.places,
            extra={"method": question.method, "round": self.rounds, **({"poses": ["question"]} if poses else {})},
        )

    def outcome(
        self,
        at: datetime,
        outcome: Outcome,
        reason: Reason | None = None,
        screened: Screened | None = None,
        detail: str = "",
    ) -> Record:
        """The one record that says how the call ended; what it was decided on stands there if no intent holds it."""
        told = {} if self.rounds else self._grounds(Act.BLOCKED)
        told |= overruled(told, self.decision, reason)
        findings = told.pop("findings", ())
        if screened is not None:
            told.update(self.capture.result(screened, self.tool, self.decision))
            findings += screened.findings
            self.poses |= {"result"} if screened.poses else set()
        if self.poses:
            told["extra"] = {**told.get("extra", {}), "poses": sorted(self.poses)}
        if screened is not None and screened.unscanned:
            told["extra"] = {**told.get("extra", {}), "unscanned": screened.unscanned}
        if self.release is not None:
            told["extra"] = {**told.get("extra", {}), "asked": answered(self.release)}
        return self._record(
            Kind.OUTCOME,
            at,
            outcome=outcome.value,
            reason=(reason.value if reason else None),
            release=screened.release.value if screened else Release.WITHHELD.value if self.rounds else "",
            findings=(*findings, *self.heard),
            result_digest=screened.digest if screened else "",
            detail=detail,
            timings_us=dict(self.timings_us),
            **told,
        )

    def hear(self, where: str, findings: Iterable[Finding]) -> None:
        """Note what was found in what is neither arguments nor result: progress, log notices, answers to questions."""
        for one in findings:
            if len(self.heard) < HEARD:
                self.heard[replace(one, place=f"{where}.{one.place}".rstrip("."))] = None

    def _grounds(self, act: Act) -> dict[str, Any]:
        """What the call was decided on: arguments, facts, who allowed it, and what was read before; see `_argued`."""
        facts, decision = self.facts, self.decision
        grounds = {} if self.hasty else self._argued(act)
        if self.edits:
            grounds["extra"] = {"origin": PERSON}
        redacted = bool(self.findings)
        grounds["facts"] = told_facts(facts, self.call, redacted=redacted) if facts is not None else {}
        if decision is not None and decision.verdict is Verdict.ALLOW:
            grounds["authorised"] = self.authorised or decision.authorised
        return {**grounds, **self.background}

    def _argued(self, act: Act) -> dict[str, Any]:
        """What a record holds of the arguments; `act` is what became of a secret in them: it went out, or did not."""
        call = self.call
        told = {**self.capture.arguments(self.arguments, call.arguments, len(call.canonical), self.decision)}
        findings = argued(self.findings, self.secrets)
        if findings:
            told["findings"] = tuple(
                replace(one, place=f"arguments.{one.place}", act=act if one.act is Act.REDACTED else one.act)
                for one in findings
            )
        return told

    def caught_up(self, record: Record) -> Record:
        """A record of what it was decided on that was made in haste, with what is known of the arguments by now."""
        told = self._argued(Act.FLAGGED if record.kind is Kind.INTENT else Act.BLOCKED)
        return replace(record, **{**told, "findings": (*told.get("findings", ()), *record.findings)})

    def changes(self) -> Mapping[str, Any] | None:
        """The arguments as the decision's obligations (set, drop) want them, or None where that changes nothing, or a
        person had the last word.
        """
        if self.edits:
            return None
        arguments = dict(self.call.arguments)
        for duty in self.decision.obligations if self.decision else ():
            if duty.kind is ObligationKind.SET:
                arguments[duty.name] = duty.value
            elif duty.kind is ObligationKind.DROP:
                arguments.pop(duty.name, None)
        return None if arguments == self.call.arguments else arguments

    def change(self, arguments: Mapping[str, Any], key: bytes) -> None:
        """Go on with other arguments: sealed and digested like the caller's own."""
        sealed = canonical(arguments)
        digest = keyed_digest(key, sealed)
        self.came = self.came or self.call.digest
        self.call = replace(self.call, arguments=arguments, canonical=sealed, digest=digest)

    def edited(self, by: Approval, key: bytes) -> None:
        """Go on with the arguments that a person put in the place of the agent's; nothing is redacted in them."""
        self.change(by.arguments, key)
        self.arguments, self.findings, self.edits = by.arguments, (), True

    def questioned(self, asked: Asked) -> None:
        """Its upstream asks something before it answers."""
        self.asked, self.begun = asked, True

    def go_on(self, kept: Round, key: bytes) -> None:
        """Go on with a call that its upstream had asked something; the first round's intent stands on the record."""
        self.begun = True
        if kept.asked is None:
            return
        self.rename(kept.call)
        self.rounds, self.asked, self.lent = kept.number, kept.asked, kept.lent
        self.approved = kept.approval
        if kept.edited is not None:
            self.change(kept.edited, key)
            self.edits = True

    def sent(self, deadline: float) -> None:
        """It goes upstream now, which has until `deadline` (monotonic): from here on it may have happened."""
        self.deadline = deadline
        self.rounds, self.asked, self.consume, self.marks = self.rounds + 1, None, "", ()

    def settled(self, by: Approval) -> None:
        """The approval that the call waited for is settled; if it goes on, the next intent uses that up."""
        self.approved, self.consume = by, by.id
        proof, at = by.proof.word if by.proof is not None else "", by.decided_at
        self.presence = by.proof is Proof.SIGNED
        self.authorised = {"approved_by": by.decided_by, "proof": proof, "approved_at": stamp(at) if at else ""}

    def void(self, why: str) -> Decision:
        """What was approved is not as it was: nothing runs."""
        assert self.decision is not None
        self.decision = replace(
            self.decision, verdict=Verdict.BLOCK, reason=Reason.APPROVAL_VOID, requirement=None, detail=why
        )
        return self.decision

    def overtaken(self) -> None:
        """The answer of a person that would let its output leave whole can't be used any more."""
        if self.release is not None:
            self.release = replace(self.release, state=ApprovalState.WITHDRAWN)

    def rename(self, first: str) -> None:
        """Go on under the id of the call's first round."""
        self.call = replace(self.call, id=first)

    def _record(
        self,
        kind: Kind,
        at: datetime,
        reason: str | None = None,
        detail: str = "",
        arguments_digest: str = "",
        **more: Any,
    ) -> Record:
        call, tool, decision = self.call, self.tool, self.decision
        return Record(
            kind=kind,
            id=call.id,
            at=at,
            principal=call.principal.id,
            known_by=call.principal.known_by,
            client=call.client.name,
            claimed=call.client.claimed,
            session=call.context.session,
            transport=call.context.transport,
            era=call.context.era,
            trace=call.context.trace,
            method=call.recorded_method,
            upstream=tool.ref.upstream if tool else "",
            tool=call.name_of(tool) if tool else call.told[:128],
            definition=tool.digest if tool else "",
            owner=tool.owner.business if tool and tool.owner else "",
            isolation=of_call(call.context.isolation, presence=self.presence),
            acts_as=tool.acts_as if tool else "",
            prompt=self.turn[1],
            turn=self.turn[0],
            tool_use=call.context.tool_use,
            tier=tool.tier.value if tool else "",
            effect=tool.effect.value if tool else "",
            verdict=decision.verdict.word if decision else "",
            reason=reason or (decision.reason.value if decision else ""),
            rules=decision.rules if decision else (),
            places=decision.places if decision else (),
            obligations=tuple(sorted(str(duty) for duty in decision.obligations)) if decision else (),
            policy_revision=decision.policy_revision if decision else "",
            approval=self.approved.id if self.approved is not None else "",
            arguments_digest=arguments_digest or call.digest,
            marks=self.marks if kind in (Kind.INTENT, Kind.OUTCOME) else (),
            detail=detail or (decision.detail if decision else ""),
            **more,
        )
