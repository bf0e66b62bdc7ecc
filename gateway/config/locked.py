"""`policies/tools.lock`, and what can be checked offline with it: names of tools in policies, and conditions on calls
made from the schemas that were accepted. Starts nothing and changes nothing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.accepted import Accepted
from gateway.config.nouns import Settings
from gateway.config.trust import read_trusted
from gateway.core import lock as locks
from gateway.core.against import against
from gateway.core.conditions import try_out
from gateway.core.globs import matches
from gateway.core.lock import Lock
from gateway.core.model import Surface, Tier, Tool, ToolRef
from gateway.core.policy import Budget, Policy, Rule
from gateway.core.policy.unread import half_read_of
from gateway.core.problems import Problem, Severity, nearest
from gateway.core.risk import classify, labels_for
from gateway.errors import ConfigurationError

MOST_NAMED = 3  # tools that one warning names


def lock_file(settings: Settings) -> Path:
    """Where the lock is, or will be."""
    return settings.gateway.policies / locks.NAME


def read_lock(settings: Settings) -> tuple[Lock | None, tuple[Problem, ...]]:
    """The lock, None where there is none, and every problem in its file."""
    file = lock_file(settings)
    if not file.exists():
        return None, ()
    shown = str(file.relative_to(settings.root)) if file.is_relative_to(settings.root) else str(file)
    text, problems = read_trusted(file, shown)
    return (None, problems) if problems else locks.parse(text, shown)


def load_lock(settings: Settings) -> Lock | None:
    """The lock, None where there is none; raises `ConfigurationError` for one that can't be used."""
    lock, problems = read_lock(settings)
    if problems:
        raise ConfigurationError(f"{problems[0]}; mend it, or delete it and {locks.TO_DO}", problems)
    return lock


def lock_problems(settings: Settings, policy: Policy, unlocked: bool) -> Iterator[Problem]:
    """What is wrong with the lock, or with the policies as seen from it; with `unlocked` also that there is none."""
    lock, problems = read_lock(settings)
    yield from problems
    if problems:
        return
    shown = f"{settings.gateway.policies.name}/{locks.NAME}"
    if lock is None:
        if unlocked:
            held = "tools above tier read are held" if locks.REQUIRED else "nothing tells what tools were accepted"
            yield Problem(shown, 0, "", "", "", f"no such file: {held}; {locks.TO_DO}", severity=Severity.WARNING)
        return
    for name in settings.upstreams:
        if name not in lock:
            message = f"upstream `{name}` isn't in it: all that it offers is held; {locks.TO_DO}"
            yield Problem(shown, 0, "", name, name, message, severity=Severity.WARNING)
    kept = Accepted(settings.gateway.state)
    for name in lock.keys() & settings.upstreams.keys():
        seen = kept.all_of(lock[name].tools.values())
        unseen = [tool for tool, digest in lock[name].tools.items() if digest not in seen]
        if unseen:
            more = f" and {len(unseen) - MOST_NAMED} more" if len(unseen) > MOST_NAMED else ""
            told = ", ".join(f"`{tool}`" for tool in unseen[:MOST_NAMED])
            message = f"never seen here, so no policy is checked against them until a gateway has run: {told}{more}"
            yield Problem(shown, 0, f"upstreams.{name}", "tools", "", message, severity=Severity.WARNING)
        yield from _unknown_tools(name, lock[name].tools, policy)
        yield from _previews(name, lock[name].tools, seen, settings, policy)
        yield from _tried(name, lock[name].tools, seen, settings, policy)
        yield from against(policy, name, {tool: seen.get(digest) for tool, digest in lock[name].tools.items()})


