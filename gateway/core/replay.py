"""Decide again on a recorded call, under any policy: its facts are rebuilt from the record, and never guessed.

No I/O here. What the record doesn't tell and the policy would look at makes a call `Untold`, with the reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.canon import canonical, keyed_digest
from gateway.core.decide import decide
from gateway.core.flow import Origins, trace, weighs
from gateway.core.grants import pins
from gateway.core.grounds import SHAPE
from gateway.core.model import (
    CALL_TOOL,
    COMPLETION,
    Call,
    Choice,
    Client,
    Context,
    Decide,
    Decision,
    Facts,
    Finding,
    Grant,
    Principal,
    Reason,
    Record,
    Standing,
    Surface,
    Tool,
    ToolRef,
    Traced,
    Verdict,
)
from gateway.core.policy import Policy
from gateway.core.recount import Recount
from gateway.core.risk import classify, labels_for, surface_labels
from gateway.core.suppose import weighed

MOST_TOOLS = 50_000  # of which it is remembered what the policy says
READS_ARGUMENTS = frozenset({"args", "sinks"})
_SURFACES = {"prompts/get": Surface.PROMPTS, COMPLETION: Surface.METHODS}
_ASKED = frozenset({Reason.APPROVED.value, Reason.APPROVAL_VOID.value})
_HINTS: Mapping[str, Mapping[str, bool]] = {
    "destructive": {"destructiveHint": True},
    "writes": {"readOnlyHint": False},
}
_NAME_REDACTED = "[REDACTED:"


class Untold(str, Enum):
    """Why a call can't be decided on again: what the record doesn't hold."""

    NO_FACTS = "no-facts"  # the call broke off before a decision, or an earlier version recorded it
    ARGUMENTS_NOT_KEPT = "arguments-not-kept"  # digests or a size alone, and a condition or sink reads them
    ARGUMENTS_REDACTED = "arguments-redacted"  # a secret was taken out of them, and a condition or sink reads them
    ARGUMENTS_CHANGED = "arguments-changed"  # a rule set or dropped some, and the new policy doesn't, and reads them
    ORIGINS_NOT_KEPT = "origins-not-kept"  # the new labels look at values whose origins nobody looked for
    GRANT_FORGOTTEN = "grant-forgotten"  # a grant that stood is not in the store any more, or can't be compared
    NAME_REDACTED = "name-redacted"  # the name of what was called held a secret

    @property
    def words(self) -> str:
        """The reason in a sentence."""
        return _WORDS[self]


_WORDS = {
    Untold.NO_FACTS: "the record holds no facts of it",
    Untold.ARGUMENTS_NOT_KEPT: "its arguments are not kept, and the policy reads them",
    Untold.ARGUMENTS_REDACTED: "a secret was taken out of its arguments, and the policy reads them",
    Untold.ARGUMENTS_CHANGED: "a rule had changed its arguments, and this policy reads them as they were before",
    Untold.ORIGINS_NOT_KEPT: "nobody looked for the origins of values that this policy wants proven",
    Untold.GRANT_FORGOTTEN: "a grant that stood then is forgotten, or can't be compared",
    Untold.NAME_REDACTED: "the name of what was called held a secret",
}


class Past(Struct, frozen=True):
    """One recorded call: the record that holds its facts, and the first record of its approval (None: no question)."""

    seq: int
    record: Record
    asked: Record | None = None


class Said(Struct, frozen=True):
    """What was decided then, before any person answered. `reason` is empty where the record doesn't tell it."""

    verdict: Verdict
    reason: str
    rules: tuple[str, ...]


def said_then(past: Past) -> Said:
    """What the record says was decided: of a call that a person was asked about, the question."""
    record, asked = past.record, past.asked
    reason = str(record.facts.get("decided") or record.reason)
    verdict = Verdict[record.verdict.upper()]
    if reason in _ASKED:
        # Of other arguments than the agent's the question says nothing.
        known = asked is not None and "origin" not in record.extra
        verdict, reason = Verdict.ASK, asked.reason if asked is not None and known else ""
    return Said(verdict, reason, record.rules)


def tool_then(record: Record, policy: Policy) -> Tool | None:
    """What was called, labelled by a policy; None where nothing offered it.

    Its definition's digest is the recorded one; of the definition itself it has as much as can raise its effect.
    """
    if not record.upstream:
        return None
    ref, facts = ToolRef(record.upstream, record.tool), record.facts
    if not record.method:
        surface, labels = Surface.TOOLS, labels_for(policy, ref)
    else:
        surface = _SURFACES.get(record.method, Surface.RESOURCES)
        labels = surface_labels(policy, ref, surface, listed=not facts.get("fetches"))
    annotations = {key: value for hint in facts.get("hints", ()) for key, value in _HINTS.get(hint, {}).items()}
    definition = {"name": record.tool, **({"annotations": annotations} if annotations else {})}
    tool = classify(definition, ref, f"{ref.upstream}__{ref.name}", record.definition, labels, None, surface)
    return replace(tool, acts_as=record.acts_as)


