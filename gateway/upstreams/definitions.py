"""What an upstream says of its tools, resources, resource templates and prompts, checked piece by piece.

No I/O, and hardly anything is repaired: a definition that breaks a rule is left out, and the listing says which and
why. Clients refuse a whole list for one wrong type in it, and the lists of all upstreams become one.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp.shared.uri_template import InvalidUriTemplate, UriTemplate
from msgspec import Struct

from gateway.core.canon import canonical, digest
from gateway.upstreams import shapes
from gateway.upstreams.names import hides, is_legal, is_uri
from gateway.upstreams.results import clean

DEEPEST = 64
_SHOWN = 5  # how many of those that were left out are named
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")


class Definition(Struct, frozen=True):
    """One thing as its upstream defines it, with the digest that is pinned.

    `name` is the upstream's own name of a tool or prompt, a resource's URI, a template's `uriTemplate`.
    """

    name: str
    value: Mapping[str, Any]
    digest: str


class Listing(Struct, frozen=True):
    """What one upstream offers that can be passed on, each kind sorted by name."""

    tools: tuple[Definition, ...] = ()
    resources: tuple[Definition, ...] = ()
    templates: tuple[Definition, ...] = ()
    prompts: tuple[Definition, ...] = ()
    instructions: str = ""
    left_out: tuple[str, ...] = ()  # what is missing and why, in a line for each kind
    failed: frozenset[str] = frozenset()  # kinds that could not be listed: what was known of them before still holds
    version: str = ""  # that the server gives for itself

    @property
    def note(self) -> str:
        """What is missing in one line; empty if nothing is."""
        return "; ".join(self.left_out)

    def of(self, kind: str) -> tuple[Definition, ...]:
        """The definitions of one kind; raises `KeyError` for a kind that there isn't."""
        return {"tools": self.tools, "resources": self.resources, "templates": self.templates, "prompts": self.prompts}[
            kind
        ]


class Offering(Struct, frozen=True):
    """A kind of thing that upstreams offer: how it is listed, what names one, and what it must look like."""

    kind: str
    noun: str
    capability: str  # what the upstream declares if it has them
    method: str
    items: str  # key of the list in a page
    key: str  # what names one
    shape: type[shapes.Thing]
    pinned: tuple[str, ...]  # what is in the digest: what a model or a person sees, without what changes by itself
    fault: Callable[[Mapping[str, Any]], str]


def check(kind: Offering, item: Any, seen: Mapping[str, int], largest: int) -> Definition | str:
    """The definition, or why it can't be offered; `seen` counts the names of all items, `largest` is in bytes."""
    if not isinstance(item, dict):
        return "one without a name (no object)"
    fault = _fault(kind, item, seen, largest)
    if fault:
        return f"{_shown_name(item.get(kind.key))} ({fault})"
    return _definition(kind, item)


def anew(kind: Offering, one: Definition, value: Any) -> Definition | str:
    """A definition that was checked, with other texts in it; or why it can't be offered so."""
    if not isinstance(value, dict) or value.get(kind.key) != one.name:
        return f"one whose {kind.key} holds a secret"
    fault = _fault(kind, value, {one.name: 1}, sys.maxsize)
    return f"{_shown_name(one.name)} ({fault}, without the secret in it)" if fault else _definition(kind, value)


def recall(kind: str, name: str, digest: str, value: Any) -> Definition | None:
    """A definition that was accepted and kept by its digest; None for anything else than exactly that."""
    if not isinstance(value, dict):
        return None
    found = check(_OFFERINGS[kind], value, Counter([name]), sys.maxsize)
    return found if found == Definition(name, value, digest) else None


def count_names(kind: Offering, items: Iterable[Any]) -> Mapping[str, int]:
    """How often each name is used in a list, by definitions in order or not."""
    return Counter(item[kind.key] for item in items if isinstance(item, dict) and isinstance(item.get(kind.key), str))


def gather(kind: Offering, checked: Sequence[Definition | str]) -> tuple[tuple[Definition, ...], str]:
    """The definitions sorted by name, and one line about those that were left out (empty: none was)."""
    kept = sorted((one for one in checked if isinstance(one, Definition)), key=lambda one: one.name)
    faults = list(dict.fromkeys(one for one in checked if isinstance(one, str)))
    if not faults:
        return tuple(kept), ""
    noun = kind.noun if len(faults) > 1 else kind.noun[:-1]
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return tuple(kept), f"{len(faults)} {noun} left out: {'; '.join(faults[:_SHOWN])}{more}"


def read_items(kind: Offering, items: Sequence[Any], largest: int) -> tuple[tuple[Definition, ...], str]:
    """Check a whole list at once; see `gather`."""
    seen = count_names(kind, items)
    return gather(kind, [check(kind, item, seen, largest) for item in items])


def read_instructions(text: object, most: int) -> tuple[str, str]:
    """An upstream's instructions if they can be passed on, else why not; never a part of them."""
    if text is None or text == "":
        return "", ""
    if not isinstance(text, str):
        return "", "instructions left out (no text)"
    if len(text) > most:
        return "", f"instructions left out (over {most} characters)"
    if hides(text.translate({9: None, 10: None, 13: None}), joiners=True):
        return "", "instructions left out (hidden characters)"
    return text, ""