def _unknown_tools(upstream: str, tools: Mapping[str, str], policy: Policy) -> Iterator[Problem]:
    """Tools that policies name outright and the upstream doesn't offer: in what decides an error, for it may be a dead
    block, or a budget of nothing.
    """
    for file in policy.files:
        decide: list[Rule | Budget] = [rule for rule in file.rules if rule.surface is Surface.TOOLS]
        for one in (*decide, *file.budgets):
            table = "rule" if isinstance(one, Rule) else "budget"
            for name in _missing(upstream, one.patterns, tools):
                message = f"{table} `{one.id}` speaks of `{name}`, which upstream `{upstream}` doesn't offer"
                yield Problem(file.name, one.at.line, table, "tools", name, message, _near(name, tools))
        for entry in file.tools:
            for name in _missing(upstream, entry.patterns, tools):
                line = entry.labels.at.line if entry.labels.at is not None else 0
                message = f"labels `{name}`, which upstream `{upstream}` doesn't offer"
                yield Problem(file.name, line, "tool", "match", name, message, _near(name, tools), Severity.WARNING)


def _previews(
    upstream: str, tools: Mapping[str, str], seen: Mapping[str, Any], settings: Settings, policy: Policy
) -> Iterator[Problem]:
    """Previews of the upstream's tools that can show nothing: by a tool that it doesn't offer, or that is no read."""
    labels = (labels_for(policy, ToolRef(upstream, name)) for name in tools)
    for at, preview in dict.fromkeys((each.at, each.preview.tool) for each in labels if each.preview is not None):
        digest = tools.get(preview, "")
        by = made(ToolRef(upstream, preview), seen.get(digest), digest, settings, policy)
        if not digest:
            message, near = (
                f"shows a call by `{preview}`, which upstream `{upstream}` doesn't offer",
                _near(preview, tools),
            )
        elif by.tier is not Tier.READ:
            message, near = f"shows a call by `{preview}`, which is no read", ""
        else:
            continue
        assert at is not None  # who names a preview stands somewhere
        yield Problem(at.file, at.line, "tool", "preview", preview, message, near)


def _missing(upstream: str, patterns: tuple[str, ...], tools: Mapping[str, str]) -> Iterator[str]:
    for pattern in patterns:
        of, _, name = pattern.partition("/")
        if of == upstream and not any(sign in name for sign in "*?") and name not in tools:
            yield name


def _near(name: str, tools: Mapping[str, str]) -> str:
    return nearest(name, tools)


def _tried(
    upstream: str, tools: Mapping[str, str], seen: Mapping[str, Any], settings: Settings, policy: Policy
) -> Iterator[Problem]:
    """Rules whose conditions don't fit the accepted schema of a tool that they speak of: those that err on a call made
    from it, and those that let calls pass by some of its sinks and don't read the others.
    """
    for name, digest in tools.items():
        if digest not in seen:
            continue
        ref = ToolRef(upstream, name)
        rules = [(file.name, rule) for file in policy.files for rule in file.rules if _applies(rule, ref)]
        if not rules:
            continue
        tool = made(ref, seen[digest], digest, settings, policy)
        schema = tool.definition.get("inputSchema", {})
        for file, rule in rules:
            assert rule.when is not None
            for problem in try_out(rule.when, schema, tool, policy.lists):
                message = f"rule `{rule.id}` blocks `{ref}` {problem}"
                yield Problem(file, rule.at.line, "rule", "when", rule.when.text, message, severity=Severity.WARNING)
        properties = schema.get("properties")
        yield from half_read_of(policy.files, tool, properties if isinstance(properties, Mapping) else ())


def _applies(rule: Rule, ref: ToolRef) -> bool:
    return rule.when is not None and rule.when.program is not None and rule.speaks_of(ref)


def made(ref: ToolRef, definition: Any, digest: str, settings: Settings, policy: Policy) -> Tool:
    """A tool from an accepted definition, with the labels that the policy gives it."""
    owner = settings.upstreams[ref.upstream].owner
    value = definition if isinstance(definition, Mapping) else {}
    return classify(value, ref, f"{ref.upstream}__{ref.name}", digest, labels_for(policy, ref), owner)


def entry_of(policy: Policy, ref: ToolRef) -> str:
    """The glob that gives a tool its effect, and where it stands; empty for a tool that nobody labelled."""
    at = labels_for(policy, ref).at
    if at is None:
        return ""
    for file in policy.files:
        entry = file.entry(ref) if file.upstream in (ref.upstream, "") else None
        if entry is not None and entry.labels.at == at:
            pattern = next(pattern for pattern in entry.patterns if matches(pattern, str(ref)))
            return f"`{pattern}` at {at}"
    return str(at)
