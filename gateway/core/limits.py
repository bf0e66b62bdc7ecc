"""Budgets and the loop breaker: what a call takes of the first, and what is said where a limit is reached. No I/O here.

They only tighten: an allow becomes an ask or a block, an ask a block, and nothing lifts a block.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import ceil, isfinite
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.model import (
    Call,
    Decide,
    Decision,
    Facts,
    Obligation,
    Proof,
    Reason,
    Requirement,
    Spend,
    Surface,
    Tier,
    Tool,
    ToolRef,
    Verdict,
)
from gateway.core.policy import Budget, Limits, Loop, Policy, Rule
from gateway.core.policy.nouns import UNITS
from gateway.core.session import IDLE

UNLIMITED = 2**63 - 1  # as `Spend.most`: a person let it go beyond the budget
MOST = 2**61  # millionths that one call can take
LOOP = "[loop]"  # what stands in the place of a rule's id

REFUSALS = frozenset(
    {
        Reason.RULE,
        Reason.RULE_ERROR,
        Reason.ARGUMENTS_TOO_LARGE,
        Reason.OBLIGATION_UNMET,
        Reason.SELF_PROTECTION,
        Reason.REDACTED_VALUE,
        Reason.EXACT_SECRET,
        Reason.BUDGET_EXCEEDED,
        Reason.LOOP,
        Reason.APPROVAL_DENIED,
    }
)
"""What counts as refused: the answer of policy or of a person, and nothing that may be otherwise a moment later."""


class Counted(NamedTuple):
    """What is counted of a call: see the fields of `Facts`."""

    used: Mapping[str, int] = {}
    spent: Mapping[str, int] = {}
    repeated: int = 0
    refused: int = 0


class _Reached(Struct, frozen=True):
    """A limit that is reached: what it is called, where it stands, what follows, and why."""

    id: str
    at: str
    over: Decide
    reason: Reason
    detail: str


def limits_of(ref: ToolRef, surface: Surface, rules: Sequence[Rule], policy: Policy) -> Limits:
    """What is counted of the calls of a tool; `rules` are those that speak of it."""
    files = [file for file in policy.files if file.upstream in ("", ref.upstream)]
    budgets = [one for file in files for one in file.budgets if surface is Surface.TOOLS and one.speaks_of(ref)]
    loops = [file.loop for file in files if file.loop is not None and surface is not Surface.METHODS]
    return Limits(
        {rule.id: rule.rate for rule in rules if rule.rate is not None},
        tuple(sorted(budgets, key=lambda budget: budget.id)),
        tuple(loops),
    )


def least_proof(tool: Tool) -> Proof:
    """What an approval must bring at least: never the client's proof for tier high."""
    return Proof.LOCAL if tool.tier is Tier.HIGH else Proof.CLIENT


def scope(budget: Budget, call: Call, now: datetime) -> tuple[str, datetime | None]:
    """Whose it is that a call takes of a budget, and from when on that counts (None: always)."""
    day = now.date().isoformat()
    match budget.per:
        case "day":
            return f"day\n{day}", None
        case "principal":
            return f"principal\n{day}\n{call.principal.id}", None
        case _:
            context = call.context
            named = context.session != context.seat
            who = (call.principal.id, call.client.name, context.session)
            whole = "".join(f"\n{len(part)} {part}" for part in who)  # by their lengths, for a name may hold anything
            return f"session{whole}", None if named else now - IDLE


def amount(budget: Budget, arguments: Mapping[str, Any]) -> int | str:
    """How much a call takes of a budget, in millionths, rounded up; a text says why that can't be told."""
    if budget.calls:
        return UNITS
    name = budget.sum.removeprefix("args.")
    match arguments.get(name):
        case list() | tuple() | dict() as things:
            found = len(things) * UNITS
        case int() as number if not isinstance(number, bool):
            found = number * UNITS
        case float() as number if isfinite(number):
            found = ceil(Decimal(repr(number)) * UNITS)
        case _:
            return f"expected a number, or things to count, in `{name}`"
    if found < 0:
        return f"expected no number below 0 in `{name}`"
    return found if found <= MOST else f"expected a number that can be counted in `{name}`"


