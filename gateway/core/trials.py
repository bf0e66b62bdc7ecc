"""Tests of policies: read `policies/*.test.toml`, play each test, and say what is not as it should be. No I/O here."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from msgspec import Struct, field

from gateway.core.limits import LOOP
from gateway.core.model import (
    Effect,
    ObligationKind,
    Principal,
    Proof,
    Reason,
    Surface,
    Tier,
    ToolRef,
    Verdict,
)
from gateway.core.policy import Known, Policy
from gateway.core.policy.nouns import UNITS
from gateway.core.problems import Problem, nearest
from gateway.core.section import Document, Section
from gateway.core.signals import Signal
from gateway.core.suppose import ORIGINS, Rehearsed, Supposed, rehearse

NOON = 12  # the hour of a test that names no time
FIRST, LAST = 1970, 9998  # years of a test's time
MOST_COUNT = 1_000_000
ABSENT = object()  # an argument that is not there
_CALLED = {"tool": Surface.TOOLS, "resource": Surface.RESOURCES, "prompt": Surface.PROMPTS, "method": Surface.METHODS}
_SHARED = ("upstream", "client", "principal", "roles", "session")


class Expected(Struct, frozen=True):
    """What a test says that its call should get; None: it says nothing of that."""

    verdict: Verdict
    rules: tuple[str, ...] | None = None  # exactly these, or, where `among`, this one and perhaps others
    among: bool = False
    reason: Reason | None = None
    proof: Proof | None = None
    effect: Effect | None = None
    tier: Tier | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()


class Trial(Struct, frozen=True):
    """One test: what it is called, where it stands, the call, and what that should get."""

    name: str
    where: str  # file:line
    call: Supposed
    expected: Expected


class Outcome(Struct, frozen=True):
    """What came of a test: what is not as it should be, one line each; none where all of it is."""

    trial: Trial
    found: Rehearsed
    failures: tuple[str, ...]


def read_trials(
    file: str, text: str, policy: Policy, known: Known, today: date
) -> tuple[tuple[Trial, ...], tuple[Problem, ...]]:
    """The tests of one file, and every problem in it; one with a problem is left out.

    `today` is the day of tests that name no time.
    """
    document = Document(file, text)
    if not document.readable:
        return (), tuple(document.problems)
    top = document.section()
    if top.raw("test") is None:
        top.required("test", "at least one test, headed [[test]]")
    trials: list[Trial] = []
    for section in top.each("test"):
        before = len(document.problems)
        trial = _Reader(section, top, policy, known, today).trial()
        if trial is not None and len(document.problems) == before:
            trials.append(trial)
    top.close(also=_SHARED)
    return tuple(trials), tuple(sorted(set(document.problems)))


def play(trial: Trial, policy: Policy) -> Outcome:
    """Play one test."""
    found = rehearse(trial.call, policy)
    return Outcome(trial, found, tuple(_failures(trial.expected, found)))


class _Reader:
    """Reads one test; what it doesn't say, the top of the file says."""

    def __init__(self, section: Section, top: Section, policy: Policy, known: Known, today: date) -> None:
        self._own, self._top, self._policy, self._known, self._today = section, top, policy, known, today

    def trial(self) -> Trial | None:
        """The test; None where it doesn't say enough to be one."""
        own = self._own
        name, expected, ref, surface = own.text("name"), self._expected(), *self._called()
        facts = self._session()
        call = Supposed(
            ref=ref,
            surface=surface,
            now=self._now(),
            arguments=self._arguments(surface, ref),
            annotations=_table(own, "annotations"),
            listed=own.flag("listed", True),
            client=self._client(),
            principal=Principal(
                self._of("principal").text("principal", "os:somebody"),
                own.word("known_by", ("os-user", "token", "jwt"), "os-user"),
                frozenset(self._of("roles").texts("roles", "a list of roles", single=True)),
            ),
            isolation=own.number("isolation", 0, 0, 4),
            tainted=facts.flag("tainted", True),
            private=facts.flag("private", True),
            calls_10m=facts.number("calls_10m", 0, 0, MOST_COUNT),
            consequential=facts.number("consequential", 0, 0, MOST_COUNT),
            used=self._used(),
            spent=self._spent(),
            repeated=facts.number("repeated", 0, 0, MOST_COUNT),
            refused=facts.number("refused", 0, 0, MOST_COUNT),
            raised=facts.word("raised", tuple(signal.value for signal in Signal), ""),
            origins=self._origins(),
        )
        facts.close()
        if "name" not in own:
            own.required("name", "what the test shows")
        own.close(also=_SHARED)
        return Trial(name, str(own.place), call, expected) if expected is not None and ref.name else None

    def _of(self, key: str) -> Section:
        """Where a key stands that the top of the file may say for all."""
        return self._own if key in self._own else self._top

    def _session(self) -> Section:
        return self._of("session").section("session")

    def _called(self) -> tuple[ToolRef, Surface]:
        own, where = self._own, self._of("upstream")
        upstream = where.text("upstream")
        given = [key for key in _CALLED if key in own]
        names = {key: own.text(key) for key in _CALLED}
        if len(given) != 1:
            own.problem("name", f"expected exactly one of {', '.join(_CALLED)}, found {', '.join(given) or 'nothing'}")
        if not upstream:
            own.required("upstream", "whose tool it is, here or at the top of the file")
        elif self._known.upstreams is not None and upstream not in self._known.upstreams:
            near = nearest(upstream, self._known.upstreams)
            where.problem("upstream", f"unknown upstream `{upstream}`", upstream, near)
        key = given[0] if given else "tool"
        return ToolRef(upstream, names[key]), _CALLED[key]

    def _client(self) -> str:
        where = self._of("client")
        client = where.text("client", "unknown")
        if self._known.clients is not None and client not in (*self._known.clients, "unknown"):
            where.problem("client", f"unknown client `{client}`", client, nearest(client, self._known.clients))
        return client

    def _arguments(self, surface: Surface, ref: ToolRef) -> Mapping[str, Any]:
        arguments = _table(self._own, "arguments")
        if not _is_json(arguments):
            self._own.problem(
                "arguments", "expected values that JSON can carry: no dates and times, write them as texts"
            )
            return {}
        return {"uri": ref.name} if surface is Surface.RESOURCES and not arguments else arguments

    def _now(self) -> datetime:
        own, value = self._own, self._own.raw("at")
        if value is None:
            return datetime(self._today.year, self._today.month, self._today.day, NOON, tzinfo=UTC)
        if not isinstance(value, datetime) or value.tzinfo is None:
            own.wrong("at", "a time with its zone such as 2026-11-22T12:00:00Z, without quotes", value)
        elif not FIRST <= value.year <= LAST:
            own.wrong("at", f"a time from {FIRST} to {LAST}", value)
        else:
            return value.astimezone(UTC)
        return datetime(2026, 1, 1, tzinfo=UTC)

    def _used(self) -> Mapping[str, int]:
        table = self._own.section("used")
        used = {rule: table.number(rule, 0, 0, MOST_COUNT) for rule in table.keys}
        for rule in used:
            self._named(table, rule, rule, self._policy.rates())
        return used

    def _spent(self) -> Mapping[str, int]:
        table = self._own.section("spent")
        budgets = [one.id for file in self._policy.files for one in file.budgets]
        spent: dict[str, int] = {}
        for budget in table.keys:
            value = table.raw(budget)
            self._named(table, budget, budget, budgets, "budget")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_COUNT:
                table.wrong(budget, f"a number from 0 to {MOST_COUNT}", value)
            else:
                spent[budget] = round(value * UNITS)
        return spent

    def _named(self, section: Section, key: str, name: str, names: Iterable[str], what: str = "rule") -> None:
        known = list(names)
        if name not in known:
            section.problem(key, f"unknown {what} `{name}`", name, nearest(name, known))

    def _origins(self) -> Mapping[str, tuple[str, ...]]:
        table = self._own.section("origins")
        found = {key: table.texts(key, f"one of {', '.join(ORIGINS)}, or a list", single=True) for key in table.keys}
        for key, words in found.items():
            for word in words:
                if word not in ORIGINS:
                    table.problem(
                        key, f"expected one of {', '.join(ORIGINS)}, found `{word}`", word, nearest(word, ORIGINS)
                    )
        return {key: tuple(word for word in words if word in ORIGINS) for key, words in found.items()}

    def _expected(self) -> Expected | None:
        own = self._own
        word = own.word("expect", tuple(verdict.word for verdict in Verdict), "")
        if "expect" not in own:
            own.required("expect", "allow, ask or block")
        proof = own.word("proof", tuple(proof.word for proof in Proof), "")
        if proof and word != Verdict.ASK.word:
            own.problem("proof", 'expected only beside expect = "ask"', proof)
        reason, effect, tier = (
            chosen if (chosen := own.choice(key, kind, default)) and key in own else None
            for key, kind, default in (
                ("reason", Reason, Reason.RULE),
                ("effect", Effect, Effect.READ),
                ("tier", Tier, Tier.READ),
            )
        )
        rules = self._rules()
        changes = _table(own, "set")
        drop = own.texts("drop", "a list of argument names", single=True)
        if not word:
            return None
        return Expected(
            verdict=Verdict[word.upper()],
            rules=rules,
            among=isinstance(own.raw("rule"), str) and bool(rules),
            reason=reason,  # type: ignore[arg-type]  # each is of the enum that it was read with
            proof=Proof[proof.upper()] if proof else None,
            effect=effect,  # type: ignore[arg-type]  # the same
            tier=tier,  # type: ignore[arg-type]  # the same
            set=changes,
            drop=drop,
        )

    def _rules(self) -> tuple[str, ...] | None:
        own = self._own
        if "rule" not in own:
            return None
        if own.raw("rule") == "":
            return ()
        rules = own.texts("rule", "the id of a rule, a list of them, or an empty text", single=True)
        files = self._policy.files
        known = [one.id for file in files for one in file.rules]
        known += [one.id for file in files for one in file.budgets]
        known += [LOOP] if self._policy.loops() else []
        for rule in rules:
            self._named(own, "rule", rule, known)
        return rules


