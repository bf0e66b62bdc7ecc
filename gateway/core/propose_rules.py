"""Propose what a policy might say, from what was recorded: labels, allow-lists, narrower rules; each with its evidence.

No I/O here. It proposes and changes nothing, and no value is proposed that anybody ever denied at the same place.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from gateway.core.figures import Question, questions
from gateway.core.flow import GOOD, LISTED
from gateway.core.globs import matches
from gateway.core.grants import ONCE_ONLY
from gateway.core.model import (
    Approval,
    Decide,
    Effect,
    Kind,
    Labels,
    Reason,
    Record,
    SinkKind,
    Surface,
    Tier,
    ToolRef,
    Verdict,
)
from gateway.core.policy import Policy, PolicyFile, Rule
from gateway.core.proposal import propose
from gateway.core.record import stamp
from gateway.core.replay import tool_then
from gateway.core.risk import labels_for, tier_of
from gateway.core.sinks import canonical_sink, leaves
from gateway.core.visible import visible

SEEN = 3  # times that people approved a value before it is proposed for a list
LONG = 200  # characters from which on a value is content, and no place where an effect lands
MOST_IDS = 5  # ids of records that evidence names
MOST_NAMES = 50  # tools that a narrower rule names; one of more would not be narrow
_LOOSE = (Decide.ALLOW, Decide.ASK_UNLESS_PROVEN)
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_TOOL = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_GUESSES = (
    (SinkKind.EMAIL, re.compile(r"[^\s@]+@[^\s@]+")),
    (SinkKind.URL, re.compile(r"https?://\S+", re.IGNORECASE)),
    (SinkKind.PATH, re.compile(r"(?:/|~/|\./)[^\n]*")),
)
_NAMED = ((SinkKind.ID, re.compile(r"(?:^|_)id$|[a-z]Id$")), (SinkKind.ACCOUNT, re.compile(r"account|iban")))


class Evidence(Struct):
    """What a proposal rests on: how often, from when to when, in which records, and who answered."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    ids: list[str] = field(default_factory=list)
    people: Counter[str] = field(default_factory=Counter)

    def note(self, id: str, at: datetime, people: Iterable[str] = ()) -> None:
        """Count one more; records come in any order."""
        self.count += 1
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)
        if len(self.ids) < MOST_IDS:
            self.ids.append(id)
        self.people.update(people)

    def told(self) -> str:
        """It in a few words."""
        if self.first is None or self.last is None:
            return "never"
        more = f" and {self.count - len(self.ids)} more" if self.count > len(self.ids) else ""
        by = f" by {', '.join(visible(name) for name in sorted(self.people))}" if self.people else ""
        return f"{self.count} times{by}, {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}: {', '.join(self.ids)}{more}"


class Advice(Struct, frozen=True):
    """One proposal: `kind` is label, list, narrower or unused; `lists` are entries of `[lists]`, `text` other TOML."""

    kind: str
    upstream: str
    name: str  # of the tool, or the rule
    evidence: Evidence
    notes: tuple[str, ...]
    text: str = ""
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)


class _Called(Struct):
    """The calls of one tool, or those that one rule allowed."""

    evidence: Evidence = field(default_factory=Evidence)
    record: Record | None = None  # the last of them
    arguments: dict[str, list[str]] = field(default_factory=dict)
    tools: Counter[ToolRef] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    hours: Counter[datetime] = field(default_factory=Counter)


