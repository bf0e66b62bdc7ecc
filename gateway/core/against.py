"""Check a policy against the tools that upstreams are known to offer: what nobody labelled, what speaks of nothing.

Names and input schemas in, problems out. No I/O here. All are warnings: an upstream may change before the gateway runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.core.globs import covers, matches
from gateway.core.model import ObligationKind, Surface, ToolRef
from gateway.core.policy import Budget, Policy, PolicyFile, Rule, ToolEntry
from gateway.core.problems import Problem, Severity, nearest
from gateway.core.risk import labels_for

Offered = Mapping[str, Any]
"""Tools by the upstream's own name, each with its definition; None: never seen."""
MOST_NAMED = 3  # tools that one warning names
COUNTED = ("number", "integer", "array", "object")  # types of arguments that a budget can sum


def against(policy: Policy, upstream: str, tools: Offered) -> Iterator[Problem]:
    """What is wrong with a policy as seen from all that one upstream offers."""
    yield from _unlabelled(policy, upstream, tools)
    for file in policy.files:
        for entry in file.tools:
            yield from _idle(file, "tool", "match", _line(entry), entry.patterns, upstream, tools)
            yield from _arguments(file, entry, policy, upstream, tools)
        for rule in file.rules:
            if rule.surface is Surface.TOOLS:
                yield from _idle(file, "rule", "tools", rule.at.line, rule.patterns, upstream, tools)
                yield from _changed(file, rule, upstream, tools)
        for budget in file.budgets:
            yield from _idle(file, "budget", "tools", budget.at.line, budget.patterns, upstream, tools)
            yield from _summed(file, budget, upstream, tools)


def _line(entry: ToolEntry) -> int:
    return entry.labels.at.line if entry.labels.at is not None else 0


def _warning(file: str, line: int, table: str, key: str, found: str, message: str, near: str = "") -> Problem:
    return Problem(file, line, table, key, found, message, near, Severity.WARNING)


def _unlabelled(policy: Policy, upstream: str, tools: Offered) -> Iterator[Problem]:
    bare = [name for name in sorted(tools) if labels_for(policy, ToolRef(upstream, name)).at is None]
    if bare:
        message = f"nobody labelled {_some(bare)} of upstream `{upstream}`: effect destructive, tier high"
        mine = next((file.name for file in policy.files if file.upstream == upstream), "policies")
        yield _warning(mine, 0, "", "tool", bare[0], message)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:MOST_NAMED]) + more


def _idle(
    file: PolicyFile,
    table: str,
    key: str,
    line: int,
    patterns: Iterable[str],
    upstream: str,
    tools: Offered,
) -> Iterator[Problem]:
    """Patterns that can only mean tools of this upstream, and mean none; of outright names `config/locked.py` tells."""
    for pattern in patterns:
        name = pattern.partition("/")[2]
        wild = "*" in name or "?" in name
        if wild and covers(f"{upstream}/*", pattern) and not _meant([pattern], upstream, tools):
            message = f"`{name}` is of no tool that upstream `{upstream}` offers"
            yield _warning(file.name, line, table, key, name, message)


def _meant(patterns: Iterable[str], upstream: str, tools: Offered) -> list[str]:
    wanted = tuple(patterns)
    return [name for name in sorted(tools) if any(matches(pattern, f"{upstream}/{name}") for pattern in wanted)]


def _properties(definition: object) -> Mapping[str, Any] | None:
    """The arguments that a tool describes; None where it takes others as well, or was never seen."""
    schema = definition.get("inputSchema") if isinstance(definition, Mapping) else None
    if not isinstance(schema, Mapping) or schema.get("additionalProperties"):
        return None
    described = schema.get("properties", {})
    return described if isinstance(described, Mapping) else None


def _lacking(names: Iterable[str], meant: Iterable[str], tools: Offered) -> list[str]:
    """The arguments that none of the tools has."""
    all_of = [_properties(tools[name]) for name in meant]
    if not all_of or any(described is None for described in all_of):
        return []
    known = {name for described in all_of if described is not None for name in described}
    return [name for name in names if name not in known]


def _arguments(file: PolicyFile, entry: ToolEntry, policy: Policy, upstream: str, tools: Offered) -> Iterator[Problem]:
    """Arguments that an entry labels, and none of the tools that it labels has."""
    labels = entry.labels
    mine = [
        name
        for name in _meant(entry.patterns, upstream, tools)
        if labels_for(policy, ToolRef(upstream, name)).at == labels.at
    ]
    known = {name for tool in mine for name in _properties(tools[tool]) or {}}
    for key, names in (("sinks", labels.sinks or {}), ("payload", labels.payload), ("inert", labels.inert)):
        for name in _lacking(names, mine, tools):
            message = f"none of the tools that it labels has an argument `{name}`"
            yield _warning(file.name, _line(entry), "tool", key, name, message, nearest(name, known))


def _changed(file: PolicyFile, rule: Rule, upstream: str, tools: Offered) -> Iterator[Problem]:
    """Arguments that a rule sets or drops, and none of its tools has."""
    mine = _meant(rule.patterns, upstream, tools)
    known = {name for tool in mine for name in _properties(tools[tool]) or {}}
    for duty in sorted(rule.obligations, key=str):
        for name in _lacking([duty.name], mine, tools):
            key = "set" if duty.kind is ObligationKind.SET else "drop"
            message = f"none of the tools of `{rule.id}` has an argument `{name}`"
            yield _warning(file.name, rule.at.line, "rule", key, name, message, nearest(name, known))


def _summed(file: PolicyFile, budget: Budget, upstream: str, tools: Offered) -> Iterator[Problem]:
    """Tools that a budget blocks altogether, for they have nothing that it could sum."""
    wanted = budget.sum.removeprefix("args.")
    for name in _meant(budget.patterns, upstream, tools) if wanted else ():
        described = _properties(tools[name])
        if described is None:
            continue
        if wanted not in described:
            message = f"blocks every call of `{upstream}/{name}`, which has no argument `{wanted}`"
            near = nearest(wanted, described)
            yield _warning(file.name, budget.at.line, "budget", "sum", budget.sum, message, near and f"args.{near}")
        elif not _countable(described[wanted]):
            message = f"blocks every call of `{upstream}/{name}`, whose `{wanted}` is no number and nothing to count"
            yield _warning(file.name, budget.at.line, "budget", "sum", budget.sum, message)


def _countable(schema: object) -> bool:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    kinds = kind if isinstance(kind, list) else [kind]
    return kind is None or any(each in COUNTED for each in kinds)
