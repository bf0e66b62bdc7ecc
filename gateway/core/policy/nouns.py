"""The policy as values: files, rules, labels, lists. Immutable; nothing here reads a file or a clock."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from math import floor

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.conditions import Condition
from gateway.core.globs import matches, matches_any
from gateway.core.model import (
    Decide,
    Decision,
    Labels,
    Obligation,
    OutputLabel,
    Owner,
    Place,
    Proof,
    Surface,
    Tier,
    ToolRef,
)
from gateway.core.policy.responses import strictest
from gateway.core.signals import Response, Signal
from gateway.core.sinks import ValueList

UNKNOWN = "unknown"  # the client that upstreams.toml doesn't register
LOOSE = (Decide.ALLOW, Decide.ASK_UNLESS_PROVEN)  # what may let a call pass
UNITS = 1_000_000  # budgets are counted in millionths of a call, or of a unit of `sum`


class Approve(Struct, frozen=True):
    """What a rule asks of an approval; None leaves a part to the tier's default."""

    proof: Proof | None = None
    by: frozenset[str] = frozenset()
    approvers: int = 1
    timeout: timedelta = timedelta(minutes=10)


class Rate(Struct, frozen=True):
    """How often a rule allows, per principal, within a sliding window."""

    count: int
    window: timedelta


class Rule(Struct, frozen=True):
    """One `[[rule]]`. Patterns are whole: `upstream/tool`, `upstream/URI`, `upstream/prompt`, `upstream/method`."""

    id: str
    surface: Surface
    patterns: tuple[str, ...]
    decide: Decide
    at: Place
    clients: tuple[str, ...] = ()  # empty: every client
    when: Condition | None = None
    reason: str = ""
    approve: Approve | None = None
    rate: Rate | None = None
    obligations: frozenset[Obligation] = frozenset()

    @property
    def for_everybody(self) -> bool:
        """Whether the rule holds whoever calls."""
        return not self.clients or ("*" in self.clients and self.decide is not Decide.ALLOW)

    def speaks_of(self, ref: ToolRef, surface: Surface = Surface.TOOLS) -> bool:
        """Whether a tool (or resource, prompt, method) is one of the rule's."""
        return self.surface is surface and names(self.patterns, ref, surface)

    def admits(self, client: str) -> bool:
        """Whether the rule holds for a client; an unknown one is never allowed something by name."""
        if not self.clients:
            return True
        if client == UNKNOWN and self.decide is Decide.ALLOW:
            return False
        return matches_any(self.clients, client)

    def toward(self, client: str, tier: Tier) -> "Rule":
        """The rule as it counts for a client that it admits: above tier read, where nothing passes by itself, an
        unknown one proves nothing to a rule of others, but is asked.
        """
        if client == UNKNOWN and self.clients and UNKNOWN not in self.clients and tier is not Tier.READ:
            return replace(self, decide=Decide.ASK) if self.decide is Decide.ASK_UNLESS_PROVEN else self
        return self


class ToolEntry(Struct, frozen=True):
    """One `[[tool]]`. Patterns are whole: `upstream/tool`."""

    patterns: tuple[str, ...]
    labels: Labels


class SurfaceEntry(Struct, frozen=True):
    """One `[[resource]]` or `[[prompt]]`: what its output is. Patterns are whole: `upstream/URI`, `upstream/prompt`."""

    surface: Surface
    patterns: tuple[str, ...]
    output: OutputLabel
    at: Place


class Budget(Struct, frozen=True):
    """One `[[budget]]`: how much of something a session, a principal or a day may take."""

    id: str
    patterns: tuple[str, ...]
    per: str  # session | principal | day
    over: Decide  # ASK or BLOCK
    at: Place
    calls: int = 0
    sum: str = ""  # `args.NAME`, summed up to `limit`
    limit: float = 0

    @property
    def most(self) -> int:
        """How much may be used, in millionths of a call or of a unit of `sum`."""
        return self.calls * UNITS or floor(Decimal(repr(self.limit)) * UNITS)

    def speaks_of(self, ref: ToolRef) -> bool:
        """Whether calls of a tool take something of it."""
        return matches_any(self.patterns, str(ref))


class Loop(Struct, frozen=True):
    """`[loop]`: how often the same call, or the same refusal, may come in a session; 0: it doesn't matter."""

    same_call: int = 0
    same_refusal: int = 0
    over: Decide = Decide.ASK
    at: Place = Place("", 0)


