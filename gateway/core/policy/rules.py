"""Read `[[rule]]`, `[[budget]]` and `[loop]`, noting every problem. No I/O here, and nothing is decided."""

import re
from collections.abc import Mapping
from datetime import timedelta
from math import isfinite
from typing import Protocol

from gateway.core.conditions import Condition, compile_condition
from gateway.core.globs import matches
from gateway.core.model import (
    COMPLETION,
    ELICIT,
    ROOTS,
    SAMPLE,
    Decide,
    Obligation,
    ObligationKind,
    Proof,
    Surface,
)
from gateway.core.policy.guards import unguarded
from gateway.core.policy.nouns import LOOSE, Approve, Budget, Loop, Rate, Rule
from gateway.core.problems import nearest
from gateway.core.section import Section
from gateway.core.sinks import ValueList

METHODS = (SAMPLE, ELICIT, COMPLETION, ROOTS)
WINDOWS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
LARGEST = 10**12  # that a budget's `sum` may grow to
LEAST = 1e-6
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_RATE = re.compile(rf"([1-9]\d{{0,6}})/({'|'.join(WINDOWS)})")


class Scope(Protocol):
    """What the rules of one file share."""

    lists: Mapping[str, ValueList]
    clients: frozenset[str] | None
    approvers: Mapping[str, frozenset[str]] | None
    compiles: bool

    def patterns(self, section: Section, key: str, surface: Surface = Surface.TOOLS) -> tuple[str, ...]:
        """Patterns as `upstream/tool`, `upstream/URI`, `upstream/prompt` or `upstream/method`."""


def read_rule(section: Section, scope: Scope) -> Rule | None:
    """One rule, or None if it has no id or does not say what it decides."""
    identity = _identity(section)
    decide = section.choice("decide", Decide, Decide.BLOCK)
    if "decide" not in section:
        section.required("decide", "one of allow, ask, ask-unless-proven, block")
    surface, patterns = _speaks_of(section, scope)
    _check_surface(section, surface, patterns, decide)
    rule = Rule(
        id=identity,
        surface=surface,
        patterns=patterns,
        decide=decide,
        at=section.place,
        clients=_clients(section, scope),
        when=_when(section, scope, decide),
        reason=section.text("reason"),
        approve=_approve(section, scope, decide),
        rate=_rate(section, decide),
        obligations=_changes(section, decide),
    )
    section.close()
    return rule if identity else None


def _identity(section: Section) -> str:
    identity = section.text("id", pattern=_ID, expected="an id from letters, digits and . _ -, at most 64")
    if "id" not in section:
        section.required("id", "an id that is used once")
    return identity


def _speaks_of(section: Section, scope: Scope) -> tuple[Surface, tuple[str, ...]]:
    given = [surface for surface in Surface if surface.value in section]
    found = {surface: scope.patterns(section, surface.value, surface) for surface in Surface}
    for method in section.texts("methods", "a method or a list of methods", single=True):
        if method not in METHODS:
            section.problem("methods", f"unknown method `{method}`", method, nearest(method, METHODS))
    if len(given) != 1:
        what = "nothing" if not given else ", ".join(surface.value for surface in given)
        section.problem("id", f"expected exactly one of tools, resources, prompts, methods, found {what}")
    surface = given[0] if given else Surface.TOOLS
    return surface, found[surface]


def _check_surface(section: Section, surface: Surface, patterns: tuple[str, ...], decide: Decide) -> None:
    """What only tools can have, and what an upstream's question can't get."""
    if surface is not Surface.TOOLS and ("set" in section or "drop" in section):
        key = "set" if "set" in section else "drop"
        section.problem(key, f"expected only in a rule of tools, found in one of {surface.value}")
    asks = decide in (Decide.ASK, Decide.ASK_UNLESS_PROVEN)
    questions = any(not pattern.endswith(f"/{COMPLETION}") for pattern in patterns)
    if surface is Surface.METHODS and questions and "rate" in section:
        section.problem("rate", "expected no rate of what an upstream asks: it is not counted")
    if surface is Surface.METHODS and asks and questions:
        section.warn("decide", "what an upstream asks can be allowed or blocked: it is blocked")


def _clients(section: Section, scope: Scope) -> tuple[str, ...]:
    patterns = section.texts("clients", "a client or a list of clients", single=True)
    if "clients" in section and not patterns:
        section.problem("clients", "expected at least one client")
    names = scope.clients
    for pattern in patterns:
        if names is not None and not any(matches(pattern, name) for name in (*names, "unknown")):
            section.problem("clients", f"unknown client `{pattern}`", pattern, nearest(pattern, names))
    return patterns