class Replayed(NamedTuple):
    """A call as it was decided on again, and the decision; no tool where nothing offered it."""

    call: Call
    tool: Tool | None
    decision: Decision


class _Needs(NamedTuple):
    """What of a call a policy looks at: conditions at all, its arguments, the origins of its values."""

    conditions: bool
    arguments: bool
    proves: bool


class Replaying:
    """Decides again on recorded calls under one policy; what it needs to know of a tool it works out once."""

    def __init__(self, policy: Policy, grants: Mapping[str, Grant], keys: Sequence[bytes] = ()) -> None:
        """`grants` are those that the store still has; `keys` those known under which keyed digests were made."""
        self._policy, self._grants, self._keys = policy, grants, tuple(keys)
        self._silent = replace(policy, files=(), plans={})
        self._tools: dict[tuple[Any, ...], Tool | None] = {}
        self._known: dict[tuple[ToolRef, Surface], _Needs] = {}

    def again(self, past: Past, recount: Recount | None = None) -> Replayed | Untold:
        """What the policy decides on a call, before any person answers; or why that can't be told.

        `recount` says how much was taken of the policy's limits; without it that is as recorded.
        """
        record = past.record
        if record.facts.get("shape") != SHAPE:
            return Untold.NO_FACTS
        if record.tool.startswith(_NAME_REDACTED):
            return Untold.NAME_REDACTED
        tool, missing = self._tool(record), _missing(record)
        call = _call(past, {} if missing else record.arguments or {})
        told = _facts(record, call, tool)
        if tool is None or decide(call, told, self._silent).verdict is Verdict.BLOCK:
            return Replayed(call, tool, decide(call, told, self._policy))  # the facts alone block, under any policy
        if recount is not None:
            told = replace(told, **recount.of(call, tool)._asdict())
        needs = self._needs(tool)
        traces = needs.proves and told.tainted and weighs(tool)
        if missing and (traces or needs.arguments or (needs.conditions and record.facts.get("long"))):
            return missing
        standing = _standing(record, self._grants)
        key = next((key for key in self._keys if keyed_digest(key, call.canonical) == record.arguments_digest), None)
        if standing is None or not _comparable(standing, record, key, missing):
            return Untold.GRANT_FORGOTTEN
        if traces and _values(record, tool, call) is None:
            return Untold.ORIGINS_NOT_KEPT
        told = replace(told, standing=replace(told.standing, grants=standing))
        rested = next((grant.pins for grant in standing if grant.id in _rests_on(record)), {})

        def gather(now: Call) -> Facts:
            found = _values(record, tool, now) if traces else None
            pinned = (pins(tool, now.arguments, key) if key is not None else rested) if standing else {}
            return replace(told, values=found, pins=pinned)

        exposed = next((grant.exposed for grant in standing if grant.tool == tool.ref.name), call.exposed)
        call, _, decision = weighed(replace(call, exposed=exposed), gather, self._policy)
        lost = _changes(record.obligations) - _changes(map(str, decision.obligations))
        if lost and (traces or needs.arguments):
            return Untold.ARGUMENTS_CHANGED
        return Replayed(replace(call, digest=record.arguments_digest), tool, decision)

    def _tool(self, record: Record) -> Tool | None:
        facts = record.facts
        key = (record.upstream, record.tool, record.method, record.definition, *facts.get("hints", ()))
        key = (*key, facts.get("fetches"))
        if key not in self._tools:
            if len(self._tools) >= MOST_TOOLS:
                self._tools.clear()
            self._tools[key] = tool_then(record, self._policy)
        return self._tools[key]

    def _needs(self, tool: Tool) -> _Needs:
        """What a policy looks at before it decides on a tool's calls."""
        key = (tool.ref, tool.surface)
        if key not in self._known:
            if len(self._known) >= MOST_TOOLS:
                self._known.clear()
            rules = [rule for file in self._policy.files for rule in file.rules if rule.speaks_of(*key)]
            names = frozenset(name for rule in rules if rule.when is not None for name in rule.when.names)
            sums = any(one.sum and one.speaks_of(tool.ref) for file in self._policy.files for one in file.budgets)
            self._known[key] = _Needs(
                conditions=bool(names),
                arguments=sums or not names.isdisjoint(READS_ARGUMENTS),
                proves="flow" in names or any(rule.decide is Decide.ASK_UNLESS_PROVEN for rule in rules),
            )
        return self._known[key]


