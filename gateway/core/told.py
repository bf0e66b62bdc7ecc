"""What was read of one call, or of any other record, to explain it: what follows from that, and `explain --json`.

Everything comes from the record: what it doesn't hold is left out or said to be unknown. No I/O here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct, field

from gateway.core.model import ApprovalState, Finding, Kind, Outcome, Reason, Record, Release, Tier, Verdict
from gateway.core.otherwise import changed_by, state_of
from gateway.core.reasons import sentence
from gateway.core.record import stamp

STEPS = ("decide", "arguments", "approval", "intent", "upstream", "screen")  # in the order of a call's path

_OF_CALLS = (Kind.INTENT, Kind.OUTCOME, Kind.APPROVAL, Kind.QUESTION)
_QUESTIONS = (Reason.METHOD_BLOCKED, Reason.QUESTION_UNFIT, Reason.CLIENT_UNABLE, Reason.TOO_MANY_ROUNDS)
_STANDS = {
    ApprovalState.WAITING.value: "waits for a person: nothing was forwarded",
    ApprovalState.APPROVED.value: "approved, and not executed yet: it waits for the same call to come again",
    ApprovalState.DENIED.value: "refused by a person: nothing was forwarded",
    ApprovalState.EXPIRED.value: "expired: no answer in time, or nobody came for it; nothing was forwarded",
    ApprovalState.WITHDRAWN.value: "refused: its approval was withdrawn, nothing was forwarded",
}


class Brief(NamedTuple):
    """Another record in a few words; one that is not there, or not for this viewer, has an id and no kind."""

    id: str
    kind: str = ""
    at: str = ""
    upstream: str = ""
    tool: str = ""
    session: str = ""
    verdict: str = ""
    reason: str = ""
    outcome: str = ""
    approval: str = ""
    by: str = ""  # who settled that approval
    proof: str = ""


class Check(NamedTuple):
    """One check on the path of a call: what came of it, and how many microseconds it took."""

    name: str
    result: str
    us: int


class Before(Struct, frozen=True):
    """The outputs that were delivered before a call since its turn's prompt: how many, and the newest, that one
    first.
    """

    count: int = 0
    latest: tuple[Brief, ...] = ()
    cut: bool = False  # the record doesn't tell of all of them, or they are too many to follow


class Telling(Struct, frozen=True):
    """All that was read to explain one id. `rows` are sequence numbers and records, in order; never empty."""

    id: str
    rows: tuple[tuple[int, Record], ...]
    size: int
    root: str
    now: datetime
    sources: Mapping[str, Brief] = field(default_factory=dict)  # of what the arguments carried
    before: Before = Before()
    prompt: Record | None = None
    similar: tuple[Brief, ...] = ()  # newest first
    checkpoint: Record | None = None  # the first that covers the row which is placed

    @property
    def own(self) -> tuple[tuple[int, Record], ...]:
        """The records of the id itself; all of them where there is none, as of a call that is only asked about."""
        return tuple(row for row in self.rows if row[1].id == self.id) or self.rows

    @property
    def main(self) -> tuple[int, Record]:
        """The record that says most: the call's outcome, else its last intent, else whatever came last."""
        for kind in (Kind.OUTCOME, Kind.INTENT):
            if found := [row for row in self.own if row[1].kind is kind]:
                return found[-1]
        return self.own[-1]

    @property
    def grounds(self) -> Record:
        """The record that holds what was decided on: the call's first, or its approval's."""
        rows = [record for _, record in self.own]
        return next((record for record in rows if record.kind in (Kind.INTENT, Kind.OUTCOME)), rows[0])

    @property
    def asked(self) -> Record | None:
        """The latest record of its approval."""
        found = [record for _, record in self.rows if record.kind is Kind.APPROVAL]
        return found[-1] if found else None

    @property
    def is_call(self) -> bool:
        """Whether it is of a call, and not of the gateway's own doings, a prompt or a signal."""
        return self.grounds.kind in _OF_CALLS


def decided(telling: Telling) -> tuple[str, str]:
    """The verdict and its reason. A record holds no reason of an allow that came to nothing for another one."""
    grounds, asked = telling.grounds, telling.asked
    verdict = Verdict.ASK.word if grounds.kind is Kind.APPROVAL else grounds.verdict
    if verdict == Verdict.ASK.word and asked is not None:
        return verdict, asked.reason
    broke_off = grounds.kind is Kind.OUTCOME and verdict != Verdict.BLOCK.word
    return verdict, "" if broke_off else grounds.reason


def ended(telling: Telling) -> str:
    """How it stands, in words."""
    record = telling.main[1]
    match record.kind:
        case Kind.OUTCOME:
            return (f"ran as {record.id}: " if record.id != telling.id else "") + _outcome(telling, record)
        case Kind.INTENT:
            return "not ended: it is about to be forwarded, or under way"
        case Kind.APPROVAL:
            return _STANDS.get(state_of(record, telling.now), "not known")
        case _:
            return f"{record.kind.value} {record.outcome}".strip()


def _outcome(telling: Telling, record: Record) -> str:
    """How a call ended, in words."""
    held = {Release.WITHHELD.value: ", its result was withheld", Release.REDACTED.value: ", its result was redacted"}
    match record.outcome:
        case Outcome.OK.value:
            return f"executed{held.get(record.release, '')}"
        case Outcome.ERROR.value if record.reason in _QUESTIONS:
            return "not completed: its upstream asked for what it did not get"
        case Outcome.ERROR.value:
            return f"executed, and it failed{held.get(record.release, '')}"
        case Outcome.DENIED.value if record.reason == Reason.APPROVAL_EXPIRED.value:
            return "refused: nobody answered in time, nothing was forwarded"
        case Outcome.DENIED.value:
            return "refused by a person: nothing was forwarded"
        case Outcome.BLOCKED.value:
            return f"refused: {_reach(telling, record)}"
        case _:
            return "unknown: it was sent, and may have happened"


