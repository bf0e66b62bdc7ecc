"""What an upstream asks in the middle of a call: decide on it, screen it, put it to the client, screen the answer.

Sends nothing upstream: what it returns is how the call goes on, and `enforce` forwards that.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import anyio
from msgspec import Struct
from msgspec.structs import replace

from gateway.core import inquiry, posing
from gateway.core.account import Trail
from gateway.core.canon import canonical, count_nodes, keyed_digest
from gateway.core.decide import decide
from gateway.core.model import (
    ELICIT,
    REFUSED,
    Act,
    Again,
    Asked,
    Asking,
    Decision,
    Facts,
    Failure,
    Finding,
    Grade,
    Outcome,
    Question,
    Reason,
    Record,
    Round,
    Tool,
    Verdict,
)
from gateway.core.outward import excused, spared
from gateway.core.own import honeytokens
from gateway.core.tiers import acted, withheld
from gateway.errors import GatewayError
from gateway.ports import Caller, House

CANCELLED: Mapping[str, Any] = {"action": "cancel"}  # how an elicitation that nobody answered ends
PATIENCE = 2.0  # seconds until what an upstream says beside its answer must have been screened
LONGEST = 8 * 1024  # characters of a progress notice
NEVER = datetime.max.replace(tzinfo=UTC)
TAIL = 512  # of them that are dropped where it was cut: a secret may have been cut with it


class Stuck(Struct, frozen=True):
    """The call can't go on: the upstream waits for what it doesn't get."""

    reason: Reason
    detail: str
    requires: Mapping[str, Any] | None = None


class Listener:
    """Hears an upstream while one call runs; implements `ports.Ears`. What is said is screened before it goes on, and
    words of ours in it are marked as the upstream's.
    """

    def __init__(self, house: House, caller: Caller, trail: Trail) -> None:
        self._house, self._caller, self._trail = house, caller, trail
        self.wants_progress = caller.wants_progress

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Pass an upstream's progress on; its text is screened like any output, and dropped if it can't be now."""
        said: str | None = None
        if message and self._house.screener.redacts_at_once(0):
            with suppress(GatewayError):
                told = await self._screened("progress", message[:LONGEST])
                said = told if len(message) <= LONGEST else told[:-TAIL]
        await self._caller.progress(done, total, said)

    async def log(self, level: str, data: Any, logger: str | None) -> None:
        """Pass a log notice on, if it can be screened and its client wants to hear of any."""
        if not self._caller.wants_logs:
            return
        try:
            said = await self._screened("log", {"data": data, "logger": logger})
        except GatewayError:
            return
        await self._caller.log(level, said["data"], said["logger"])

    async def _screened(self, where: str, said: Any) -> Any:
        """What was said, marked and redacted; the record of the call tells where that was needed."""
        told, posed = posing.tell_apart(said)
        self._trail.poses |= {where} if posed else set()
        deadline = self._house.clock.monotonic() + PATIENCE
        clean, found = await self._house.screener.redact(told, deadline, self._trail.tool)
        found = excused(found, self._house.screener.allowed)
        own = any(one.exact for one in found)
        self._trail.hear(where, withheld(found) if own else found)
        if own:
            raise GatewayError("it holds a secret of the gateway's own")
        if self._trail.tool is not None and (self._caller.wants_progress if where == "progress" else True):
            await self._house.flows.heard(self._trail.call, self._trail.tool, told, sure=where == "progress")
        return told if spared(found) else clean


