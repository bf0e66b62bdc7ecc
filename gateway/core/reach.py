"""What would pass unasked if the agent were hijacked now: where, to which values, by which rule or grant. No I/O here.

The session is tainted, and an attacker chooses tool and arguments. Whatever `decide` allows then is told here; more may
be told than can pass, since conditions are not evaluated.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from gateway.core.flow import GOOD, LISTED, TRUSTED, weighs
from gateway.core.globs import matches
from gateway.core.grants import labels_digest, stands
from gateway.core.model import (
    Choice,
    Decide,
    Effect,
    Grant,
    Labels,
    SinkKind,
    Surface,
    Tier,
    Tool,
    ToolRef,
    Trust,
)
from gateway.core.openings import (
    ANY,
    CONDITION,
    GRANTED,
    LIST,
    ORIGIN,
    REST,
    VOUCHED,
    WHOLE,
    Change,
    Opening,
    Passage,
    Reach,
    Route,
    some,
)
from gateway.core.passing import EVERYWHERE, Way, barred, covered, ways
from gateway.core.policy import Policy
from gateway.core.record import stamp
from gateway.core.risk import UNLABELLED, classify, labels_for

_WILD = ("*", "?")
OTHERS = "unknown"  # the client that is not registered
_SCALARS = ("string", "number", "integer", "boolean")


class Assumed(Struct, frozen=True):
    """What is assumed of the hijacked session: whose it is, what people granted, and which good origins it holds.

    `held` are words of `core/flow.py`. With `session` only its own grants count that are bound to one.
    """

    clients: tuple[str, ...]
    now: datetime
    grants: tuple[Grant, ...] = ()
    held: frozenset[str] = frozenset()
    session: str = ""


def reach(policy: Policy, tools: Iterable[Tool], assumed: Assumed) -> Reach:
    """What passes unasked of these tools, as `tools_of` tells them, in the order of their names."""
    mine = sorted(tools, key=lambda tool: str(tool.ref))
    scene = _scene(policy, mine, assumed)
    openings = [found for tool in mine if weighs(tool) for found in _openings(tool, scene)]
    return Reach(tuple(openings), tuple(_routes(mine, openings, scene)), assumed.clients)


def told_change(before: Policy, after: Policy, now: datetime) -> tuple[str, ...]:
    """How a change of policy changes what passes: the numbers, and what is opened; nothing where the same passes.

    Upstreams and clients are those that the policies name, and any other client.
    """
    files = (*before.files, *after.files)
    rules = [rule for file in files for rule in file.rules]
    named = {pattern.partition("/")[0] for rule in rules for pattern in rule.patterns}
    named |= {file.upstream for file in files}
    upstreams = sorted(name for name in named if name and not any(sign in name for sign in _WILD))
    clients = (*sorted({client for rule in rules for client in rule.clients} - {OTHERS}), OTHERS)
    found = [reach(one, tools_of(one, upstreams, {}), Assumed(clients, now)) for one in (before, after)]
    change = Change(*found)
    if not change.opened and not change.closed:
        return ()
    return (f"reach {found[0].number} -> {found[1].number}", *(f"reach: + {line}" for line in change.opened))


def tools_of(
    policy: Policy,
    upstreams: Iterable[str],
    accepted: Mapping[str, Mapping[str, Mapping[str, Any]]],
    grants: Iterable[Grant] = (),
) -> tuple[Tool, ...]:
    """The tools that are looked at: those whose definitions were `accepted`, by upstream and name; of an upstream
    without any those that the policy and grants name, patterns as they stand.
    """
    found: dict[ToolRef, Tool] = {}
    for upstream in upstreams:
        known = accepted.get(upstream, {})
        names = known or _named(policy, upstream, grants)
        for name in names:
            ref = ToolRef(upstream, name)
            found[ref] = classify(known.get(name, {}), ref, f"{upstream}__{name}", "", _labels(policy, ref), None)
    return tuple(found.values())


def landing(tool: Tool) -> Mapping[str, str]:
    """The arguments where a tool's effect lands, each with the kind of its values, as labels and schema name them."""
    labels, schema = tool.labels, tool.definition.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    described = tuple(properties) if isinstance(properties, Mapping) else ()
    if labels.sinks is None:
        return dict.fromkeys(described or (REST,), SinkKind.TEXT.value)
    found = {name: kind.value for name, kind in labels.sinks.items()}
    free = {*labels.payload, *labels.inert}
    return {**found, **{name: SinkKind.TEXT.value for name in described if name not in found and name not in free}}