def _reach(telling: Telling, record: Record) -> str:
    """How far a refused call got: a round of it may have been sent before the one that was refused."""
    rounds = sum(each.kind is Kind.INTENT for _, each in telling.own)
    unsent = not record.release or record.reason in (Reason.UPSTREAM_DOWN, Reason.BUSY)
    return "nothing was forwarded" if rounds <= unsent else "its first round had been forwarded, nothing more was"


def checks(telling: Telling) -> tuple[Check, ...]:
    """Each check that was made, in the order of the path of a call."""
    record, proof = telling.main[1], approval_proof(telling)
    verdict, reason = decided(telling)
    durable = record.tier != Tier.READ.value or bool(record.approval) or "grant" in telling.grounds.authorised
    results = {
        "decide": f"{verdict} ({reason})" if reason else verdict,
        "arguments": f"{sum(found.place.startswith('arguments.') for found in findings(telling))} redacted",
        "approval": f"{proof['state']} by {proof['by']}" if proof else "nobody answered",
        "intent": "on disk before it was forwarded" if durable else "queued for the disk",
        "upstream": record.outcome,
        "screen": record.release,
    }
    times = record.timings_us
    names = [*(name for name in STEPS if name in times), *sorted(set(times) - set(STEPS))]
    return tuple(Check(name, results.get(name, "done"), times[name]) for name in names)


def findings(telling: Telling) -> tuple[Finding, ...]:
    """All secrets that were found, in the order of the records."""
    return tuple(dict.fromkeys(found for _, record in telling.own for found in record.findings))


def approval_proof(telling: Telling) -> Mapping[str, Any] | None:
    """Who settled the approval, how that person is known, and for what that person answers; None if nobody did."""
    for _, record in reversed(telling.rows):
        extra = record.extra
        if record.kind is Kind.APPROVAL and extra.get("decided_by"):
            told = {key: extra.get(key, "") for key in ("state", "proof", "votes", "statement")}
            return {"by": extra["decided_by"], "at": stamp(record.at), "note": record.detail, **told}
    return None


def kept_arguments(telling: Telling) -> Mapping[str, Any] | None:
    """The redacted arguments as they were decided on; of a call that is only asked about, those of its card."""
    records = (telling.grounds, *(record for _, record in telling.rows))
    return next((record.arguments for record in records if record.arguments is not None), None)


def otherwise(telling: Telling) -> tuple[str, ...]:
    """What would have changed the answer; empty for what is no call, and where the record doesn't tell."""
    return changed_by(telling.main[1], telling.asked, telling.now) if telling.is_call else ()


def item(telling: Telling) -> dict[str, Any]:
    """What `explain --json` says beside the item of the log (`policy.md`, and more keys than stand there)."""
    seq, record = telling.main
    grounds, before, covered = telling.grounds, telling.before, telling.checkpoint
    names = (
        "known_by",
        "claimed",
        "transport",
        "era",
        "method",
        "trace",
        "definition",
        "owner",
        "acts_as",
        "arguments_digest",
    )
    return {
        "id": telling.id,
        "ended": ended(telling),
        "explained": sentence(record.reason),
        "detail": record.detail,
        "checks": [check._asdict() for check in checks(telling)],
        "rule_at": ", ".join(record.places or grounds.places),
        "proof_of_approval": approval_proof(telling),
        "authorised": dict(grounds.authorised),
        **{name: getattr(grounds, name) for name in names},
        "isolation": grounds.isolation,
        "facts": dict(grounds.facts),
        "arguments": kept_arguments(telling),
        "omitted": {**grounds.omitted, **record.omitted},
        "carried": [{**each, **_source(telling, each)} for each in grounds.carried],
        "context": {"count": before.count, "latest": [_told(each) for each in before.latest], "cut": before.cut},
        "prompt": _prompt(telling),
        "findings": [{"kind": found.kind, "place": found.place} for found in findings(telling)],
        "similar": [_told(each) for each in telling.similar],
        "extra": dict(record.extra),
        "tree": {"index": seq - 1, "size": telling.size, "root": telling.root},
        "checkpoint": None if covered is None else {"id": covered.id, "size": covered.extra.get("size")},
        "changed_by": list(otherwise(telling)),
    }


def _prompt(telling: Telling) -> Mapping[str, Any]:
    """The prompt of the call's turn, as far as it is known."""
    grounds, prompt = telling.grounds, telling.prompt
    told: dict[str, Any] = {"id": grounds.turn, "digest": grounds.prompt}
    if prompt is not None:
        told["at"] = stamp(prompt.at)
        told |= {key: prompt.extra[key] for key in ("source", "proves", "why_not", "text") if key in prompt.extra}
    return told


def _source(telling: Telling, carried: Mapping[str, Any]) -> Mapping[str, str]:
    """What is known of the call whose output a value stood in, beside its id."""
    found = telling.sources.get(str(carried.get("source", "")), Brief(""))
    return {"upstream": found.upstream, "tool": found.tool, "at": found.at} if found.kind else {}


def _told(each: Brief) -> Mapping[str, str]:
    """Another record as `--json` names it: what is not known is left out."""
    return {name: value for name, value in each._asdict().items() if value}