def limited(decision: Decision, call: Call, facts: Facts, tool: Tool, limits: Limits) -> Decision:
    """A decision under the budgets and loops of its tool, with what the call takes of the budgets.

    Where a person, or a grant of exactly this call, turns the ask into an allow, it is counted all the same.
    """
    if not limits or facts.begun or decision.verdict is Verdict.BLOCK:
        return decision
    spends: list[Spend] = []
    reached = [*_budgets(limits.budgets, call, facts, spends), *_loops(limits.loops, facts)]
    strictest = [one for one in reached if one.over is Decide.BLOCK]
    if strictest:
        return replace(
            _told(decision, strictest, ()), verdict=Verdict.BLOCK, requirement=None, obligations=_NONE, unproven=False
        )
    decision = replace(decision, spends=tuple(spends))
    if not reached:
        return decision
    asked = Requirement(least_proof(tool))
    requirement = asked if decision.requirement is None else decision.requirement.combine(asked)
    before = (decision,) if decision.verdict is Verdict.ASK else ()
    return replace(_told(decision, reached, before), verdict=Verdict.ASK, requirement=requirement)


_NONE: frozenset[Obligation] = frozenset()


def _told(decision: Decision, reached: Sequence[_Reached], before: Sequence[Decision]) -> Decision:
    """A decision that names the limits that are reached, behind the rules that ask."""
    # INVARIANT: the reason is the limit's, so that no grant that was given for another one lifts it.
    return replace(
        decision,
        reason=reached[0].reason,
        rules=(*(rule for one in before for rule in one.rules), *(one.id for one in reached)),
        places=(*(place for one in before for place in one.places), *(one.at for one in reached)),
        detail="; ".join([*(one.detail for one in before if one.detail), *(one.detail for one in reached)]),
        authorised={},
        uses=(),
    )


def _budgets(budgets: Sequence[Budget], call: Call, facts: Facts, spends: list[Spend]) -> Iterator[_Reached]:
    """The budgets that the call would exceed; what it takes of each is put into `spends`."""
    for budget in budgets:
        taken = amount(budget, call.arguments)
        if isinstance(taken, str):
            detail = f"budget `{budget.id}`: {taken}"
            yield _Reached(budget.id, str(budget.at), Decide.BLOCK, Reason.BUDGET_EXCEEDED, detail)
            continue
        used = facts.spent.get(budget.id, 0)
        exceeded = taken > 0 and used + taken > budget.most
        whose, since = scope(budget, call, facts.now)
        if taken:
            spends.append(Spend(budget.id, whose, taken, UNLIMITED if exceeded else budget.most, since))
        if exceeded:
            left = _shown(max(budget.most - used, 0))
            detail = f"budget `{budget.id}`: {_shown(taken)} would be taken, {left} of {_shown(budget.most)} is left"
            yield _Reached(budget.id, str(budget.at), budget.over, Reason.BUDGET_EXCEEDED, detail)


def _loops(loops: Sequence[Loop], facts: Facts) -> Iterator[_Reached]:
    for loop in loops:
        if 0 < loop.same_call <= facts.repeated:
            detail = f"the same call was sent {facts.repeated} times in this session"
            yield _Reached(LOOP, str(loop.at), loop.over, Reason.LOOP, detail)
        elif 0 < loop.same_refusal <= facts.refused:
            detail = f"the same call was refused {facts.refused} times in this session"
            yield _Reached(LOOP, str(loop.at), loop.over, Reason.LOOP, detail)


def _shown(millionths: int) -> str:
    """An amount for people."""
    return f"{Decimal(millionths) / UNITS:f}"