def _missing(record: Record) -> Untold | None:
    """Why the arguments are not on the record as they were; None where they are."""
    if record.arguments is None:
        return Untold.ARGUMENTS_NOT_KEPT
    redacted = record.facts.get("redacted") or any(found.place.startswith("arguments.") for found in record.findings)
    return Untold.ARGUMENTS_REDACTED if redacted else None


def _call(past: Past, arguments: Mapping[str, Any]) -> Call:
    """The call, at the time of its decision; of arguments that are not kept it has as many bytes as there were."""
    record, facts, asked = past.record, past.record.facts, past.asked
    waited = record.verdict == Verdict.ASK.word  # it was decided when the question was put, and ended later
    size = int(facts.get("bytes", record.omitted.get("arguments", 0)))
    whole = record.arguments is not None and bool(arguments)
    isolation = facts.get("isolation", record.isolation or 0)
    return Call(
        id=record.id,
        principal=Principal(record.principal, record.known_by, frozenset(facts.get("roles", ()))),
        client=Client(record.client, record.claimed),
        exposed=f"{record.upstream}__{record.tool}",
        arguments=arguments,
        canonical=canonical(arguments) if whole else bytes(size),
        digest=record.arguments_digest,
        at=asked.at if asked is not None and waited else record.at,
        # Level 1 is level 0 with a touched key, which the decision knew nothing of.
        context=Context(
            *(record.session, record.transport, record.era),
            seat=record.session if facts.get("unnamed") else "",
            isolation=0 if isolation == 1 else isolation,
        ),
        method=record.method or CALL_TOOL,
    )


def _facts(record: Record, call: Call, tool: Tool | None) -> Facts:
    facts = record.facts
    return Facts(
        now=call.at,
        tool=tool,
        upstream_state=facts["upstream"],
        protected=facts.get("protected", ""),
        secrets=tuple(Finding(kind, "", "") for kind in facts.get("secrets", ())),
        markers=bool(facts.get("markers")),
        held=facts.get("held", ""),
        tainted=facts["tainted"],
        private=facts["private"],
        sources=tuple(facts.get("sources", ())),
        calls_10m=facts["calls_10m"],
        consequential=facts["consequential"],
        raised=facts.get("raised", ""),
        used=facts.get("used", {}),
        spent=facts.get("spent", {}),
        repeated=facts.get("repeated", 0),
        refused=facts.get("refused", 0),
        begun=bool(facts.get("begun")),
        nodes=facts["nodes"],
        elicit="form",
        standing=Standing(facts.get("frozen", ""), facts.get("barred", "")),
        carries=tuple(facts.get("carries", ())),
    )


def _values(record: Record, tool: Tool, call: Call) -> tuple[Traced, ...] | None:
    """Where the effect would land, with the origins that were found then; None where nobody looked for one of them."""
    kept: dict[tuple[str, str], list[str]] = {}
    for place, origins, kind in record.facts.get("values", ()):
        kept.setdefault((place, kind), []).append(origins)
    values: list[Traced] = []
    for one in trace(tool, call.arguments, Origins()):
        left = kept.get((one.place, one.kind.value))
        if not left:
            return None
        values.append(replace(one, origins=frozenset(left.pop(0).split())))
    return tuple(values)


def _rests_on(record: Record) -> tuple[str, ...]:
    """The grants that the call rested on."""
    return tuple(record.authorised.get("grant", "").split(", ")) if record.authorised.get("grant") else ()


def _standing(record: Record, grants: Mapping[str, Grant]) -> tuple[Grant, ...] | None:
    """The grants that stood then, as they were; None where one is forgotten."""
    wanted = record.facts.get("grants", ())
    if not all(id in grants for id in wanted):
        return None
    return tuple(replace(grants[id], ended="", used=0) for id in wanted)


def _comparable(standing: Sequence[Grant], record: Record, key: bytes | None, missing: Untold | None) -> bool:
    """Whether the grants can be compared with the call: a pattern needs its arguments and the key of their digests.

    The grant that the call rested on covered it then.
    """
    patterns = any(grant.scope is Choice.PATTERN for grant in standing)
    return not patterns or (key is not None and missing is None) or bool(_rests_on(record))


def _changes(obligations: Iterable[str]) -> frozenset[str]:
    """The duties that change arguments."""
    return frozenset(duty for duty in obligations if duty.startswith(("set ", "drop ")))
