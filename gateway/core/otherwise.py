"""What would have changed the answer that a call got, as far as its records tell. No I/O here.

Nothing is guessed: what a record doesn't hold is not said, and where nothing would have helped, that is said.
"""

from collections.abc import Mapping
from datetime import datetime

from gateway.core.model import ApprovalState, Effect, Kind, Reason, Record, Tier, Verdict
from gateway.core.reasons import known
from gateway.core.record import unstamp

_ELSE: Mapping[Reason, str] = {
    Reason.RULE_ERROR: "arguments, or a condition, with which {rules} can be evaluated{detail}; nothing else lifts it",
    Reason.ARGUMENTS_TOO_LARGE: "smaller arguments{detail}; no approval lifts it",
    Reason.OBLIGATION_UNMET: "rules that set and drop arguments alike: no approval lifts a contradiction",
    Reason.SELF_PROTECTION: "nothing: no rule, grant or approval lets a call reach what guards the gateway{detail}",
    Reason.UNKNOWN_TOOL: "the name of a tool that was offered to this client then",
    Reason.UNKNOWN_RESOURCE: "a URI that one upstream lists or has a template for",
    Reason.UNKNOWN_PROMPT: "the name of a prompt that was offered to this client then",
    Reason.UPSTREAM_DOWN: "its upstream connected and ready{detail}; the same call may pass later",
    Reason.INVALID_ARGUMENTS: "arguments that can be taken{detail}",
    Reason.METHOD_BLOCKED: "a rule of `methods` that allows what its upstream asked, or its `elicit` key{detail}",
    Reason.QUESTION_SHARED: 'a connection of the client\'s own: `per = "client"` for upstream {upstream}',
    Reason.QUESTION_UNFIT: "a question that may be passed on{detail}; no setting lets this one pass",
    Reason.CLIENT_UNABLE: "a client that can be asked{detail}",
    Reason.TOO_MANY_ROUNDS: "fewer questions of its upstream, or more in `limits.rounds`{detail}",
    Reason.QUESTION_EXPIRED: "answers in time: `limits.question` says how long they may take",
    Reason.FROZEN: "`wardgate thaw`: somebody holds such calls{detail}; no approval lifts it",
    Reason.TOOL_CHANGED: "somebody who accepts what `{tool}` is now: `wardgate lock` shows it{detail}",
    Reason.TOOL_BARRED: "`wardgate thaw {session}`: somebody blocked `{tool}` for this session{detail}",
    Reason.REDACTED_VALUE: "the real value, or arguments without the placeholder{detail}; no approval lifts it",
    Reason.GRANTED: "without the grant (`wardgate grants` lists it): a question{detail}",
    Reason.OBSERVED: "a day after `observe_until`: a question of {rules}{detail}",
    Reason.PROVEN: "a value without a good origin, in a session that read what is untrusted: a question of {rules}",
    Reason.VOUCHED: "without a person's word for its values: a question of {rules}{detail}",
    Reason.APPROVAL_VOID: "the call as it was approved{detail}; sent again, it asks anew",
    Reason.APPROVAL_USED: "an approval of its own: another call used this one",
    Reason.HANDLE_INVALID: "a `requestState` of this very call, in time and unused; without one it begins anew",
    Reason.BUSY: "room under the limits{detail}; the same call may pass later",
    Reason.RECORD_FAILED: "a record that can be written: without one nothing is forwarded, and nothing released",
    Reason.CLIENT_GONE: "a client that waits for the answer: nothing runs with nobody listening",
    Reason.SCANNER_FAILED: "text that can be screened in time: what can't be is never released{detail}",
    Reason.SECRET_FOUND: "text without the secret{detail}; of an output, its label `secrets` says what that leads to",
    Reason.EXACT_SECRET: "nothing: no setting lets a secret of the gateway's own pass{detail}",
    Reason.RESULT_INVALID: "an output that fits its schema, also where secrets are taken out{detail}",
    Reason.UPSTREAM_ERROR: "another answer of upstream {upstream}: the gateway only passed its error on",
    Reason.UPSTREAM_LOST: "a connection that lasts until the upstream's answer{detail}",
    Reason.UPSTREAM_TIMEOUT: "an answer before the deadline: `timeout` of upstream {upstream} says when that is",
    Reason.CANCELLED: "a caller that waits for the answer",
    Reason.GATEWAY_STOPPED: "a gateway that runs until the upstream's answer",
    Reason.INTERNAL: "nothing that you set: it is a fault of the gateway's own{detail}",
    Reason.UNSCREENED: 'output that can be screened in time; with `trust = "untrusted"` it would be withheld{detail}',
}

_WHY_ASKED: Mapping[Reason, str] = {
    Reason.TIER_DEFAULT: "no question: a rule that allows `{tool}`; none spoke of it, and tier {tier} asks",
    Reason.RULE: "no question: another word of {rules}, which asks",
    Reason.UNPROVEN: "no question: values with a good origin; {rules} asks unless they are proven",
    Reason.RATE_EXCEEDED: "no question: fewer calls, within the rate of {rules}",
    Reason.BUDGET_EXCEEDED: "a call within {rules}{detail}: a smaller one, a later one, or a larger budget",
    Reason.SESSION_RAISED: "no question: another named session, or a `[signals]` table that raises none{detail}",
    Reason.LOOP: "another call, or other arguments{detail}: the same one came again and again",
    Reason.REVIEW_OVERDUE: "no question: a review of the file of {rules}, whose `review_by` has passed",
}

