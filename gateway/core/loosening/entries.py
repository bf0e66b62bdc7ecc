"""Compare the labels of one file before and after: tools, resources, prompts. Pure, and in doubt it loosens."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from gateway.core.globs import common
from gateway.core.loosening.nouns import Difference
from gateway.core.loosening.shared import reads, ruled
from gateway.core.model import Decide, Effect, Labels, OutputLabel, PersonalAction, SecretAction, Tier, Trust
from gateway.core.policy import Policy, PolicyFile, ToolEntry
from gateway.core.policy.nouns import SurfaceEntry
from gateway.core.risk import tier_of

_SECRETS = (SecretAction.ALLOW, SecretAction.ASK, SecretAction.REDACT, SecretAction.BLOCK)
_PERSONAL = (PersonalAction.OFF, PersonalAction.FLAG, PersonalAction.REDACT)
_TRUST = (Trust.TRUSTED, Trust.NEUTRAL, Trust.UNTRUSTED)
_TIERS = (Tier.READ, Tier.WRITE, Tier.HIGH)
Entry = TypeVar("Entry", ToolEntry, SurfaceEntry)


def compare_labels(was: PolicyFile, now: PolicyFile, before: Policy, after: Policy) -> Iterator[Difference]:
    """What differs between the labels of a file.

    The first entry that matches counts whole, so that one that came, went or moved may loosen what others say.
    """
    both = (before, after)
    if _names(was.tools) == _names(now.tools):
        for old, new in zip(was.tools, now.tools, strict=True):
            if replace(old.labels, at=new.labels.at) != new.labels:
                alone = not _rivals(now, new, both)
                tightens = alone and _tool(old.labels, new.labels, new, both)
                told = f"label of {_told(new)}: {_change(old.labels, new.labels)}"
                yield Difference(now.name, told, loosens=not tightens)
    else:
        yield from _moved(now.name, "label of", was.tools, now.tools)
    former, present = was.surfaces, now.surfaces
    if [(e.surface, e.patterns) for e in former] != [(e.surface, e.patterns) for e in present]:
        yield from _moved(now.name, "label of", former, present)
        return
    shared = any(file.surfaces and file.name != now.name for policy in both for file in policy.files)
    for before_entry, entry in zip(former, present, strict=True):
        if replace(before_entry, at=entry.at) != entry:
            rest = replace(before_entry, at=entry.at, output=entry.output) == entry
            tightens = rest and not shared and _output(before_entry.output, entry.output, both)
            yield Difference(now.name, f"label of {_told(entry)}: output changed", loosens=not tightens)


def _names(entries: Sequence[ToolEntry]) -> list[tuple[str, ...]]:
    return [entry.patterns for entry in entries]


def _moved(file: str, what: str, was: Sequence[Entry], now: Sequence[Entry]) -> Iterator[Difference]:
    former, present = {entry.patterns for entry in was}, {entry.patterns for entry in now}
    new = [entry for entry in now if entry.patterns not in former]
    gone = [entry for entry in was if entry.patterns not in present]
    yield from (Difference(file, f"new {what} {_told(entry)}", loosens=True) for entry in new)
    yield from (Difference(file, f"{what} {_told(entry)} is gone", loosens=True) for entry in gone)
    if not new and not gone:
        yield Difference(file, "the labels stand in another order, or more or less often", loosens=True)
    elif [e.patterns for e in was if e.patterns in present] != [e.patterns for e in now if e.patterns in former] or any(
        _said(old) != _said(entry) for old in was for entry in now if old.patterns == entry.patterns
    ):
        yield Difference(file, "other labels of the file changed as well", loosens=True)


def _said(entry: ToolEntry | SurfaceEntry) -> object:
    """What an entry says, wherever it stands."""
    if isinstance(entry, ToolEntry):
        return replace(entry.labels, at=None)
    return (entry.surface, entry.output)


def _told(entry: ToolEntry | SurfaceEntry) -> str:
    effect = f" ({entry.labels.effect.value})" if isinstance(entry, ToolEntry) else ""
    return f"`{', '.join(entry.patterns)}`{effect}"


def _rivals(file: PolicyFile, entry: ToolEntry, policies: Sequence[Policy]) -> bool:
    """Whether an equally specific file labels the same tools: the two would come to differ, or differed before."""
    others = [
        other
        for policy in policies
        for each in policy.files
        if each.name != file.name and each.upstream == file.upstream
        for other in each.tools
    ]
    return any(_meet(entry.patterns, other.patterns) for other in others)


def _meet(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    return any(common(one, other) is not None for one in mine for other in theirs)


def _tool(old: Labels, new: Labels, entry: ToolEntry, policies: Sequence[Policy]) -> bool:
    if replace(old, effect=new.effect, known=new.known, output=new.output, at=new.at) != new:
        return False
    if old.effect is not new.effect and not _raised(old, new, entry, policies):
        return False
    if old.known != new.known:
        fewer = new.known.items() <= old.known.items()
        if not fewer or any(reads(policy, "flow") for policy in policies):
            return False
    return _output(old.output, new.output, policies)


def _raised(old: Labels, new: Labels, entry: ToolEntry, policies: Sequence[Policy]) -> bool:
    """Whether a higher effect only asks for more: nothing but the tier may hang on it.

    An upstream's own hint can have made the effect `destructive` before, and what proves a value for that one is least.
    """
    if _TIERS.index(tier_of(new.effect)) <= _TIERS.index(tier_of(old.effect)) or old.fetches:
        return False
    if any(reads(policy, "tool", "sinks", "flow", "session") for policy in policies):
        return False
    if new.effect is Effect.WRITE:
        return not any(file.observe_until for policy in policies for file in policy.files)
    proving = [
        rule
        for policy in policies
        for _, rule in ruled(policy)
        if rule.decide is Decide.ASK_UNLESS_PROVEN and _meet(rule.patterns, entry.patterns)
    ]
    return new.effect is Effect.DESTRUCTIVE or not proving


def _output(old: OutputLabel, new: OutputLabel, policies: Sequence[Policy]) -> bool:
    """Whether what is done with an output is at least as strict."""
    rest = replace(old, trust=new.trust, private=new.private, secrets=new.secrets, strict=new.strict, pii=new.pii)
    if rest != new or (old.strict and not new.strict and new.secrets is not SecretAction.BLOCK):
        return False
    if _SECRETS.index(new.secrets) < _SECRETS.index(old.secrets):
        return False
    if _PERSONAL.index(new.pii) < _PERSONAL.index(old.pii):
        return False
    if (old.trust, old.private) == (new.trust, new.private):
        return True
    stricter = _TRUST.index(new.trust) >= _TRUST.index(old.trust) and (new.private or not old.private)
    return stricter and not any(reads(policy, "session", "flow") for policy in policies)


def _change(old: Labels, new: Labels) -> str:
    """What changed, in words."""
    parts = [f"effect {old.effect.value} -> {new.effect.value}"] if old.effect is not new.effect else []
    names = ("sinks", "payload", "inert", "known", "output", "preview", "record", "fetches")
    parts += [f"`{name}` changed" for name in names if getattr(old, name) != getattr(new, name)]
    return ", ".join(parts) or "changed"
