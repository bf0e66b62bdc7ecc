"""Find rules that let calls pass by some of a tool's sinks and read not all of them. No I/O here.

By the labels alone, or by the arguments that a tool is known to take: what nobody declared is a sink, too.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from gateway.core.globs import common, matches_any
from gateway.core.model import Surface, Tool, ToolRef
from gateway.core.policy.nouns import LOOSE, PolicyFile, Rule, ToolEntry
from gateway.core.problems import Problem, Severity
from gateway.core.sinks import sinks_of


def half_read(files: Sequence[PolicyFile]) -> Iterator[Problem]:
    """Rules that read some sinks of a tool by name and leave others unread, or that nobody can tell it of."""
    for file, index, rule in _loose(files):
        unread = next((found for each in files for found in _by_labels(rule, each)), "")
        if unread:
            yield _problem(file, index, rule, f"the tool and not `{unread}`")


def half_read_of(files: Sequence[PolicyFile], tool: Tool, arguments: Iterable[str]) -> Iterator[Problem]:
    """The same of one tool with the arguments that it takes, and the labels that count for it: a warning, for what
    nobody declared may be a payload that nobody labelled.
    """
    sinks = {sink.argument for sink in sinks_of(tool, dict.fromkeys(arguments, "."))}
    for file, index, rule in _loose(files):
        unread = _unread(rule, sinks) if rule.speaks_of(tool.ref) else ""
        if unread:
            found = _problem(file, index, rule, f"`{tool.ref}` and not `{unread}`")
            yield replace(found, severity=Severity.WARNING)


def witnesses(entries: Sequence[ToolEntry], patterns: Sequence[str]) -> Iterator[str]:
    """Names that an entry and one of the patterns share."""
    for entry in entries:
        for mine in entry.patterns:
            for theirs in patterns:
                name = common(mine, theirs)
                if name is not None:
                    yield name


def _loose(files: Sequence[PolicyFile]) -> Iterator[tuple[PolicyFile, int, Rule]]:
    """The rules that may let calls of tools pass by some of their arguments, with their files and places."""
    for file in files:
        for index, rule in enumerate(file.rules, 1):
            if rule.decide not in LOOSE or rule.when is None or rule.surface is not Surface.TOOLS:
                continue
            if not rule.when.each and (rule.when.arguments or rule.when.computed):
                yield file, index, rule


def _by_labels(rule: Rule, file: PolicyFile) -> Iterator[str]:
    """Sinks that a rule leaves unread, as one file labels the tools of both."""
    for name in witnesses(file.tools, rule.patterns):
        entry = file.entry(ToolRef(*name.split("/", 1)))
        unread = _unread(rule, entry.labels.sinks or ()) if entry else ""
        if unread and matches_any(rule.patterns, name):
            yield unread


def _unread(rule: Rule, sinks: Iterable[str]) -> str:
    """A sink that is left unread where another one is read, or may be; empty where there is none."""
    assert rule.when is not None
    read, all_of = rule.when.arguments, set(sinks)
    return min(all_of - read, default="") if rule.when.computed or read & all_of else ""


def _problem(file: PolicyFile, index: int, rule: Rule, what: str) -> Problem:
    assert rule.when is not None
    message = f"reads some sinks of {what}: read every sink by its name, or all of them by `sinks.all(...)`"
    return Problem(file.name, rule.at.line, f"rule {index}", "when", rule.when.text, message)