def _when(section: Section, scope: Scope, decide: Decide) -> Condition | None:
    text = section.text("when", expected="a condition")
    if not text:
        return None
    condition, problems = compile_condition(text, scope.lists, compiles=scope.compiles)
    for message, near in problems:
        section.problem("when", message, text, near)
    if not problems and decide in LOOSE:
        for loose in unguarded(text)[:1]:
            section.problem("when", f"an empty `{loose}` would pass: add `size({loose}) > 0 &&`", text)
    return condition


def _approve(section: Section, scope: Scope, decide: Decide) -> Approve | None:
    if "approve" not in section:
        section.raw("approve")
        return None
    table = section.section("approve")
    if decide is Decide.BLOCK:
        section.problem("approve", "expected no `approve` in a rule that blocks")
    word = table.word("proof", tuple(proof.word for proof in Proof), "")
    approve = Approve(
        proof=Proof[word.upper()] if word else None,
        by=frozenset(table.texts("by", "a person, `role:NAME`, or a list of them", single=True)),
        approvers=table.number("approvers", 1, 1, 10),
        timeout=timedelta(seconds=table.duration("timeout", 600, 1, 86400)),
    )
    for name in sorted(approve.by):
        _check_approver(table, name, scope.approvers)
    table.close()
    return approve


def _check_approver(table: Section, name: str, approvers: Mapping[str, frozenset[str]] | None) -> None:
    if approvers is None:
        return
    if name.startswith("role:"):
        if not any(name.removeprefix("role:") in roles for roles in approvers.values()):
            table.warn("by", f"no approver in upstreams.toml has `{name}`", name)
    elif not name.startswith("os:") and name not in approvers:
        table.problem("by", f"unknown approver `{name}`", name, nearest(name, approvers))


def _rate(section: Section, decide: Decide) -> Rate | None:
    text = section.text("rate")
    if not text:
        return None
    found = _RATE.fullmatch(text)
    if found is None:
        section.wrong("rate", "a rate such as `30/hour` (second, minute, hour, day)", text)
        return None
    if decide is not Decide.ALLOW:
        section.problem("rate", "expected `rate` only in a rule that allows")
    return Rate(int(found[1]), WINDOWS[found[2]])


def _changes(section: Section, decide: Decide) -> frozenset[Obligation]:
    table = section.section("set")
    dropped = section.texts("drop", "a list of argument names")
    duties = {Obligation(ObligationKind.DROP, name) for name in dropped}
    for name in table.keys:
        value = table.raw(name)
        if isinstance(value, str | bool | int) or (isinstance(value, float) and isfinite(value)):
            duties.add(Obligation(ObligationKind.SET, name, value))
        else:
            table.wrong(name, "a text, a number, true or false", value)
        if name in dropped:
            table.problem(name, "expected an argument either in `set` or in `drop`")
    if duties and decide is Decide.BLOCK:
        section.problem("set" if "set" in section else "drop", "expected no change of arguments in a rule that blocks")
    return frozenset(duties)


def read_budget(section: Section, scope: Scope) -> Budget | None:
    """One budget, or None if it has no id."""
    identity = _identity(section)
    patterns = scope.patterns(section, "tools")
    calls = section.number("calls", 0, 1, 1_000_000_000)
    total = section.text("sum", pattern=r"args\.[A-Za-z_][A-Za-z0-9_]*", expected="an argument such as `args.amount`")
    limit = section.raw("limit")
    if ("calls" in section) == ("sum" in section):
        section.problem("id", "expected exactly one of `calls` and `sum`")
    most = limit if isinstance(limit, int | float) and not isinstance(limit, bool) and isfinite(limit) else 0
    if "sum" in section and not LEAST <= most <= LARGEST:
        section.required("limit", f"the number up to which `sum` may grow, at most {LARGEST:,}")
    if "limit" in section and "sum" not in section:
        section.problem("limit", "expected only beside `sum`")
    budget = Budget(
        id=identity,
        patterns=patterns,
        per=section.word("per", ("session", "principal", "day"), "session"),
        over=_over(section),
        at=section.place,
        calls=calls,
        sum=total,
        limit=float(most) if "sum" in section and LEAST <= most <= LARGEST else 0,
    )
    for key in ("tools", "per"):
        if key not in section:
            section.required(key, "what the budget is of" if key == "tools" else "session, principal or day")
    section.close()
    return budget if identity else None


def read_loop(section: Section) -> Loop:
    """The `[loop]` of a file."""
    counts = (section.number("same_call", 0, 2, 1000), section.number("same_refusal", 0, 2, 1000))
    if "same_call" not in section and "same_refusal" not in section:
        section.problem("", "it can never act: expected `same_call`, `same_refusal`, or both")
    loop = Loop(*counts, _over(section), section.place)
    section.close()
    return loop


def _over(section: Section) -> Decide:
    return Decide.BLOCK if section.word("over", ("ask", "block"), "ask") == "block" else Decide.ASK