class Limits(Struct, frozen=True):
    """What is counted of the calls of one tool: rates of its rules, by rule id, budgets by id, and loops."""

    rates: Mapping[str, Rate] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    loops: tuple[Loop, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.rates or self.budgets or self.loops)


class PolicyFile(Struct, frozen=True):
    """One file of `policies/`."""

    name: str
    owner: Owner
    upstream: str = ""  # empty: speaks of all upstreams
    review_by: date | None = None
    observe_until: date | None = None
    tools: tuple[ToolEntry, ...] = ()
    surfaces: tuple[SurfaceEntry, ...] = ()
    rules: tuple[Rule, ...] = ()
    budgets: tuple[Budget, ...] = ()
    loop: Loop | None = None
    signals: Mapping[Signal, Response] = field(default_factory=dict)  # what is done about each that it names

    def entry(self, ref: ToolRef) -> ToolEntry | None:
        """The first entry that labels a tool: it counts whole."""
        name = str(ref)
        for entry in self.tools:
            for pattern in entry.patterns:
                if matches(pattern, name):
                    return entry
        return None

    def surface_entry(self, ref: ToolRef, surface: Surface) -> SurfaceEntry | None:
        """The first entry that labels a resource or a prompt."""
        entries = (entry for entry in self.surfaces if entry.surface is surface)
        return next((entry for entry in entries if names(entry.patterns, ref, surface)), None)


def names(patterns: Sequence[str], ref: ToolRef, surface: Surface) -> bool:
    """Whether one of the patterns is of `ref`; a lone `*` is every resource of an upstream, slashes or not."""
    if surface is Surface.RESOURCES and ("*/*" in patterns or f"{ref.upstream}/*" in patterns):
        return True
    return matches_any(patterns, str(ref))


class FilePlan(Struct, frozen=True):
    """The rules of one file that speak of a tool and client: those that block, and the others in order."""

    file: PolicyFile
    blocks: tuple[Rule, ...]
    others: tuple[Rule, ...]


class Plan(Struct, frozen=True):
    """What is known of a tool and client before the call: rules, duties, and the decision if it never varies."""

    files: tuple[FilePlan, ...]
    duties: frozenset[Obligation]
    names: frozenset[str] = frozenset()  # what the conditions read
    conditional: bool = False
    nested: bool = False
    settled: Decision | None = None
    limits: Limits = Limits()


class Policy(Struct, frozen=True):
    """All policy files together. `revision` is the digest of their texts, whatever the order they were read in."""

    revision: str
    files: tuple[PolicyFile, ...] = ()
    lists: Mapping[str, ValueList] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)  # accepted_by, accepted_at, accepted_how
    # What was worked out per tool and client, so that a decision's cost does not grow with the number of rules.
    plans: dict[tuple[str, ...], Plan] = field(default_factory=dict)

    def owner_of(self, file: str) -> str:
        """The business owner of a policy file, by its name."""
        return next((each.owner.business for each in self.files if each.name == file), "")

    def hides(self, ref: ToolRef, surface: Surface = Surface.TOOLS) -> bool:
        """Whether a rule blocks a tool for everybody and always: it is left out of `tools/list`."""
        return any(
            rule.decide is Decide.BLOCK and rule.when is None and rule.for_everybody and rule.speaks_of(ref, surface)
            for file in self.files
            for rule in file.rules
        )

    def may_allow(self, ref: ToolRef, surface: Surface, client: str) -> bool:
        """Whether some rule could allow it, and none blocks it always: only then is a question worth asking."""
        rules = [rule for file in self.files for rule in file.rules if rule.speaks_of(ref, surface)]
        return not self.hides(ref, surface) and any(
            rule.decide is Decide.ALLOW and rule.admits(client) for rule in rules
        )

    def responses(self, upstream: str) -> Mapping[Signal, Response]:
        """What is done about signals of calls of an upstream: by files that speak of it or of all, the most counts."""
        return strictest(file.signals for file in self.files if file.upstream in ("", upstream))

    def rates(self) -> Mapping[str, timedelta]:
        """The window of every rule that has a rate, by rule id: what has to be counted."""
        return {rule.id: rule.rate.window for file in self.files for rule in file.rules if rule.rate is not None}

    def loops(self) -> bool:
        """Whether a file has a `[loop]`."""
        return any(file.loop is not None for file in self.files)
