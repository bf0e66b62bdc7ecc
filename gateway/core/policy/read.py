"""Read one text of `policies/` into a `PolicyFile`, noting every problem. No I/O here, and nothing is decided."""

import re
from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from gateway.core.globs import matches
from gateway.core.model import (
    Effect,
    Labels,
    OutputLabel,
    Owner,
    PersonalAction,
    Preview,
    SecretAction,
    SinkKind,
    Surface,
    Trust,
)
from gateway.core.policy.nouns import PolicyFile, SurfaceEntry, ToolEntry
from gateway.core.policy.responses import read_responses
from gateway.core.policy.rules import read_budget, read_loop, read_rule
from gateway.core.problems import nearest
from gateway.core.section import Section
from gateway.core.sinks import ValueList

ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
OWNER_SHAPE = 'who answers for it: a text, or { business = "...", technical = "..." }'
MAX_OBSERVE = timedelta(days=7)


class Known(Struct, frozen=True):
    """The names that a policy may use, from `upstreams.toml`; None: not known here, so not checked."""

    upstreams: frozenset[str] | None = None
    clients: frozenset[str] | None = None
    approvers: Mapping[str, frozenset[str]] | None = None  # name -> roles
    personal: bool | None = None  # whether the extra `pii` is installed
    compiles: bool = True  # whether conditions are compiled; a rule whose condition is not blocks what it would decide


def read_owner(section: Section) -> Owner:
    """The required `owner` of a table; an empty one was noted as a problem."""
    value = section.raw("owner")
    match value:
        case str() if value:
            return Owner(value, value)
        case dict():
            parts = section.section("owner")
            owner = Owner(parts.text("business"), parts.text("technical"))
            parts.close()
            for key in ("business", "technical"):
                if key not in parts:
                    parts.required(key, "a person or a team")
            return owner
        case None:
            section.required("owner", OWNER_SHAPE)
        case _:
            section.wrong("owner", OWNER_SHAPE, value)
    return Owner("", "")


def read_lists(section: Section) -> dict[str, ValueList]:
    """The `[lists]` of a file."""
    table = section.section("lists")
    lists: dict[str, ValueList] = {}
    for name in table.keys:
        values = table.texts(name, "a list of texts")
        if any(char < " " or char == "\x7f" for value in values for char in value):
            table.problem(name, "expected values without control characters")
        if not re.fullmatch(ID, name):
            table.problem(name, "expected a name from letters, digits and . _ -")
        lists[name] = ValueList.of(values)
    return lists


def read_file(section: Section, known: Known, lists: Mapping[str, ValueList]) -> PolicyFile:
    """Read a whole file; `lists` are those of all files, for conditions and labels to use."""
    upstream = section.text("upstream")
    if upstream and known.upstreams is not None and upstream not in known.upstreams:
        section.problem("upstream", f"unknown upstream `{upstream}`", upstream, nearest(upstream, known.upstreams))
    scope = _Scope(upstream, known, lists)
    tools = [_tool(entry, scope) for entry in section.each("tool")]
    surfaces = [
        _surface(entry, surface, scope)
        for key, surface in (("resource", Surface.RESOURCES), ("prompt", Surface.PROMPTS))
        for entry in section.each(key)
    ]
    rules = [read_rule(entry, scope) for entry in section.each("rule")]
    budgets = [read_budget(entry, scope) for entry in section.each("budget")]
    loop = read_loop(section.section("loop")) if "loop" in section else None
    file = PolicyFile(
        name=section.document.file,
        owner=read_owner(section),
        upstream=upstream,
        review_by=section.day("review_by"),
        observe_until=section.day("observe_until"),
        tools=tuple(tools),
        surfaces=tuple(surfaces),
        rules=tuple(rule for rule in rules if rule is not None),
        budgets=tuple(budget for budget in budgets if budget is not None),
        loop=loop,
        signals=read_responses(section.section("signals")) if "signals" in section else {},
    )
    section.close(also=("lists", "loop", "signals"))
    return file