class Inquiry:
    """Takes an upstream's questions to the client of the call; `patience` seconds are given for all answers."""

    def __init__(self, house: House, patience: float, most_rounds: int) -> None:
        self._house, self._patience, self._most = house, patience, most_rounds

    async def come_back(self, trail: Trail) -> Round | None:
        """Take up the round that a call's client comes back to; None where it comes back to none."""
        if not self._house.rounds.owns(trail.call):
            return None
        found = await self._house.rounds.take(trail.call)
        if found is not None:
            trail.go_on(found, self._house.key)
        return found

    async def put(self, trail: Trail, tool: Tool, asked: Asked, caller: Caller) -> Again | Asking | Stuck:
        """Put what is asked to the client: answers at once, a handle to come back with, or why it can't go on."""
        if trail.asked is not None and trail.call.resume is not None:  # the client came back with answers
            return await self.take(trail, tool, asked, trail.call.resume.answers)
        trail.questioned(asked)
        if trail.rounds >= self._most:
            return Stuck(Reason.TOO_MANY_ROUNDS, f"the upstream asked more than {self._most} times")
        shown: list[Question] = []
        for question in asked.questions:
            fit = await self._judge(trail, tool, question)
            if isinstance(fit, Stuck):
                return self._turned_down(asked, fit)
            shown.append(fit)
        if caller.modern:
            handle = await self._house.rounds.open(trail.as_it_came, *self._kept(trail, tool, asked))
            return Asking(trail.call.id, handle, tuple(shown))
        if not caller.answers_inline and shown:
            return self._turned_down(asked, Stuck(Reason.CLIENT_UNABLE, "the client can't be asked on this connection"))
        answers: dict[str, Any] = {}
        with anyio.move_on_after(self._patience):
            for question in shown:
                answers[question.key] = await self._ask(caller, question)
        return await self.take(trail, tool, asked, answers)

    def _kept(self, trail: Trail, tool: Tool, asked: Asked) -> tuple[Round, Record]:
        """What is kept of a call until its client comes back, and its outcome if nobody does."""
        call, lent = trail.call, trail.decision.uses if trail.decision is not None else ()
        edited = call.arguments if trail.edits else None
        # It is used by now: its time may end while the upstream's question is answered.
        given = replace(trail.approved, expires_at=NEVER) if trail.approved is not None else None
        kept = Round(call.id, tool.digest, trail.rounds, call.digest, asked, given, lent, edited)
        return kept, trail.outcome(self._house.clock.now(), Outcome.UNKNOWN, Reason.QUESTION_EXPIRED)

    async def take(self, trail: Trail, tool: Tool, asked: Asked, answers: Mapping[str, Any]) -> Again | Stuck:
        """Check the answers as what they are: data that leaves for the upstream. One that holds a secret doesn't."""
        taken: dict[str, Mapping[str, Any] | Failure] = {}
        for question in asked.questions:
            answer = answers.get(question.key)
            checked, found = await self._check(question, answer)
            if isinstance(checked, Stuck):
                found = tuple(replace(one, place=f"answer.{one.place}") for one in found)
                self._record(trail, question, *self._decide(trail, tool, question), checked, found)
                return self._turned_down(asked, checked)
            trail.hear("answer", found)
            taken[question.key] = checked
        return Again(taken, asked.state, asked.parked)

    async def _judge(self, trail: Trail, tool: Tool, question: Question) -> Question | Stuck:
        """Decide on one question, and make of it what may be shown."""
        decision, digest = self._decide(trail, tool, question)
        if decision.verdict is not Verdict.ALLOW:
            self._record(trail, question, decision, digest)
            return Stuck(decision.reason, decision.detail)
        fit, found = await self._fit(trail, tool, question)
        stuck = fit if isinstance(fit, Stuck) else None
        self._record(trail, question, decision, digest, stuck, found if stuck is None else withheld(found))
        if stuck is None:
            await self._house.flows.heard(trail.call, tool, question.params)
        return fit

    async def _fit(self, trail: Trail, tool: Tool, question: Question) -> tuple[Question | Stuck, tuple[Finding, ...]]:
        """The question as it is shown, or why it isn't; and what was found in it. It is screened before it is cut."""
        house, upstream = self._house, tool.ref.upstream
        needed = inquiry.lacking(question, trail.call.context.capabilities)
        if needed is not None:
            return Stuck(Reason.CLIENT_UNABLE, f"the client did not declare what {question.method} needs", needed), ()
        deadline = house.clock.monotonic() + house.upstreams.timeout(upstream)
        try:
            marked = {"key": question.key, "question": posing.tell_apart(question.params)[0]}
            clean, found = await house.screener.redact(marked, deadline, tool)
            found = excused(found, house.screener.allowed)
            clean = marked if spared(found) else clean
        except GatewayError:
            return Stuck(Reason.SCANNER_FAILED, "the question could not be screened"), ()
        if any(one.exact for one in found):
            return Stuck(Reason.EXACT_SECRET, "the question held a secret of the gateway's own"), found
        if clean["key"] != question.key or clean["question"].get("url") != question.params.get("url"):
            return Stuck(Reason.SECRET_FOUND, "its address, or what it is called by, held a secret"), found
        told = replace(question, params=clean["question"])
        shown = inquiry.present(told, upstream, house.upstreams.elicit(upstream))
        return (Stuck(Reason.QUESTION_UNFIT, shown) if isinstance(shown, str) else shown), found

    def _decide(self, trail: Trail, tool: Tool, question: Question) -> tuple[Decision, str]:
        """The policy's word on a question: it is a call of the upstream's to the client."""
        house, upstream = self._house, tool.ref.upstream
        sealed = canonical(question.params)
        digest = keyed_digest(house.key, sealed)
        method = house.catalogue.method(upstream, question.method)
        call = replace(
            trail.call,
            exposed=question.method,
            arguments=question.params,
            canonical=sealed,
            digest=digest,
            method=question.method,
        )
        facts = Facts(
            now=house.clock.now(),
            tool=method,
            tainted=(flow := house.flows.look(trail.call, None)).tainted,
            private=flow.private,
            sources=flow.sources,
            nodes=count_nodes(question.params),
            elicit=house.upstreams.elicit(upstream),
        )
        return decide(call, facts, house.policy()), digest

    async def _ask(self, caller: Caller, question: Question) -> Mapping[str, Any] | None:
        try:
            return await caller.ask(question)
        except GatewayError:
            return None

    async def _check(self, question: Question, answer: Any) -> tuple[Mapping[str, Any] | Stuck, tuple[Finding, ...]]:
        """An answer as it may be sent, or why it may not; and what was found in it.

        A guess holds up nobody's answer: it passes as it is, and the record tells it.
        """
        if not isinstance(answer, Mapping):
            if question.method == ELICIT:
                return CANCELLED, ()
            return Stuck(Reason.CLIENT_UNABLE, f"the client gave no answer to {question.method}"), ()
        try:
            _, found = await self._house.screener.redact(answer, self._house.clock.monotonic() + 10.0)
            found = excused(found, self._house.screener.allowed)
        except GatewayError:
            return Stuck(Reason.SCANNER_FAILED, "the answer could not be screened"), ()
        if any(one.exact for one in found):
            return Stuck(Reason.EXACT_SECRET, "the answer held a secret of the gateway's own"), acted(
                found, Act.BLOCKED
            )
        if any(one.grade is not Grade.GENERIC and one.act is not Act.ALLOWED for one in found):
            return Stuck(Reason.SECRET_FOUND, "the answer held a secret"), acted(found, Act.BLOCKED)
        passed = (one if one.act is Act.ALLOWED else replace(one, act=Act.FLAGGED) for one in found)
        return answer, tuple(passed)

    def _record(
        self,
        trail: Trail,
        question: Question,
        decision: Decision,
        digest: str,
        stuck: Stuck | None = None,
        found: tuple[Finding, ...] = (),
    ) -> None:
        if stuck is not None:
            decision = replace(decision, verdict=Verdict.BLOCK, reason=stuck.reason, detail=stuck.detail)
        found += tuple(trail.heard)  # said so far: the outcome may be another round's, of another trail
        trail.heard.clear()
        trail.sighted += honeytokens(found)
        told = trail.question(self._house.clock.now(), question, decision, digest)
        self._house.records.queue(replace(told, findings=found) if found else told)

    def _turned_down(self, asked: Asked, why: Stuck) -> Again | Stuck:
        """A legacy upstream is told no and goes on; a modern one has no way to hear it, so its call ends."""
        if not asked.parked:
            return why
        told = Failure(REFUSED, f"Wardgate: not passed on ({why.reason.value})")
        return Again({question.key: told for question in asked.questions}, None, asked.parked)