def _table(section: Section, key: str) -> Mapping[str, Any]:
    value = section.raw(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        section.wrong(key, "a table", value)
        return {}
    return value


def _is_json(value: object) -> bool:
    todo = [value]
    while todo:
        match todo.pop():
            case dict() as table:
                todo.extend(table.values())
            case list() as items:
                todo.extend(items)
            case str() | bool() | int() | float() | None:
                continue
            case _:
                return False
    return True


def _failures(expected: Expected, found: Rehearsed) -> Iterable[str]:
    """What is not as it should be, the verdict first."""
    decision, tool = found.decision, found.tool
    if decision.verdict is not expected.verdict:
        yield f"expected {expected.verdict.word}, found {told(found)}"
    if expected.rules is not None and not _right(expected, decision.rules):
        among = " among those that decide" if expected.among else ""
        yield f"expected {named(expected.rules)}{among}, found {named(decision.rules)}"
    if expected.reason is not None and decision.reason is not expected.reason:
        yield f"expected reason `{expected.reason.value}`, found `{decision.reason.value}`"
    asked = decision.requirement
    if expected.proof is not None and asked is not None and asked.proof is not expected.proof:
        yield f"expected proof `{expected.proof.word}`, found `{asked.proof.word}`"
    for what, wanted_one, found_one in (("effect", expected.effect, tool.effect), ("tier", expected.tier, tool.tier)):
        if wanted_one is not None and found_one is not wanted_one:
            yield f"expected {what} `{wanted_one.value}`, found `{found_one.value}`"
    yield from _changes(expected, found)


def _right(expected: Expected, rules: Sequence[str]) -> bool:
    wanted = expected.rules or ()
    return set(wanted) <= set(rules) if expected.among else sorted(wanted) == sorted(rules)


def _changes(expected: Expected, found: Rehearsed) -> Iterable[str]:
    """Of arguments that the call would go on with."""
    if (expected.set or expected.drop) and found.decision.verdict is Verdict.BLOCK:
        yield "expected changed arguments, and the call is blocked"
        return
    arguments = found.call.arguments
    duties = {(duty.kind, duty.name) for duty in found.decision.obligations}
    for name, value in expected.set.items():
        there = arguments.get(name, ABSENT)
        if (type(there), there) != (type(value), value):
            what = "no such argument" if there is ABSENT else f"`{there!r}`"
            yield f"expected `{name}` set to `{value!r}`, found {what}"
        elif (ObligationKind.SET, name) not in duties:
            yield f"expected `{name}` to be set by a rule, and the call says it itself"
    for name in expected.drop:
        if (ObligationKind.DROP, name) not in duties:
            yield f"expected `{name}` to be dropped, found no rule that does"


def named(rules: Sequence[str]) -> str:
    """Rules as a message names them."""
    return " and ".join(f"`{rule}`" for rule in rules) or "no rule"


def told(found: Rehearsed) -> str:
    """A decision in a few words: verdict, reason, rules with their places."""
    decision = found.decision
    places = (*decision.places, *[""] * len(decision.rules))
    rules = ", ".join(
        f"`{rule}` at {place}" if place else f"`{rule}`" for rule, place in zip(decision.rules, places, strict=False)
    )
    detail = f": {decision.detail}" if decision.detail else ""
    return f"{decision.verdict.word} ({decision.reason.value}{f' of {rules}' if rules else ''}){detail}"
