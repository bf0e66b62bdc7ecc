"""Walk everything that an upstream lists, all pages, within bounds.

Decides nothing about it, keeps nothing, and lets no list but that of the tools stop the upstream.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import msgspec
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND

from gateway.errors import UpstreamError
from gateway.upstreams.definitions import (
    PROMPTS,
    RESOURCES,
    TEMPLATES,
    TOOLS,
    Definition,
    Listing,
    Offering,
    check,
    count_names,
    gather,
    read_instructions,
)
from gateway.upstreams.spec import UpstreamSpec

MOST_PAGES = 100
PATIENCE = 10.0  # seconds for everything but the tools, and never more than half of what is left for the start
_AT_A_TIME = 20  # definitions that are checked before others get their turn

Read = tuple[tuple[Definition, ...], str]


class Lister(Protocol):
    """What is needed of a link."""

    @property
    def instructions(self) -> str:
        """What the upstream said of itself when the connection was negotiated."""

    def offers(self, kind: str) -> bool:
        """Whether the upstream declared a capability."""

    async def request(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask and return the raw result; raises `MCPError`."""

    def learn_headers(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Take over which arguments of which tools are repeated in headers (`x-mcp-header`)."""


class Sieve(Protocol):
    """Who screens what an upstream says of itself, before anybody else gets to hear it."""

    async def listing(self, upstream: str, listing: Listing) -> Listing:
        """The listing without its secrets; raises `UpstreamError` if it can't be screened."""

    async def words(self, upstream: str, text: str) -> str:
        """A line that may quote the upstream, redacted."""


class Unsifted:
    """Implements `Sieve` where nobody else hears: nothing is screened."""

    async def listing(self, upstream: str, listing: Listing) -> Listing:
        """The listing as it is."""
        return listing

    async def words(self, upstream: str, text: str) -> str:
        """The line as it is."""
        return text


async def walk(link: Lister, spec: UpstreamSpec) -> Listing:
    """List everything that the upstream declared, checked and sorted.

    Raises `UpstreamError` if its tools can't be listed, go round in a circle or exceed a bound, `MCPError` if it
    answers with an error. What can't be listed besides is noted, and waited for only a while.
    """
    tools, left_out = await _read(link, TOOLS, spec) if link.offers(TOOLS.capability) else ((), "")
    link.learn_headers([one.value for one in tools])
    others = await _others(link, spec)
    instructions, muted = (
        read_instructions(link.instructions, spec.most_instructions) if spec.instructions else ("", "")
    )
    failed = {kind: why for kind, why in others.items() if isinstance(why, str)}
    read = {kind: found for kind, found in others.items() if not isinstance(found, str)}
    notes = [left_out, *(note for _, note in read.values()), *failed.values(), muted]
    return Listing(
        tools=tools,
        resources=read.get("resources", ((), ""))[0],
        templates=read.get("templates", ((), ""))[0],
        prompts=read.get("prompts", ((), ""))[0],
        instructions=instructions,
        left_out=tuple(note for note in notes if note),
        failed=frozenset(failed),
    )


async def _others(link: Lister, spec: UpstreamSpec) -> Mapping[str, Read | str]:
    """Resources, templates and prompts by kind, or why there are none: asked for all at once."""
    wanted = [kind for kind in (RESOURCES, TEMPLATES, PROMPTS) if link.offers(kind.capability)]
    patience = _patience()
    late = f"not listed within {patience:.3g} s"
    outcomes: dict[str, Read | str] = {kind.kind: f"{kind.noun} {late}" for kind in wanted}

    async def read(kind: Offering) -> None:
        try:
            outcomes[kind.kind] = await _read(link, kind, spec)
        except UpstreamError as problem:
            outcomes[kind.kind] = str(problem)
        except MCPError as problem:
            code = problem.error.code
            missing = code == METHOD_NOT_FOUND  # many declare resources and have none of the two lists
            outcomes[kind.kind] = ((), "") if missing else f"{kind.noun} not listed: error {code}"
        except (ValueError, RuntimeError) as problem:  # what the SDK makes of an answer that it can't read
            outcomes[kind.kind] = f"{kind.noun} not listed: {type(problem).__name__}"

    with anyio.move_on_after(patience):
        async with anyio.create_task_group() as tasks:
            for kind in wanted:
                tasks.start_soon(read, kind)
    return outcomes


def _patience() -> float:
    left = anyio.current_effective_deadline() - anyio.current_time()
    return max(0.0, min(PATIENCE, left / 2 if math.isfinite(left) else PATIENCE))


async def _read(link: Lister, kind: Offering, spec: UpstreamSpec) -> Read:
    """One kind, checked; gives way to others while it checks."""
    items = await _pages(link, kind, _most(kind, spec), spec.largest_list)
    seen = count_names(kind, items)
    checked: list[Definition | str] = []
    for number, item in enumerate(items, 1):
        checked.append(check(kind, item, seen, spec.largest_definition))
        if number % _AT_A_TIME == 0:
            await anyio.lowlevel.checkpoint()
    return gather(kind, checked)


def _most(kind: Offering, spec: UpstreamSpec) -> int:
    return {
        "tools": spec.most_tools,
        "resources": spec.most_resources,
        "templates": spec.most_templates,
        "prompts": spec.most_prompts,
    }[kind.kind]


async def _pages(link: Lister, kind: Offering, most: int, largest: int) -> list[Any]:
    """All pages of one list, unchecked; raises `UpstreamError` beyond 100 pages, `most` entries or `largest` bytes."""
    items: list[Any] = []
    seen: set[str] = set()
    size, cursor = 0, None
    for _ in range(MOST_PAGES):
        page = await link.request(kind.method, {} if cursor is None else {"cursor": cursor})
        found, cursor = page.get(kind.items), page.get("nextCursor")
        if not isinstance(found, list) or not (cursor is None or isinstance(cursor, str)):
            raise UpstreamError(f"its answer to `{kind.method}` is no list of {kind.noun}")
        items += found
        size += len(msgspec.json.encode(found)) + len(cursor or "")
        if len(items) > most:
            raise UpstreamError(f"it lists more than {most} {kind.noun}")
        if size > largest:
            raise UpstreamError(f"its {kind.noun} take more than {largest} bytes")
        if cursor is None:
            return items
        if cursor in seen:
            raise UpstreamError(f"its list of {kind.noun} goes round in a circle")
        seen.add(cursor)
    raise UpstreamError(f"its list of {kind.noun} has more than {MOST_PAGES} pages")