def _fault(kind: Offering, item: Mapping[str, Any], seen: Mapping[str, int], largest: int) -> str:
    """Why a definition can't be offered; empty if it can."""
    name = item.get(kind.key)
    if not (is_legal(name) if kind.key == "name" else is_uri(name)):
        return "illegal name" if kind.key == "name" else "illegal URI"
    if seen[str(name)] > 1:
        return "name used twice" if kind.key == "name" else "URI used twice"
    if _depth(item) > DEEPEST:
        return f"nested deeper than {DEEPEST}"
    try:
        size = len(canonical(item))
    except ValueError:
        return "can't be encoded"
    if size > largest:
        return f"over {largest} bytes"
    try:
        msgspec.convert(item, kind.shape)
    except msgspec.ValidationError as problem:
        return shapes.misfit(str(problem))
    return kind.fault(item)


def _of_tool(item: Mapping[str, Any]) -> str:
    return "invalid x-mcp-header" if find_invalid_x_mcp_header(item["inputSchema"]) is not None else ""


def _of_resource(item: Mapping[str, Any]) -> str:
    return "" if item["name"] and not hides(item["name"], joiners=True) else "illegal name"


def _of_template(item: Mapping[str, Any]) -> str:
    try:
        UriTemplate.parse(item["uriTemplate"])
    except InvalidUriTemplate:
        return "no URI template that can be matched"
    return _of_resource(item)


def _of_prompt(item: Mapping[str, Any]) -> str:
    names = [argument["name"] for argument in item.get("arguments") or ()]
    if any(not name or hides(name) for name in names):
        return "illegal name of an argument"
    return "" if len(set(names)) == len(names) else "two arguments of one name"


def _definition(kind: Offering, item: Mapping[str, Any]) -> Definition:
    """The definition without what must not pass: nulls, words to one client, and extensions that nobody relays."""
    value = clean(shapes.given(item, kind.shape))
    if kind is TOOLS:
        value.pop("execution", None)
        value["inputSchema"] = shapes.given(value["inputSchema"], shapes.InputSchema)
    if "icons" in value:
        value["icons"] = [shapes.given(icon, shapes.Icon) for icon in value["icons"]]
    if "arguments" in value and kind is PROMPTS:
        value["arguments"] = [shapes.given(argument, shapes.Argument) for argument in value["arguments"]]
    if "annotations" in value and kind is not PROMPTS:
        value["annotations"] = _annotations(kind, value["annotations"])
    return Definition(item[kind.key], value, digest(pinned(kind.kind, value)))


def pinned(kind: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a definition of one kind whose canonical bytes its digest is of; `KeyError` for an unknown kind."""
    return {key: value[key] for key in _PINNED[kind] if key in value}


def _annotations(kind: Offering, value: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind is TOOLS:
        return shapes.given(value, shapes.Hints)
    annotations = shapes.given(value, shapes.Annotations)
    if _MOMENT.fullmatch(annotations.get("lastModified", "")) is None:  # common clients refuse a list that holds one
        annotations.pop("lastModified", None)
    return annotations


def _depth(value: Mapping[str, Any]) -> int:
    """How deep objects and arrays are nested, counted without recursion and no further than needed."""
    depth = 0
    level: list[Any] = [value]
    while level and depth <= DEEPEST:
        depth += 1
        inner = (part for item in level for part in (item.values() if isinstance(item, dict) else item))
        level = [part for part in inner if isinstance(part, dict | list)]
    return depth


def _shown_name(name: object) -> str:
    """A name that may hold anything, fit for a line of text."""
    return f"`{ascii(name)[1:-1][:60]}`" if isinstance(name, str) else "one without a name"


_SEEN = ("title", "description", "icons", "_meta")
_CALLED = ("inputSchema", "outputSchema", "annotations")
TOOLS = Offering(
    "tools", "tools", "tools", "tools/list", "tools", "name", shapes.Tool, ("name", *_SEEN, *_CALLED), _of_tool
)
RESOURCES = Offering(
    "resources",
    "resources",
    "resources",
    "resources/list",
    "resources",
    "uri",
    shapes.Resource,
    ("uri", "name", "mimeType", *_SEEN),  # neither size nor annotations: they change with the content
    _of_resource,
)
TEMPLATES = Offering(
    "templates",
    "resource templates",
    "resources",
    "resources/templates/list",
    "resourceTemplates",
    "uriTemplate",
    shapes.Template,
    ("uriTemplate", "name", "mimeType", "annotations", *_SEEN),
    _of_template,
)
PROMPTS = Offering(
    "prompts",
    "prompts",
    "prompts",
    "prompts/list",
    "prompts",
    "name",
    shapes.Prompt,
    ("name", "arguments", *_SEEN),
    _of_prompt,
)
OFFERINGS = (TOOLS, RESOURCES, TEMPLATES, PROMPTS)
_OFFERINGS = {offering.kind: offering for offering in OFFERINGS}
_PINNED = {offering.kind: offering.pinned for offering in OFFERINGS}
