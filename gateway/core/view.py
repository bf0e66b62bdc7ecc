"""The card as data, the same for console, terminal and chat: what is exact, what is hidden, what differs. No I/O here.

What the agent controls comes as values with their lengths; headline and last line are the gateway's own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.core.canon import canonical
from gateway.core.card import HEX, measure, why
from gateway.core.grants import ONCE_ONLY, offered
from gateway.core.model import RELEASE, Approval, ApprovalState, Effect
from gateway.core.outward import parted
from gateway.core.record import stamp
from gateway.core.visible import visible

FOLD = 240  # characters from which on a value is folded
MOST_NAMED, LONGEST_NAME = 6, 48  # arguments that are named on one line, and characters of such a name


class Value(Struct, frozen=True):
    """One argument: exact, with hidden characters visible; `before` is what it was in the last approved call."""

    name: str
    text: str
    length: int
    digest: str
    folded: bool
    hidden: bool  # characters that don't show, or change the direction, were made visible
    change: str = ""  # same | changed | new | gone; empty: there is nothing to compare with
    before: str = ""
    sources: tuple[str, ...] = ()  # calls in whose output it stood before
    disguised: bool = False  # in one of them in look-alike letters, with hidden characters between, or encoded


class History(Struct, frozen=True):
    """What was decided before on this tool for this principal."""

    approved: int = 0
    denied: int = 0
    by: tuple[str, ...] = ()  # who decided, most often first
    last: Approval | None = None  # the newest one that was approved


class Card(Struct, frozen=True):
    """All that a person sees before deciding."""

    id: str
    state: str
    headline: str
    who: str
    known_by: str
    client: str
    claimed: str
    session: str
    transport: str
    upstream: str
    tool: str
    exposed: str
    owner: str
    acts_as: str
    effect: str
    tier: str
    why: str
    reason: str
    places: tuple[str, ...]
    detail: str
    definition: str
    definition_changed: bool  # since the last approved call
    arguments: tuple[Value, ...]
    redacted: bool
    edited: bool
    carried: tuple[Mapping[str, Any], ...]
    preview: Mapping[str, str]
    approved_before: int
    denied_before: int
    decided_by_before: tuple[str, ...]
    last_approved_at: str
    proof_required: str
    approvers_required: int
    approve_by: tuple[str, ...]
    choices: tuple[str, ...]
    vouchable: tuple[str, ...]
    free: tuple[str, ...]
    labelled: bool
    proposed: str
    effects: tuple[str, ...]
    confirm: str  # what has to be typed (the tool's name), or empty: one key will do
    created_at: str
    expires_at: str
    seconds_left: int
    at_the_deadline: str
    decided_by: str
    proof: str
    note: str
    last_line: str
    also: tuple[Mapping[str, str], ...]  # other calls of the session that wait: id, exposed, same arguments or not
    remarks: tuple[str, ...] = ()  # what the definition of its tool says that a person should know (`core/wording.py`)


def view(row: Approval, history: History, waiting: Sequence[Approval], now: datetime) -> Card:
    """The card of a row; `waiting` are the rows that wait in its session."""
    shown, last, left = row.shown, history.last, row.expires_at - now
    open_ = row.state is ApprovalState.WAITING
    return Card(
        id=row.id,
        state=row.state.value,
        headline=(
            f"Let the output of {visible(row.exposed)} leave with the secrets in it?"
            if row.method == RELEASE
            else f"Allow {visible(row.exposed)}? It {_DOES[row.effect]}."
        ),
        who=visible(row.principal),
        known_by=shown.known_by,
        client=visible(row.client),
        claimed=visible(shown.claimed),
        session=visible(row.session),
        transport=shown.transport,
        upstream=row.upstream,
        tool=visible(row.tool),
        exposed=visible(row.exposed),
        owner=shown.owner,
        acts_as=visible(shown.acts_as),
        effect=row.effect.value,
        tier=row.tier.value,
        why=visible(why(row)),
        reason=row.reason.value,
        places=shown.places,
        detail=visible(parted(shown.detail)[0]),
        definition=row.definition[:HEX],
        definition_changed=last is not None and last.definition != row.definition,
        arguments=_values(row, last),
        redacted=shown.redacted,
        edited=bool(row.follows),
        carried=shown.carried,
        preview={name: visible_lines(text) for name, text in shown.preview.items()},
        approved_before=history.approved,
        denied_before=history.denied,
        decided_by_before=history.by,
        last_approved_at=stamp(last.created_at) if last is not None else "",
        proof_required=row.requirement.proof.word,
        approvers_required=row.requirement.approvers,
        approve_by=tuple(sorted(row.requirement.by)),
        choices=tuple(choice.value for choice in offered(row)) if open_ else (),
        vouchable=tuple(visible(value) for value in shown.vouchable),
        free=row.free,
        labelled=shown.labelled,
        proposed=shown.proposed,
        effects=tuple(effect.value for effect in Effect),
        confirm=row.exposed if row.effect in ONCE_ONLY else "",
        created_at=stamp(row.created_at),
        expires_at=stamp(row.expires_at),
        seconds_left=max(0, int(left.total_seconds())) if open_ else 0,
        at_the_deadline=(
            "Without an answer, or once its client has waited long enough, the output leaves redacted."
            if row.method == RELEASE
            else "Without an answer it is not executed, and the agent is told that nobody answered."
        ),
        decided_by=row.decided_by,
        proof=row.proof.word if row.proof is not None else "",
        note=visible(row.note),
        last_line=f"Wardgate, approval {row.id}. {(_LEFT if row.method == RELEASE else _ENDED)[row.state]}",
        also=tuple(
            {
                "id": other.id,
                "exposed": visible(other.exposed),
                "same": "yes" if other.arguments_digest == row.arguments_digest else "",
            }
            for other in waiting
            if other.id != row.id
        ),
    )


def before(row: Approval, history: History) -> str:
    """What was decided before, and what is not as it was at the last approval, in one line; empty where nothing was."""
    if not history.approved and not history.denied:
        return ""
    by = f" (by {', '.join(map(visible, history.by))})" if history.by else ""
    said = [f"approved {_times(history.approved)}, denied {_times(history.denied)}{by}"]
    last = history.last
    if last is not None:
        names = sorted({*row.arguments, *last.arguments})
        other = [name for name in names if row.arguments.get(name) != last.arguments.get(name)]
        listed = ", ".join(visible(name)[:LONGEST_NAME] for name in other) or "something that is not shown"
        many = f"{len(other)} arguments" if len(other) > MOST_NAMED else listed
        same = row.asked_digest == last.asked_digest and not other
        said.append("the arguments are those of the last approval" if same else f"not as at the last approval: {many}")
        said += ["its definition changed since then"] * (last.definition != row.definition)
    return "; ".join(said)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def visible_lines(text: str) -> str:
    """Several lines with everything hidden made visible, but for the line breaks."""
    return "\n".join(visible(line) for line in text.split("\n"))


_DOES = {
    Effect.READ: "reads",
    Effect.WRITE: "changes data",
    Effect.EGRESS: "sends something out",
    Effect.MONEY: "moves money",
    Effect.PRIVILEGE: "changes who may do what",
    Effect.CREDENTIAL: "reveals or changes credentials",
    Effect.DESTRUCTIVE: "deletes or executes",
}
_ENDED = {
    ApprovalState.WAITING: "Nothing has been executed yet.",
    ApprovalState.APPROVED: "Approved; it runs when its agent comes for it.",
    ApprovalState.DENIED: "Denied; nothing was executed.",
    ApprovalState.EXPIRED: "Expired; nothing was executed.",
    ApprovalState.USED: "Approved, and executed once.",
    ApprovalState.WITHDRAWN: "Withdrawn; nothing was executed.",
}
_LEFT = {
    ApprovalState.WAITING: "The call has been executed; its output is held.",
    ApprovalState.APPROVED: "Approved; the output leaves as it is.",
    ApprovalState.DENIED: "Denied; the output left redacted.",
    ApprovalState.EXPIRED: "Expired; the output left redacted.",
    ApprovalState.USED: "Approved; the output left as it was.",
    ApprovalState.WITHDRAWN: "Withdrawn; the output left redacted.",
}


def _values(row: Approval, last: Approval | None) -> tuple[Value, ...]:
    """The arguments in a fixed order, compared with those of the last approved call; what is gone comes last."""
    sources: dict[str, list[str]] = {}
    disguised: set[str] = set()
    for one in row.shown.carried:
        name = str(one.get("argument", "")).split(".")[0].split("[")[0]
        sources.setdefault(name, []).append(str(one.get("source", "")))
        disguised |= {name} if one.get("disguised") else set()
    former = {} if last is None else last.arguments
    found = [
        replace(
            _value(name, value, last is not None, former, tuple(dict.fromkeys(sources.get(name, ())))),
            disguised=name in disguised,
        )
        for name, value in sorted(row.arguments.items())
    ]
    gone = [
        Value(visible(name), "", 0, "", False, False, "gone", _shown(former[name]))
        for name in sorted(set(former) - set(row.arguments))
    ]
    return (*found, *gone)


def _value(name: str, value: Any, compared: bool, former: Mapping[str, Any], sources: tuple[str, ...]) -> Value:
    text = _shown(value)
    change = before = ""
    if compared:
        change = "new" if name not in former else "same" if former[name] == value else "changed"
        before = _shown(former[name]) if change == "changed" else ""
    length, digest = measure(value)
    hidden = isinstance(value, str) and visible_lines(value) != value
    return Value(visible(name), text, length, digest, len(text) > FOLD, hidden, change, before, sources)


def _shown(value: Any) -> str:
    """A value as a card shows it."""
    if isinstance(value, str):
        return visible_lines(value)
    return visible_lines(msgspec.json.format(canonical(value), indent=2).decode())