_BY_PEOPLE = (Reason.APPROVED, Reason.APPROVAL_DENIED, Reason.APPROVAL_EXPIRED, Reason.APPROVAL_PENDING)
_UNLABELLED = "no label means effect `destructive`, tier `high`: a `[[tool]]` entry that says less, if it does less"


def changed_by(ended: Record, asked: Record | None, now: datetime) -> tuple[str, ...]:
    """What would have given another answer, most direct first; empty where the record doesn't tell.

    `ended` is the record that says how the call stands, `asked` the latest one of its approval. An ask of a rule or of
    a tier that stands on both is told by the approval.
    """
    reason = known(ended.reason)
    if ended.kind is Kind.APPROVAL or reason in _BY_PEOPLE:
        return _by_people(ended, asked, now)
    if reason is Reason.RULE:
        return (_by_rule(ended),)
    if reason is Reason.TIER_DEFAULT:
        return (_filled("a rule that asks or blocks: none spoke of `{tool}`, and tier {tier} passes", ended),)
    words = _ELSE.get(reason) or _WHY_ASKED.get(reason) if reason is not None else None
    return (_filled(words, ended),) if words else ()


def named_rules(record: Record) -> str:
    """The rules that determined a decision, each with its place where the record holds it."""
    places = (*record.places, *[""] * len(record.rules))
    pairs = zip(record.rules, places, strict=False)
    return " and ".join(f"`{rule}` at {place}" if place else f"`{rule}`" for rule, place in pairs) or "a rule"


def state_of(asked: Record, now: datetime) -> str:
    """How an approval stands: its recorded state, but expired once its time is over and nobody recorded that yet."""
    state = str(asked.extra.get("state", ""))
    is_open = state in (ApprovalState.WAITING.value, ApprovalState.APPROVED.value)
    until = expiry(asked)
    return ApprovalState.EXPIRED.value if is_open and until is not None and now >= until else state


def expiry(asked: Record) -> datetime | None:
    """Until when an approval could be given and used."""
    try:
        return unstamp(str(asked.extra.get("expires_at", "")))
    except ValueError:
        return None


def _by_rule(record: Record) -> str:
    """Of a call that a rule decided: allowed, or blocked."""
    if record.verdict == Verdict.BLOCK.word:
        if len(record.rules) == 1:
            return _filled(
                "another word of {rules}, or a call that it doesn't match; nothing else lifts a block", record
            )
        return _filled(
            "other words of {rules}, or a call that none of them matches; nothing else lifts a block", record
        )
    default = "allows" if record.tier == Tier.READ.value else "asks"
    return _filled(
        f"without {{rules}}: other rules that match, or else the default of tier {{tier}}, which {default}", record
    )


def _by_people(ended: Record, asked: Record | None, now: datetime) -> tuple[str, ...]:
    """Of a call that a person was asked about: another answer, or no question at all."""
    if asked is None:
        return ("another answer of the person who was asked",)
    answer = _answer(asked, state_of(asked, now) if ended.kind is Kind.APPROVAL else "", ended)
    # The approval knows its rule; a record of the call knows all of them, and where they stand.
    return (answer, *unasked(asked, ended if set(asked.rules) <= set(ended.rules) else asked))


def unasked(asked: Record, placed: Record) -> tuple[str, ...]:
    """What would have spared the question that `asked` tells of; `placed` knows where its rules stand."""
    why = known(asked.reason)
    told = [_filled(_WHY_ASKED[why], asked, named_rules(placed))] if why is not None and why in _WHY_ASKED else []
    if why is Reason.TIER_DEFAULT and asked.effect == Effect.DESTRUCTIVE.value:
        told.append(_UNLABELLED)
    return tuple(told)


def _answer(asked: Record, state: str, ended: Record) -> str:
    """What another answer would have been; `state` is empty for a call that has ended, whose reason tells it."""
    extra, until = asked.extra, expiry(asked)
    by, end = str(extra.get("decided_by", "")) or "the person asked", f"{until:%Y-%m-%d %H:%M:%S} UTC" if until else "?"
    needed = f"a yes with proof `{extra.get('proof_required', '?')}` or stronger"
    if (count := int(extra.get("approvers_required", 1))) > 1:
        votes = sum(bool(vote.get("approve")) for vote in extra.get("votes", ()))
        needed += f" of {count} people ({votes} said it)"
    if state == ApprovalState.WAITING.value:
        return f"{needed}, until {end}"
    if state == ApprovalState.WITHDRAWN.value:
        return "a new approval: this one was withdrawn"
    if Reason.APPROVAL_DENIED.value == ended.reason or state == ApprovalState.DENIED.value:
        return f"another answer of {by}"
    if Reason.APPROVAL_EXPIRED.value == ended.reason or state == ApprovalState.EXPIRED.value:
        return f"{needed}, before {end}"
    return f"a no of {by}, or no answer until {end}"


def _filled(text: str, record: Record, rules: str = "") -> str:
    """A sentence with what the record holds."""
    return text.format(
        tool=f"{record.upstream}/{record.tool}",
        upstream=f"`{record.upstream}`",
        session=record.session,
        tier=f"`{record.tier}`",
        rules=rules or named_rules(record),
        detail=f" ({record.detail})" if record.detail else "",
    )