class _Scope:
    """What the entries of one file share; implements `rules.Scope`."""

    def __init__(self, upstream: str, known: Known, lists: Mapping[str, ValueList]) -> None:
        self.upstream, self.lists = upstream, lists
        self.clients, self.approvers, self.personal = known.clients, known.approvers, known.personal
        self.compiles = known.compiles
        self._known = known

    def patterns(self, section: Section, key: str, surface: Surface = Surface.TOOLS) -> tuple[str, ...]:
        """Patterns as `upstream/tool`; of resources and methods, which tell by themselves, for any upstream."""
        found = section.texts(key, "a pattern or a list of patterns", single=True)
        if key in section and section.raw(key) == []:
            section.wrong(key, "at least one pattern", "[]")
        whole: list[str] = []
        for pattern in found:
            if re.search(r"[\[\]{}!]", pattern):
                section.problem(key, f"expected only `*` and `?` as wildcards, found `{pattern}`", pattern)
            elif self.upstream or surface in (Surface.RESOURCES, Surface.METHODS):
                whole.append(f"{self.upstream or '*'}/{pattern}")
            elif pattern.count("/") != 1:
                hint = f"*/{pattern.replace('/', '')}"
                section.problem(
                    key, f"without `upstream` a pattern is `upstream/name`, found `{pattern}`", pattern, hint
                )
            else:
                self._upstream(section, key, pattern.partition("/")[0])
                whole.append(pattern)
        return tuple(whole)

    def _upstream(self, section: Section, key: str, pattern: str) -> None:
        names = self._known.upstreams
        if names is not None and not any(matches(pattern, name) for name in names):
            section.problem(key, f"unknown upstream `{pattern}`", pattern, nearest(pattern, names))


def _tool(section: Section, scope: _Scope) -> ToolEntry:
    patterns = scope.patterns(section, "match")
    if "match" not in section:
        section.required("match", "the tools that the entry labels")
    if "effect" not in section:
        section.required("effect", f"one of {', '.join(effect.value for effect in Effect)}")
    labels = Labels(
        effect=section.choice("effect", Effect, Effect.DESTRUCTIVE),
        sinks=_sinks(section),
        payload=section.texts("payload", "a list of argument names"),
        inert=section.texts("inert", "a list of argument names"),
        known=section.mapping("known", "a table of argument and list"),
        output=_output(section, scope),
        preview=_preview(section),
        record=section.word("record", ("full", "digest"), ""),
        fetches=section.flag("fetches", False),
        at=section.place,
    )
    _check_arguments(section, labels)
    for argument, name in labels.known.items():
        if name not in scope.lists:
            section.problem("known", f"unknown list `{name}` for `{argument}`", name, nearest(name, scope.lists))
    section.close()
    return ToolEntry(patterns, labels)


def _check_arguments(section: Section, labels: Labels) -> None:
    """An argument is a sink, payload or inert, one of them; only a sink can have known values."""
    sinks = labels.sinks or {}
    seen: set[str] = set()
    for argument in (*sinks, *labels.payload, *labels.inert):
        if argument in seen:
            section.problem("match", f"expected `{argument}` once among sinks, payload and inert", argument)
        seen.add(argument)
    for argument in labels.known:
        if argument not in sinks:
            section.problem("known", f"expected a sink, found `{argument}`", argument, nearest(argument, sinks))


def _sinks(section: Section) -> Mapping[str, SinkKind]:
    table = section.section("sinks")
    return {argument: table.choice(argument, SinkKind, SinkKind.TEXT) for argument in table.keys}


def _output(section: Section, scope: _Scope) -> OutputLabel:
    table = section.section("output")
    trust = table.choice("trust", Trust, Trust.UNTRUSTED)
    if "untrusted" in table:
        untrusted = table.flag("untrusted", True)
        table.warn("untrusted", 'older spelling of `trust`: write trust = "untrusted" or "neutral"')
        if "trust" in table:
            table.problem("untrusted", "expected `trust` alone")
        elif not untrusted:
            trust = Trust.NEUTRAL  # not untrusted is no more than neutral: only `trust` can say trusted
    secrets = table.choice("secrets", SecretAction, SecretAction.REDACT)
    strict = secrets is SecretAction.REDACT and "secrets" in table
    label = OutputLabel(trust, table.flag("private", True), secrets, strict, _personal(table, scope))
    table.close()
    return label


def _personal(table: Section, scope: _Scope) -> PersonalAction:
    """What is done about personal data; asking for it where nothing here can find it is an error."""
    action = table.choice("pii", PersonalAction, PersonalAction.OFF)
    if action is not PersonalAction.OFF and scope.personal is False:
        table.problem("pii", "it needs the extra: pip install 'wardgate[pii]'", action.value)
    return action


def _preview(section: Section) -> Preview | None:
    if "preview" not in section:
        section.raw("preview")
        return None
    table = section.section("preview")
    preview = Preview(table.text("tool"), table.mapping("args", "a table of argument and argument of the call"))
    if not preview.tool:
        table.required("tool", "the name of a read tool of the same upstream")
    table.close()
    return preview


def _surface(section: Section, surface: Surface, scope: _Scope) -> SurfaceEntry:
    patterns = scope.patterns(section, "match", surface)
    if "match" not in section:
        section.required("match", "what the entry labels")
    entry = SurfaceEntry(surface, patterns, _output(section, scope), section.place)
    section.close()
    return entry