class Proposals:
    """Takes the records and approvals of some time, and says what follows from them for a policy."""

    def __init__(self, policy: Policy, seen: int = SEEN) -> None:
        self._policy, self._seen = policy, seen
        self._unlabelled: dict[ToolRef, _Called] = {}
        self._rules: dict[str, _Called] = {}
        self._time = Evidence()

    def take(self, record: Record) -> None:
        """Take the next record."""
        if record.kind not in (Kind.INTENT, Kind.OUTCOME) or not record.facts or not record.upstream:
            return
        self._time.note(record.id, record.at)
        ref = ToolRef(record.upstream, record.tool)
        if not record.method and _TOOL.fullmatch(ref.name) and labels_for(self._policy, ref).at is None:
            called = self._unlabelled.setdefault(ref, _Called())
            called.evidence.note(record.id, record.at)
            called.record = record
            for name, value in (record.arguments or {}).items():
                called.arguments.setdefault(name, []).extend(leaf for _, leaf in leaves(value))
        if record.kind is Kind.INTENT and record.verdict == Verdict.ALLOW.word:
            for rule in record.rules:
                used = self._rules.setdefault(rule, _Called())
                used.evidence.note(record.id, record.at)
                used.tools[ref] += 1
                used.clients[record.client] += 1
                used.hours[record.at.replace(minute=0, second=0, microsecond=0)] += 1

    def of(self, approvals: Iterable[Approval]) -> tuple[Advice, ...]:
        """What follows: labels, lists, and rules that might be narrower."""
        asked = questions(approvals)
        return (*self._labels(asked), *self._lists(asked), *self._narrower())

    def _labels(self, asked: Sequence[Question]) -> Iterator[Advice]:
        for ref, called in sorted(self._unlabelled.items(), key=lambda each: str(each[0])):
            mine = [one for one in asked if (one.first.upstream, one.first.tool) == (ref.upstream, ref.name)]
            assert called.record is not None
            tool = tool_then(called.record, self._policy)
            assert tool is not None
            effect = propose(tool)
            said = Evidence()
            for one in mine:
                if one.approved:
                    said.note(one.last.id, one.last.created_at, _people(one))
            denied = sum(one.denied for one in mine)
            notes = (
                f"called {called.evidence.told()}",
                f"approved {said.told()}; denied {denied} times",
                f"effect `{effect.value}` follows from the name and the upstream's own hints: confirm it",
            )
            yield Advice("label", ref.upstream, ref.name, called.evidence, notes, _label(ref, effect, called.arguments))

    def _lists(self, asked: Sequence[Question]) -> Iterator[Advice]:
        good: dict[tuple[ToolRef, str], dict[str, Evidence]] = {}
        never: set[tuple[ToolRef, str, str]] = set()
        reasons: dict[ToolRef, Counter[Reason]] = {}
        for one in asked:
            ref = ToolRef(one.first.upstream, one.first.tool)
            labels = labels_for(self._policy, ref)
            if labels.at is None or labels.effect is Effect.READ or LISTED not in GOOD[labels.effect]:
                continue
            if one.denied or one.edited:
                never.update((ref, name, value) for name, value in _landing(labels, one.first))
            elif one.approved and not one.last.shown.redacted:
                reasons.setdefault(ref, Counter())[one.first.reason] += 1
                for name, value in dict.fromkeys(_landing(labels, one.last)):
                    said = good.setdefault((ref, name), {}).setdefault(value, Evidence())
                    said.note(one.last.id, one.last.created_at, _people(one))
        for (ref, name), values in sorted(good.items(), key=lambda each: (str(each[0][0]), each[0][1])):
            kept = {
                value: said
                for value, said in sorted(values.items())
                if said.count >= self._seen and (ref, name, value) not in never
            }
            if kept:
                yield from self._list(ref, name, kept, reasons[ref])

    def _list(
        self, ref: ToolRef, name: str, values: Mapping[str, Evidence], reasons: Counter[Reason]
    ) -> Iterator[Advice]:
        labels = labels_for(self._policy, ref)
        known = self._policy.lists.get(labels.known.get(name, ""))
        fresh = {value: said for value, said in values.items() if known is None or not known.holds(value)}
        if not fresh:
            return
        whole = Evidence()
        for said in fresh.values():
            whole.count += said.count
            whole.ids += said.ids[: MOST_IDS - len(whole.ids)]
            whole.people += said.people
        whole.first = min(said.first for said in fresh.values() if said.first is not None)
        whole.last = max(said.last for said in fresh.values() if said.last is not None)
        notes = [f"`{visible(value)}` approved {said.told()}" for value, said in fresh.items()]
        listed = labels.known.get(name) or _name(f"{ref.upstream}-{ref.name}-{name}")
        text = ""
        if known is not None:
            notes.append(f"these values are to be added to list `{listed}`")
        elif reasons[Reason.UNPROVEN]:
            text = f"[[tool]]  # {labels.at}; all its other keys stay as they are\n"
            text += f"match = {_quoted(ref.name)}\nknown = {{ {_key(name)} = {_quoted(listed)} }}"
        elif len(labels.sinks or {}) == 1 and labels.effect not in ONCE_ONLY:
            when = f'size(sinks) > 0 && sinks.all(s, listed(s, "{listed}"))'
            id = _name(f"{ref.upstream}.{ref.name}")[:56] + ".listed"
            text = f"[[rule]]  # before the one that asks\nid = {_quoted(id)}\n"
            text += f'tools = {_quoted(ref.name)}\nwhen = {_quoted(when)}\ndecide = "allow"'
        else:
            return
        yield Advice("list", ref.upstream, ref.name, whole, tuple(notes), text, {listed: tuple(fresh)})

    def _narrower(self) -> Iterator[Advice]:
        if not self._time.count:
            return
        for file in self._policy.files:
            for rule in file.rules:
                if rule.decide in _LOOSE and rule.surface is Surface.TOOLS:
                    used = self._rules.get(rule.id)
                    made = self._unused(file, rule) if used is None else self._narrow(file, rule, used)
                    if made is not None:
                        yield made

    def _unused(self, file: PolicyFile, rule: Rule) -> Advice:
        notes = (f"`{rule.id}` at {rule.at} allowed nothing among calls {self._time.told()}", "it might go")
        return Advice("unused", file.upstream, rule.id, Evidence(), notes)

    def _narrow(self, file: PolicyFile, rule: Rule, used: _Called) -> Advice | None:
        """The rule with the tools that it was used for, where its patterns speak of more."""
        names = sorted(str(ref) for ref in used.tools)
        wide = any("*" in pattern or "?" in pattern for pattern in rule.patterns)
        idle = [pattern for pattern in rule.patterns if not any(matches(pattern, name) for name in names)]
        if (not wide and not idle) or len(names) > MOST_NAMES:
            return None
        shown = [name.removeprefix(f"{file.upstream}/") if file.upstream else name for name in names]
        notes = [
            f"`{rule.id}` at {rule.at} allowed {used.evidence.told()}",
            f"tools: {', '.join(f'{visible(str(ref))} {count}' for ref, count in sorted(used.tools.items(), key=str))}",
            f"clients: {', '.join(f'{visible(name)} {count}' for name, count in sorted(used.clients.items()))}",
            f"in the busiest hour {max(used.hours.values())}",
        ]
        if idle:
            notes.append(f"never used: {', '.join(f'`{pattern}`' for pattern in idle)}")
        tools = ", ".join(map(_quoted, shown))
        text = f"[[rule]]  # all its other keys stay as they are\nid = {_quoted(rule.id)}\ntools = [{tools}]"
        return Advice("narrower", file.upstream, rule.id, used.evidence, tuple(notes), text)


