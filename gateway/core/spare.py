"""What would spare people the questions of a rule that is waved through: a narrower rule, or a grant. No I/O here.

It proposes and changes nothing, and nothing is proposed that would have let through what a person denied or edited.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import Any

from msgspec import Struct

from gateway.core.approval import Chosen, Voter
from gateway.core.figures import Question, asks
from gateway.core.grants import MOST_USES, ONCE_ONLY, covers_row, give, offered
from gateway.core.model import Approval, Choice, Grant, Proof
from gateway.core.visible import visible

LASTS = timedelta(hours=8)  # how long a grant that is proposed would stand
MOST_CASES = 5  # combinations of values that one rule names
SEEN = 2  # times that a combination was approved before a rule names it
LONGEST = 200  # characters of a value that a rule names

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TOOL = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_WORDS = frozenset(
    ("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let")
)
_WORDS |= {"loop", "namespace", "null", "package", "return", "true", "var", "void", "while"}


class Proposal(Struct, frozen=True):
    """What might be done about a rule, and how many of the tool's questions of that time it would have answered."""

    kind: str  # rule | grant
    upstream: str
    tool: str
    text: str  # the rule as it would stand in `policies/`, or what to grant on the next card
    covers: int
    of: int


def proposals(rule: str, asked: Sequence[Question]) -> tuple[Proposal, ...]:
    """What would spare the questions that `rule` (as `figures.asks` says it) put, for the tool that it stopped most
    often; the one that spares more stands first.
    """
    of_rule = [one for one in asked if asks(one.first) == rule]
    tools = Counter((one.first.upstream, one.first.tool) for one in of_rule if one.approved)
    if not tools:
        return ()
    (where, _), *_ = tools.most_common(1)
    group = [one for one in of_rule if (one.first.upstream, one.first.tool) == where]
    found = [made for made in (_rule(rule, group), _grant(group)) if made is not None and made.covers]
    return tuple(sorted(found, key=lambda made: -made.covers))


def proposal_item(made: Proposal) -> dict[str, Any]:
    """A proposal as `policy review --json` prints it."""
    return {
        "kind": made.kind,
        "upstream": made.upstream,
        "tool": made.tool,
        "text": made.text,
        "covers": made.covers,
        "of": made.of,
    }


def _rule(rule: str, group: Sequence[Question]) -> Proposal | None:
    """A rule that allows what was approved again and again, by all values where the effect lands; none where policy
    asks for more than one person's word, and none for effects that are to be decided one by one.
    """
    row = group[-1].first
    asked = row.requirement
    strict = asked.approvers > 1 or asked.by or asked.proof is Proof.SIGNED or row.effect in ONCE_ONLY
    if strict or not row.shown.labelled or not _TOOL.fullmatch(row.tool):
        return None
    seen = Counter(_where(one.last) for one in group if one.approved)
    never = {_where(one.first) for one in group if one.denied or one.edited}
    names = sorted({name for one in group for name in one.first.pins})
    cases: dict[tuple[tuple[str, str], ...], str] = {}
    for one in group:
        if seen[_where(one.last)] >= SEEN and _where(one.last) not in never and not one.last.shown.redacted:
            case = _case(names, one.last.arguments)
            if case is not None:
                cases[_where(one.last)] = case
    kept = sorted(cases, key=lambda where: -seen[where])[:MOST_CASES]
    covered = [one for one in group if _where(one.first) in kept]
    if not kept:
        return None
    text = _toml(rule, row, [cases[where] for where in kept], _busiest(covered))
    return Proposal("rule", row.upstream, row.tool, text, len(covered), len(group))


def _where(row: Approval) -> tuple[tuple[str, str], ...]:
    """Where the effect lands: keyed digests of all arguments but the free ones."""
    return tuple(sorted(row.pins.items()))


def _case(names: Sequence[str], arguments: Mapping[str, Any]) -> str | None:
    """The condition that holds for exactly these values; None where it can't be written."""
    parts = []
    for name in names:
        if not _NAME.fullmatch(name) or name in _WORDS:
            return None
        if name not in arguments:
            parts.append(f"!has(args.{name})")
            continue
        value = literal(arguments[name])
        if value is None:
            return None
        parts.append(f"has(args.{name}) && args.{name} == {value}")
    return " && ".join(parts)


def literal(value: Any) -> str | None:
    """A value as it is written in a condition; None for what is too long, has hidden characters or other parts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 63 else None
    if isinstance(value, float):
        return repr(value) if isfinite(value) else None
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if len(value) <= LONGEST and visible(value) == value else None
    if isinstance(value, list):
        parts = [literal(part) for part in value]
        return f"[{', '.join(part for part in parts if part is not None)}]" if value and None not in parts else None
    return None


def _busiest(covered: Sequence[Question]) -> int:
    hours = Counter(one.first.created_at.replace(minute=0, second=0, microsecond=0) for one in covered)
    return max(hours.values())


def _toml(rule: str, row: Approval, cases: Sequence[str], rate: int) -> str:
    """The rule; a file of one upstream takes it as it is, before the one that asks."""
    when = cases[0] if len(cases) == 1 else " || ".join(f"({case})" for case in cases)
    lines = [
        f"[[rule]]  # before {rule}, in a file with `upstream = {json.dumps(row.upstream)}`",
        f"id = {json.dumps(f'{row.upstream}.{row.tool}'[:56] + '.usual')}",
        f"tools = {json.dumps(row.tool)}",
        *([f"when = {json.dumps(when, ensure_ascii=False)}"] if when else []),
        'decide = "allow"',
        f'rate = "{rate}/hour"',
    ]
    return "\n".join(lines)


def _grant(group: Sequence[Question]) -> Proposal | None:
    """A grant on each card that none of the earlier ones would have covered: played through in order."""
    given: list[Grant] = []
    covers = 0
    for one in group:
        row = one.first
        standing = any(grant.expires_at > row.created_at and covers_row(grant, row) for grant in given)
        if standing and (one.denied or one.edited):
            return None
        covers += standing and one.approved
        if one.approved and not standing and not one.edited:
            choice = Choice.PATTERN if Choice.PATTERN in offered(row) else Choice.ARGUMENTS
            if choice in offered(row):
                given.append(_given(one.last, choice))
    if not given:
        return None
    row, grant = group[-1].first, given[-1]
    what = "these exact arguments"
    if grant.scope is Choice.PATTERN:
        same = ", ".join(sorted(grant.pins)) or "no argument"
        what = f"this pattern (the same: {same}; free: {', '.join(grant.free)})"
    hours = int(LASTS.total_seconds() // 3600)
    text = f"on the next card of {visible(row.exposed)}, allow {what} for {hours} h"
    return Proposal("grant", row.upstream, row.tool, text, covers, len(group))


def _given(row: Approval, choice: Choice) -> Grant:
    """The grant that whoever approved a row might have given."""
    roles = frozenset(name.removeprefix("role:") for name in row.requirement.by)
    voter = Voter(row.decided_by, row.proof or Proof.LOCAL, roles)
    return give(row, Chosen(choice, until=row.created_at + LASTS, uses=MOST_USES), voter, "", row.created_at)
