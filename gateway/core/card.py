"""What a person sees before deciding: one text for elicitation and terminal, made from the same data.

The headline comes from a template and the gateway's own line comes last; what the agent controls is bounded. No I/O
here.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import RELEASE, Approval, Reason, Shown
from gateway.core.outward import parted
from gateway.core.record import stamp
from gateway.core.visible import visible

VALUE_LIMIT = 600  # characters of one value before it is folded
TEXT_LIMIT = 6000  # characters of all arguments together
NAME_LIMIT = 64  # characters of an argument's name
FOLDED = 48  # characters of each value at least, however many there are
HEX = 12  # digits of a value's digest that are shown
PREVIEW_LINES = 12
MOST_CARRIED = 12


def value_line(name: str, value: Any, limit: int = VALUE_LIMIT) -> str:
    """One argument on one line: its name, its exact value with hidden characters visible, folded beyond `limit`: to how
    it begins and ends, its length and its digest.
    """
    shown, known = visible(value if isinstance(value, str) else msgspec.json.encode(value).decode()), visible(name)
    if len(shown) > limit:
        (size, digest), end = measure(value), limit // 4
        shown = f"{shown[: limit - end]}…{shown[-end:]} ({size} characters in all, sha256 {digest})"
    return f"  {known if len(known) <= NAME_LIMIT else f'{known[:NAME_LIMIT]}…'}: {shown}"


def measure(value: Any) -> tuple[int, str]:
    """The length of a value in characters, and the first digits of its SHA-256: what every card tells of one that it
    folds.
    """
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else canonical(value)
    return len(value if isinstance(value, str) else raw), hashlib.sha256(raw).hexdigest()[:HEX]


def arguments_lines(approval: Approval) -> tuple[str, ...]:
    """The arguments, a line each, bounded in all: where the effect lands first, each part in a fixed order.

    Long values make room for the others: none is left out because of what stands before it, as long as there are not
    more than fit with `FOLDED` characters each.
    """
    given = sorted(approval.arguments.items(), key=lambda each: (each[0] in approval.free, each[0]))
    lines = [value_line(name, value) for name, value in given]
    if sum(map(len, lines)) > TEXT_LIMIT:
        limit = max(FOLDED, TEXT_LIMIT // len(given) - 2 * NAME_LIMIT)
        lines = [value_line(name, value, limit) for name, value in given]
    kept, room = 0, TEXT_LIMIT
    while kept < len(lines) and (room := room - len(lines[kept])) >= 0:
        kept += 1
    rest = [f"  … {len(lines) - kept} more"] if kept < len(lines) else []
    return (*lines[:kept], *rest) or ("  (no arguments)",)


def why(approval: Approval) -> str:
    """Why a call stopped, in words: the rules that ask, the strictest first, or the tier's default."""
    if approval.method == RELEASE:
        return "its label says `ask` of secrets, and its output holds what is named here"
    rest, leaves = parted(approval.shown.detail)
    if approval.reason is Reason.SECRET_FOUND and leaves:
        return leaves
    if approval.rule:
        rules = approval.rules or (approval.rule,)
        told = f"rule{'s' * (len(rules) > 1)} {', '.join(rules)} ({approval.reason.value})"
    elif approval.shown.labelled:
        told = f"no rule allows it, and effect {approval.effect.value} asks"
    else:
        told = f"nobody said what this tool does, so it counts as {approval.effect.value}"
    if approval.reason is Reason.SESSION_RAISED:  # `core/raised.py` ends a detail with the signal
        told += f"; {rest.rpartition('; ')[2]}"
    return f"{told}; {leaves}" if leaves else told


def card(approval: Approval) -> str:
    """The whole card as plain text; the last line is the gateway's own.

    A row that was opened without more to show has just the lines of its call.
    """
    shown = approval.shown
    known = f" ({shown.known_by})" if shown.known_by else ""
    claims = f" (it calls itself {shown.claimed!r})" if shown.claimed else ""
    who = f"{approval.principal}{known} with {approval.client}{claims}, session {approval.session}"
    if approval.method == RELEASE:
        return "\n".join(_of_output(approval, visible(who)))
    lines = (
        f"Allow `{visible(approval.exposed)}` once? Its effect: {approval.effect.value} (tier {approval.tier.value}).",
        f"Asked by: {visible(who)}",
        *([f"Acts as: {visible(shown.acts_as)}"] if shown.acts_as else []),
        f"Stopped because: {visible(why(approval))}{_places(shown)}",
        *([f"Before: {visible(shown.before)}"] if shown.before else []),
        "Arguments:" if not approval.follows else "Arguments, as a person changed them:",
        *arguments_lines(approval),
        *_provenance(shown),
        *_preview(shown),
        f"Without an answer by {approval.expires_at:%H:%M} UTC it is not executed.",
        f"— Wardgate, approval {approval.id}. Nothing has been executed yet.",
    )
    return "\n".join(lines)


def _of_output(approval: Approval, who: str) -> tuple[str, ...]:
    """The lines of a card about the output of a call that has run: what was found where, and never what it is."""
    return (
        f"Let the output of `{visible(approval.exposed)}` leave as it is? Secrets were found in it.",
        f"Asked by: {who}",
        f"Stopped because: {why(approval)}",
        "Found:",
        *arguments_lines(approval),
        f"Without an answer by {approval.expires_at:%H:%M} UTC, or as long as its client waits, it leaves redacted.",
        f"— Wardgate, approval {approval.id}. The call has been executed; its output is held.",
    )


def _stood(one: Mapping[str, Any]) -> str:
    how = _DISGUISED if one.get("disguised") else ""
    return f"  {visible(str(one.get('argument')))}: stood in the output of {one.get('source')}{how}"


_DISGUISED = " in look-alike letters, with hidden characters, or encoded"


def _places(shown: Shown) -> str:
    return f", {visible(', '.join(shown.places))}" if shown.places else ""


def _provenance(shown: Shown) -> list[str]:
    """Which values stood in something that was read before: a fact, not a verdict."""
    found = [_stood(one) for one in shown.carried]
    return ["Read before:", *found[:MOST_CARRIED]] if found else []


def _preview(shown: Shown) -> list[str]:
    if not shown.preview:
        return []
    tool = visible(shown.preview.get("tool", ""))
    if "text" not in shown.preview:
        return [f"No preview by `{tool}`: {shown.preview.get('why', '')}."]
    lines = shown.preview["text"].splitlines()
    told = [f"  | {visible(line)[:VALUE_LIMIT]}" for line in lines[:PREVIEW_LINES]]
    rest = [f"  | … {len(lines) - PREVIEW_LINES} more lines"] if len(lines) > PREVIEW_LINES else []
    return [f"What it would change, by `{tool}`:", *told, *rest]


def statement(approval: Approval, gateway: str, key: bytes) -> Mapping[str, str]:
    """What an approver answers for, exactly: the call, what was shown of it (keyed digest of the card), until when.

    It stands in the record of the approval; `approvals.md` names its parts. Of arguments that a person edited both
    digests are in it.
    """
    return {
        "gateway": gateway,
        "approval": approval.id,
        "call": approval.call,
        "principal": approval.principal,
        "upstream": approval.upstream,
        "tool": approval.tool,
        "definition": approval.definition,
        "arguments_digest": approval.arguments_digest,
        **({"asked_digest": approval.asked_digest} if approval.follows else {}),
        "policy_revision": approval.policy_revision,
        "shown": keyed_digest(key, card(approval).encode()),
        "expires_at": stamp(approval.expires_at),
    }