def document(advice: Sequence[Advice]) -> str:
    """The proposals as one TOML text, for a person to copy from: lists, labels, rules, each under its evidence."""
    blocks: list[str] = []
    lists = [one for one in advice if one.lists]
    if lists:
        blocks.append("[lists]")
        for one in lists:
            entries = [f"{_key(name)} = [{', '.join(map(_quoted, values))}]" for name, values in one.lists.items()]
            blocks[-1] += "\n" + "\n".join([*_comments(one), *entries])
    for one in advice:
        if one.text or not one.lists:
            where = [f"# in a file with upstream = {_quoted(one.upstream)}"] if one.upstream else []
            blocks.append(
                "\n".join(
                    [*([] if one.lists else _comments(one)), *(where if one.text else []), *filter(None, [one.text])]
                )
            )
    return "\n\n".join(blocks)


def advice_item(one: Advice) -> dict[str, Any]:
    """A proposal as `policy propose --json` prints it."""
    said = one.evidence
    return {
        "kind": one.kind,
        "upstream": one.upstream,
        "name": one.name,
        "text": one.text,
        "lists": {name: list(values) for name, values in one.lists.items()},
        "notes": list(one.notes),
        "evidence": {
            "count": said.count,
            "ids": list(said.ids),
            "first": stamp(said.first) if said.first is not None else "",
            "last": stamp(said.last) if said.last is not None else "",
            "people": sorted(said.people),
        },
    }


def _comments(one: Advice) -> list[str]:
    return [f"# {line}" for line in one.notes]


def _people(one: Question) -> list[str]:
    return list(filter(None, one.last.decided_by.split(", ")))


def _landing(labels: Labels, row: Approval) -> Iterator[tuple[str, str]]:
    """Argument and value of each place where the effect of a card lands, as far as they can stand in a list."""
    for name, kind in (labels.sinks or {}).items():
        for _, leaf in leaves(row.arguments.get(name)):
            value = canonical_sink(kind, leaf)
            if value is not None and len(value) <= LONG and "*" not in value and visible(value) == value:
                yield name, value


def _label(ref: ToolRef, effect: Effect, arguments: Mapping[str, Sequence[str]]) -> str:
    lines = ["[[tool]]", f"match = {_quoted(ref.name)}", f"effect = {_quoted(effect.value)}"]
    kinds = {name: kind for name, texts in sorted(arguments.items()) if (kind := _kind(name, texts)) is not None}
    payload = [name for name, texts in sorted(arguments.items()) if _content(texts)]
    if tier_of(effect) is not Tier.READ:
        if kinds:
            lines.append(
                f"sinks = {{ {', '.join(f'{_key(name)} = {_quoted(kind.value)}' for name, kind in kinds.items())} }}"
            )
        if payload:
            lines.append(f"payload = [{', '.join(map(_quoted, payload))}]")
    return "\n".join(lines)


def _content(texts: Sequence[str]) -> bool:
    """Whether an argument carries content: some value of it is long, or has several lines."""
    return any(len(text) > LONG or "\n" in text for text in texts)


def _kind(name: str, texts: Sequence[str]) -> SinkKind | None:
    """What kind of place all values of an argument are; None where they are none that is known."""
    if not texts or _content(texts):
        return None
    for kind, pattern in _GUESSES:
        if all(pattern.fullmatch(text) and canonical_sink(kind, text) is not None for text in texts):
            return kind
    return next((kind for kind, pattern in _NAMED if pattern.search(name)), None)


def _name(text: str) -> str:
    """A name for a list or a rule."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:64]


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """A text as TOML writes it, whatever is in it."""
    return json.dumps(visible(text), ensure_ascii=False)