class _Seen(Struct, frozen=True):
    """How calls of one tool by one client pass: by rules, and by grants."""

    ways: tuple[Way, ...]
    grants: tuple[Grant, ...]

    @property
    def passes(self) -> bool:
        """Whether some call passes, as far as rules and grants alone tell."""
        return bool(self.ways or any(grant.scope is not Choice.VOUCH for grant in self.grants))


class _Scene(Struct, frozen=True):
    """The attack: what passes of each tool and client, and which good origins the attacker can use."""

    policy: Policy
    assumed: Assumed
    seen: Mapping[tuple[ToolRef, str], _Seen]
    held: frozenset[str]


def _scene(policy: Policy, tools: Sequence[Tool], assumed: Assumed) -> _Scene:
    seen = {(tool.ref, client): _look(policy, tool, client, assumed) for tool in tools for client in assumed.clients}
    # A trusted source can be made to speak where its reads pass.
    spoken = any(
        seen[tool.ref, client].passes
        for tool in tools
        for client in assumed.clients
        if tool.labels.output.trust is Trust.TRUSTED
    )
    spoken = spoken or any(
        entry.output.trust is Trust.TRUSTED for file in policy.files for entry in file.surfaces
    )  # resources and prompts
    return _Scene(policy, assumed, seen, assumed.held | ({TRUSTED} if spoken else frozenset()))


def _look(policy: Policy, tool: Tool, client: str, assumed: Assumed) -> _Seen:
    found = ways(policy, tool, client, assumed.now.date())
    # What has to stand in an empty list never does.
    open_ways = tuple(way for way in found if all(policy.lists[name].values for _, name in way.listed))
    if barred(policy, tool, client):
        return _Seen((), ())
    return _Seen(open_ways, tuple(grant for grant in assumed.grants if _is_of(grant, tool, client, assumed)))


def _is_of(grant: Grant, tool: Tool, client: str, assumed: Assumed) -> bool:
    """Whether a grant counts for calls of the tool; a vouch is of an effect, whichever tool it is used with."""
    if grant.client != client or not stands(grant, assumed.now):
        return False
    bound = grant.scope in (Choice.SESSION, Choice.VOUCH)
    if bound and assumed.session and grant.session != assumed.session:
        return False
    if grant.scope is Choice.VOUCH:
        return grant.effect is tool.effect
    return (
        (grant.upstream, grant.tool) == (tool.ref.upstream, tool.ref.name)
        and (grant.effect, grant.tier) == (tool.effect, tool.tier)
        and grant.labels == labels_digest(tool.labels)
    )


def _openings(tool: Tool, scene: _Scene) -> Iterator[Opening]:
    sinks = landing(tool)
    bare = {WHOLE: ""} if not sinks or (tool.labels.payload and not _required(tool, sinks)) else {}
    for sink, kind in {**sinks, **bare}.items():
        found: dict[Passage, dict[str, None]] = {}
        for client in scene.assumed.clients:
            for passage in _passages(tool, sink, scene.seen[tool.ref, client], scene):
                found.setdefault(passage, {})[client] = None
        if found:
            yield Opening(tool, sink, kind, {passage: tuple(some) for passage, some in found.items()})


def _required(tool: Tool, sinks: Mapping[str, str]) -> bool:
    """Whether the upstream takes no call without a value in one of the sinks."""
    schema = tool.definition.get("inputSchema")
    described = schema.get("properties") if isinstance(schema, Mapping) else None
    needed = schema.get("required") if isinstance(schema, Mapping) else None
    if not isinstance(described, Mapping) or not isinstance(needed, list):
        return False
    parts = [described.get(name) for name in needed if isinstance(name, str) and name in sinks]
    return any(isinstance(part, Mapping) and part.get("type") in _SCALARS for part in parts)


def _passages(tool: Tool, sink: str, seen: _Seen, scene: _Scene) -> Iterator[Passage]:
    for way in seen.ways:
        yield from _by_way(tool, sink, way, seen, scene)
    for grant in seen.grants:
        yield from _by_grant(tool, sink, grant)


