"""What an upstream asks in the middle of a call: decide on it, screen it, put it to the client, screen the answer.

Sends nothing upstream: what it returns is how the call goes on, and `enforce` forwards that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import anyio

from gateway.core import inquiry, posing
from gateway.core.account import Trail
from gateway.core.canon import canonical, count_nodes, keyed_digest
from gateway.core.decide import decide
from gateway.core.model import (
    ELICIT,
    REFUSED,
    Again,
    Asked,
    Asking,
    Decision,
    Facts,
    Failure,
    Outcome,
    Question,
    Reason,
    Record,
    Tool,
    Verdict,
)
from gateway.errors import GatewayError
from gateway.ports import Caller, House, Round

CANCELLED: Mapping[str, Any] = {"action": "cancel"}  # how an elicitation that nobody answered ends


@dataclass(frozen=True, slots=True)
class Stuck:
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
        """Pass an upstream's progress on; its text is screened like any output."""
        said = self._house.screener.clean_text(self._told("progress", message)) if message else None
        await self._caller.progress(done, total, said)

    async def log(self, level: str, data: Any, logger: str | None) -> None:
        """Pass a log notice on, if it can be screened and its client wants to hear of any."""
        if not self._caller.wants_logs:
            return
        try:
            said = await self._house.screener.clean(
                self._told("log", {"data": data, "logger": logger}), self._house.clock.monotonic() + 2.0
            )
        except GatewayError:
            return
        await self._caller.log(level, said["data"], said["logger"])

    def _told(self, where: str, said: Any) -> Any:
        """What was said, marked; where that was needed, the record of the call tells it."""
        told, posed = posing.tell_apart(said)
        self._trail.poses |= {where} if posed else set()
        return told


class Inquiry:
    """Takes an upstream's questions to the client of the call; `patience` seconds are given for all answers."""

    def __init__(self, house: House, patience: float, most_rounds: int) -> None:
        self._house, self._patience, self._most = house, patience, most_rounds

    async def put(self, trail: Trail, tool: Tool, asked: Asked, caller: Caller) -> Again | Asking | Stuck:
        """Put what is asked to the client: answers at once, a handle to come back with, or why it can't go on."""
        if trail.asked is not None and trail.call.resume is not None:  # the client came back with answers
            return await self.take(trail, tool, asked, trail.call.resume.answers)
        trail.asked = asked
        if trail.rounds >= self._most:
            return Stuck(Reason.TOO_MANY_ROUNDS, f"the upstream asked more than {self._most} times")
        shown: list[Question] = []
        for question in asked.questions:
            fit = await self._judge(trail, tool, question)
            if isinstance(fit, Stuck):
                return self._turned_down(asked, fit)
            shown.append(fit)
        if caller.modern:
            handle = await self._house.rounds.open(trail.call, *self._kept(trail, tool, asked))
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
        revision = trail.decision.policy_revision if trail.decision is not None else ""
        kept = Round(trail.call.id, tool.digest, trail.rounds, trail.approval, revision, asked)
        return kept, trail.outcome(self._house.clock.now(), Outcome.UNKNOWN, Reason.QUESTION_EXPIRED)

    async def take(self, trail: Trail, tool: Tool, asked: Asked, answers: Mapping[str, Any]) -> Again | Stuck:
        """Check the answers as what they are: data that leaves for the upstream. One that holds a secret doesn't."""
        taken: dict[str, Mapping[str, Any] | Failure] = {}
        for question in asked.questions:
            answer = answers.get(question.key)
            checked = await self._check(question, answer)
            if isinstance(checked, Stuck):
                self._record(trail, question, *self._decide(trail, tool, question), checked)
                return self._turned_down(asked, checked)
            taken[question.key] = checked
        return Again(taken, asked.state, asked.parked)

    async def _judge(self, trail: Trail, tool: Tool, question: Question) -> Question | Stuck:
        """Decide on one question, and make of it what may be shown."""
        decision, digest = self._decide(trail, tool, question)
        fit = await self._fit(trail, tool, question) if decision.verdict is Verdict.ALLOW else None
        self._record(trail, question, decision, digest, fit if isinstance(fit, Stuck) else None)
        return fit or Stuck(decision.reason, decision.detail)

    async def _fit(self, trail: Trail, tool: Tool, question: Question) -> Question | Stuck:
        house, upstream = self._house, tool.ref.upstream
        needed = inquiry.lacking(question, trail.call.context.capabilities)
        if needed is not None:
            return Stuck(Reason.CLIENT_UNABLE, f"the client did not declare what {question.method} needs", needed)
        try:
            marked = replace(question, params=posing.tell_apart(question.params)[0])
        except GatewayError:
            return Stuck(Reason.SCANNER_FAILED, "the question could not be screened")
        shown = inquiry.present(marked, upstream, house.upstreams.elicit(upstream))
        if isinstance(shown, str):
            return Stuck(Reason.QUESTION_UNFIT, shown)
        deadline = house.clock.monotonic() + house.upstreams.timeout(upstream)
        try:
            return replace(shown, params=await house.screener.clean(shown.params, deadline))
        except GatewayError:
            return Stuck(Reason.SCANNER_FAILED, "the question could not be screened")

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
            tainted=house.sessions.tainted(call.context.session),
            nodes=count_nodes(question.params),
            elicit=house.upstreams.elicit(upstream),
        )
        return decide(call, facts, house.policy()), digest

    async def _ask(self, caller: Caller, question: Question) -> Mapping[str, Any] | None:
        try:
            return await caller.ask(question)
        except GatewayError:
            return None

    async def _check(self, question: Question, answer: Any) -> Mapping[str, Any] | Stuck:
        """An answer as it may be sent, or why it may not."""
        if not isinstance(answer, Mapping):
            if question.method == ELICIT:
                return CANCELLED
            return Stuck(Reason.CLIENT_UNABLE, f"the client gave no answer to {question.method}")
        try:
            cleaned = await self._house.screener.clean(answer, self._house.clock.monotonic() + 10.0)
        except GatewayError:
            return Stuck(Reason.SCANNER_FAILED, "the answer could not be screened")
        if cleaned != answer:
            return Stuck(Reason.SECRET_FOUND, "the answer held a secret")
        return answer

    def _record(
        self, trail: Trail, question: Question, decision: Decision, digest: str, stuck: Stuck | None = None
    ) -> None:
        if stuck is not None:
            decision = replace(decision, verdict=Verdict.BLOCK, reason=stuck.reason, detail=stuck.detail)
        self._house.records.queue(trail.question(self._house.clock.now(), question, decision, digest))

    def _turned_down(self, asked: Asked, why: Stuck) -> Again | Stuck:
        """A legacy upstream is told no and goes on; a modern one has no way to hear it, so its call ends."""
        if not asked.parked:
            return why
        told = Failure(REFUSED, f"Wardgate: not passed on ({why.reason.value})")
        return Again({question.key: told for question in asked.questions}, None, asked.parked)
