"""What an upstream says of its tools, checked piece by piece.

No I/O, and nothing is repaired: a definition that breaks a rule is left out, and the listing says which and why.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcp.shared.inbound import find_invalid_x_mcp_header

from gateway.core.canon import canonical, digest
from gateway.upstreams.names import is_legal

LARGEST = 256 * 1024  # bytes of one definition
LARGEST_LIST = 16 * 1024 * 1024  # bytes of all of them
DEEPEST = 64
_PINNED = ("name", "title", "description", "inputSchema", "outputSchema", "annotations", "_meta", "icons")
_SHOWN_NOTES = 5


@dataclass(frozen=True, slots=True)
class Definition:
    """One tool as its upstream defines it, under the upstream's own name, with the digest that is pinned."""

    name: str
    value: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools of one upstream that can be offered, sorted by name, and why others were left out."""

    definitions: tuple[Definition, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """The left-out tools in one line; empty if there are none."""
        if not self.left_out:
            return ""
        more = len(self.left_out) - _SHOWN_NOTES
        shown = "; ".join(self.left_out[:_SHOWN_NOTES]) + (f"; and {more} more" if more > 0 else "")
        return f"{len(self.left_out)} tools left out: {shown}"


def read_listing(items: Sequence[Any], largest: int = LARGEST) -> Listing:
    """Check what `tools/list` brought, all pages together; `largest` bytes are allowed for one definition."""
    names = Counter(item["name"] for item in items if isinstance(item, dict) and isinstance(item.get("name"), str))
    kept: list[Definition] = []
    left_out: list[str] = []
    for item in items:
        fault = _fault(item, names, largest)
        if fault:
            left_out.append(f"{_shown_name(item)} ({fault})")
        else:
            kept.append(_definition(item))
    return Listing(tuple(sorted(kept, key=lambda one: one.name)), tuple(dict.fromkeys(left_out)))


def _fault(item: Any, names: Counter[str], largest: int) -> str:
    """Why a definition can't be offered; empty if it can."""
    if not isinstance(item, dict):
        return "no object"
    if not is_legal(item.get("name")):
        return "illegal name"
    if names[item["name"]] > 1:
        return "name used twice"
    schema = item.get("inputSchema")
    if not isinstance(schema, dict):
        return "no input schema"
    if not isinstance(item.get("outputSchema", {}), dict) or not isinstance(item.get("_meta", {}), dict):
        return "wrong types"
    if _depth(item) > DEEPEST:
        return f"nested deeper than {DEEPEST}"
    try:
        size = len(canonical(item))
    except ValueError:
        return "can't be encoded"
    if size > largest:
        return f"over {largest // 1024} KiB"
    return "invalid x-mcp-header" if find_invalid_x_mcp_header(schema) is not None else ""


def _definition(item: Mapping[str, Any]) -> Definition:
    """The definition without what must not pass: an upstream's word to one client, and extensions nobody relays."""
    value = {key: part for key, part in item.items() if key != "execution"}
    meta = {key: part for key, part in item.get("_meta", {}).items() if not key.startswith("anthropic/")}
    if "_meta" in value:
        value["_meta"] = meta
    if not meta:
        value.pop("_meta", None)
    return Definition(item["name"], value, digest({key: value[key] for key in _PINNED if key in value}))


def _depth(value: Any) -> int:
    """How deep objects and arrays are nested, counted without recursion."""
    depth, level = 0, [value]
    while level and depth <= DEEPEST:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        depth, level = depth + bool(inner), inner
    return depth


def _shown_name(item: Any) -> str:
    """A name that may hold anything, fit for a line of text."""
    name = item.get("name") if isinstance(item, dict) else None
    return f"`{ascii(name)[1:-1][:60]}`" if isinstance(name, str) else "one without a name"