def _by_way(tool: Tool, sink: str, way: Way, seen: _Seen, scene: _Scene) -> Iterator[Passage]:
    """How values of one sink pass by rules."""
    by = ", ".join(way.rules) or "no rule, which lets reads pass"
    rate = ", ".join((*way.rates, *(("recorded instead of asked",) if way.observed else ())))
    named = sorted({name for argument, name in way.listed if argument in (EVERYWHERE, sink)})
    if sink == WHOLE and any(argument == EVERYWHERE for argument, _ in way.listed):
        return  # it needs values
    if way.proven and sink != WHOLE:
        for one in _proofs(tool, sink, seen, scene):
            yield Passage(one.values, one.detail, ", ".join(part for part in (by, one.by) if part), rate)
    elif way.proven:
        if tool.tier is not Tier.HIGH:  # there it would be asked about as a whole
            yield Passage(ANY, "", by, rate)
    elif named:
        yield Passage(LIST, ", ".join(_listed(name, scene.policy) for name in named), by, rate)
    elif way.conditions:
        yield Passage(CONDITION, " and ".join(sorted(way.conditions)), by, rate)
    else:
        yield Passage(ANY, "", by, rate)


def _proofs(tool: Tool, sink: str, seen: _Seen, scene: _Scene) -> Iterator[Passage]:
    """Which values of a sink have a good origin for the tool's effect."""
    good, name = GOOD[tool.effect], tool.labels.known.get(sink, "")
    if LISTED in good and name and scene.policy.lists[name].values:
        yield Passage(LIST, _listed(name, scene.policy))
    for word in sorted(scene.held & good):
        yield Passage(ORIGIN, word)
    for grant in seen.grants:
        if grant.scope is Choice.VOUCH:
            yield Passage(VOUCHED, ascii(grant.value), f"grant {grant.id}")


def _by_grant(tool: Tool, sink: str, grant: Grant) -> Iterator[Passage]:
    """How values of one sink pass by a grant."""
    rate = f"{grant.uses - grant.used} times until {stamp(grant.expires_at)}"
    if grant.scope is Choice.SESSION:
        yield Passage(ANY, "", f"grant {grant.id}", rate)
    elif grant.scope is not Choice.VOUCH and (sink in grant.pins or sink in (WHOLE, REST)):
        yield Passage(GRANTED, "", f"grant {grant.id}", rate)


def _listed(name: str, policy: Policy) -> str:
    values = policy.lists[name].values
    return f"{name} ({some(values)})"


def _routes(tools: Sequence[Tool], openings: Sequence[Opening], scene: _Scene) -> Iterator[Route]:
    """The tools by which an attacker sends out what the same client can read."""
    private = [tool for tool in tools if tool.labels.output.private and tool.labels.effect is Effect.READ]
    for tool in tools:
        if tool.labels.at is not None and tool.effect is not Effect.EGRESS and not tool.labels.fetches:
            continue
        mine = [opening for opening in openings if opening.tool is tool]
        clients = [client for client in scene.assumed.clients if any(client in opening.chosen for opening in mine)]
        reads = {str(read.ref) for read in private for client in clients if scene.seen[read.ref, client].passes}
        if reads:
            yield Route(tool, tuple(clients), tuple(sorted(reads)))


def _named(policy: Policy, upstream: str, grants: Iterable[Grant]) -> Iterator[str]:
    """What the policy and grants name of an upstream's tools: names, and patterns as they stand."""
    given = [pattern for file in policy.files for entry in file.tools for pattern in entry.patterns]
    for file in policy.files:
        # What always asks or blocks lets no tool pass that nobody labelled.
        lets = (Decide.ALLOW, Decide.ASK_UNLESS_PROVEN)
        rules = [rule for rule in file.rules if rule.surface is Surface.TOOLS and rule.decide in lets]
        given += [pattern for rule in rules for pattern in rule.patterns]
    names = [name for of, _, name in (pattern.partition("/") for pattern in given) if matches(of, upstream)]
    yield from dict.fromkeys([*names, *(grant.tool for grant in grants if grant.upstream == upstream)])


def _labels(policy: Policy, ref: ToolRef) -> Labels:
    """The labels of a tool; of a pattern those of an entry that covers all of it."""
    if not any(sign in ref.name for sign in _WILD):
        return labels_for(policy, ref)
    for upstream in (ref.upstream, ""):
        entries = [entry for file in policy.files if file.upstream == upstream for entry in file.tools]
        for entry in entries:
            if covered(entry.patterns, str(ref)):
                return entry.labels
    return UNLABELLED
