"""What passes unasked, in values and in words: places where an effect lands, routes by which what is private leaves.

It counts and tells, and finds nothing by itself. No I/O here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from gateway.core.flow import ARGUMENT, PROMPT, READ_ARGUMENT, TRUSTED
from gateway.core.model import Choice, Tool

ANY, CONDITION, LIST, ORIGIN, VOUCHED, GRANTED = "any", "condition", "list", "origin", "vouched", "granted"
VALUES = (ANY, CONDITION, LIST, ORIGIN, VOUCHED, GRANTED)
"""Which values pass: any; those for which a condition holds; those of a list; what the user or a trusted source said;
what a person vouched for; those of a card."""
REST = "*"  # any argument: nobody said which there are
WHOLE = ""  # the call itself: it says nowhere where its effect lands
CHOSEN = frozenset({ANY, CONDITION})  # an attacker chooses them
_SAYS = {
    PROMPT: "what stands in the user's prompt",
    ARGUMENT: "what was used before anything untrusted was read",
    READ_ARGUMENT: "what was looked up before anything untrusted was read",
    TRUSTED: "what a trusted output says",
}
MOST_LISTED = 5  # values of a list, and reads, that a line names


class Passage(Struct, frozen=True, order=True):
    """Values that pass, told by one of `VALUES` and in `detail`; and what lets them, rules or a grant, how often."""

    values: str
    detail: str = ""
    by: str = ""
    rate: str = ""


class Opening(Struct, frozen=True):
    """A place where an effect can land unasked: a tool and one of its sinks (`WHOLE` and `REST` stand for none).

    `passages` tell how, each with the clients for which it is so.
    """

    tool: Tool
    sink: str
    kind: str
    passages: Mapping[Passage, tuple[str, ...]]

    @property
    def key(self) -> tuple[str, str]:
        """What it is of."""
        return str(self.tool.ref), self.sink

    @property
    def chosen(self) -> frozenset[str]:
        """The clients whose attacker chooses the value."""
        return frozenset(
            client for passage, some in self.passages.items() if passage.values in CHOSEN for client in some
        )


class Route(Struct, frozen=True):
    """A tool that sends what it is told to whom an attacker chooses, and the private reads of the same clients."""

    tool: Tool
    clients: tuple[str, ...]
    reads: tuple[str, ...]


class Reach(Struct, frozen=True):
    """All that passes unasked for one of these clients; `number` counts it."""

    openings: tuple[Opening, ...]
    routes: tuple[Route, ...]
    clients: tuple[str, ...]

    @property
    def number(self) -> int:
        """One for each place where an effect can land, and one for each tool by which what is private can leave."""
        return len(self.openings) + len(self.routes)


class Change(Struct, frozen=True):
    """How one reach differs from another: the lines that only one of them has."""

    before: Reach
    after: Reach

    @property
    def opened(self) -> tuple[str, ...]:
        """What passes now and did not before."""
        known = set(lines(self.before))
        return tuple(line for line in lines(self.after) if line not in known)

    @property
    def closed(self) -> tuple[str, ...]:
        """What passed before and does not now."""
        return Change(self.after, self.before).opened


def lines(found: Reach) -> tuple[str, ...]:
    """Each opening and route in words, one a line, in order."""
    told = [
        f"{opening.tool.ref} ({opening.tool.effect.value}): {said(opening, passage)}, for {_whom(clients, found)}"
        for opening in found.openings
        for passage, clients in sorted(opening.passages.items())
    ]
    return (*told, *(f"{route.tool.ref} can send out {some(route.reads)}" for route in found.routes))


def _whom(clients: tuple[str, ...], found: Reach) -> str:
    return "every client" if len(clients) == len(found.clients) > 1 else ", ".join(clients)


def said(opening: Opening, passage: Passage) -> str:
    """One passage in words."""
    place = {WHOLE: "the call", REST: "any argument"}.get(opening.sink, f"`{opening.sink}`")
    values = {
        ANY: "with any value" if opening.sink != WHOLE else "itself",
        CONDITION: f"while {passage.detail}",
        LIST: f"with what is listed: {passage.detail}",
        ORIGIN: f"with {_SAYS.get(passage.detail, passage.detail)}",
        VOUCHED: f"with {passage.detail}",
        GRANTED: "as on the card",
    }[passage.values]
    return f"{place} {values} (by {passage.by}{', ' if passage.rate else ''}{passage.rate})"


def of_grant(choice: Choice, arguments: Sequence[str], free: Sequence[str]) -> str:
    """What a grant would let pass unasked of calls like the one on its card; empty for a choice that is no grant.

    `arguments` are those of the card, and `free` those that a pattern leaves open.
    """
    every, open_ = ", ".join(f"`{name}`" for name in arguments), ", ".join(f"`{name}`" for name in free)
    pinned = ", ".join(f"`{name}`" for name in arguments if name not in free) or "the tool"
    match choice:
        case Choice.ARGUMENTS:
            return f"the same call again, with {every or 'no arguments'} as on the card"
        case Choice.PATTERN:
            return f"{pinned} as on the card, with any value of {open_ or 'nothing else'}"
        case Choice.SESSION:
            return "any call of this tool in this session, whatever its arguments"
        case Choice.VOUCH:
            return "the value wherever calls of this effect land in this session, if all their other values are proven"
        case _:
            return ""


def item(opening: Opening) -> dict[str, Any]:
    """An opening as `reach --json` prints it."""
    return {
        "of": "opening",
        "upstream": opening.tool.ref.upstream,
        "tool": opening.tool.ref.name,
        "effect": opening.tool.effect.value,
        "tier": opening.tool.tier.value,
        "sink": opening.sink,
        "kind": opening.kind,
        "passes": [
            {"values": one.values, "detail": one.detail, "by": one.by, "rate": one.rate, "clients": list(clients)}
            for one, clients in sorted(opening.passages.items())
        ],
    }


def route_item(route: Route) -> dict[str, Any]:
    """A route as `reach --json` prints it."""
    ref = route.tool.ref
    told = {"of": "route", "upstream": ref.upstream, "tool": ref.name, "effect": route.tool.effect.value}
    return {**told, "clients": list(route.clients), "reads": list(route.reads)}


def some(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more
