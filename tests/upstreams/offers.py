"""Things that upstreams could list, and a classification for tests. No assertions here."""

from collections.abc import Mapping
from typing import Any

from gateway.core.model import Effect, Labels, Surface, Tier, Tool, ToolRef
from gateway.upstreams.definitions import (
    PROMPTS,
    RESOURCES,
    TEMPLATES,
    TOOLS,
    Definition,
    Listing,
    Offering,
    read_items,
)

LARGEST = 4096  # bytes of one definition
ALL = (TOOLS, RESOURCES, TEMPLATES, PROMPTS)


def tool(name: object, **more: object) -> dict[str, Any]:
    """A tool as an upstream lists it."""
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def resource(uri: object, **more: object) -> dict[str, Any]:
    """A resource."""
    return {"uri": uri, "name": "a resource", **more}


def template(uri: object, **more: object) -> dict[str, Any]:
    """A resource template."""
    return {"uriTemplate": uri, "name": "a template", **more}


def prompt(name: object, **more: object) -> dict[str, Any]:
    """A prompt."""
    return {"name": name, **more}


MAKE = {"tools": tool, "resources": resource, "templates": template, "prompts": prompt}
NAMES = {"tools": "t", "resources": "x://r", "templates": "x://{t}", "prompts": "p"}


def make(kind: Offering, **more: object) -> dict[str, Any]:
    """A good one of a kind, with something added or replaced."""
    return {**MAKE[kind.kind](NAMES[kind.kind]), **more}


def read(kind: Offering, *items: object, largest: int = LARGEST) -> tuple[Definition, ...]:
    """Check items and return those that are fit."""
    return read_items(kind, items, largest)[0]


def listing(
    tools: tuple[str, ...] = (),
    resources: tuple[str, ...] = (),
    templates: tuple[str, ...] = (),
    prompts: tuple[str, ...] = (),
    **more: Any,
) -> Listing:
    """A listing of things with these names."""
    return Listing(
        tools=read(TOOLS, *map(tool, tools)),
        resources=read(RESOURCES, *map(resource, resources)),
        templates=read(TEMPLATES, *map(template, templates)),
        prompts=read(PROMPTS, *map(prompt, prompts)),
        **more,
    )


def classify(
    ref: ToolRef, exposed: str, definition: Mapping[str, Any], digest: str, surface: Surface, listed: bool
) -> Tool:
    """What is listed is a read, what isn't is sent outwards."""
    effect, tier = (Effect.READ, Tier.READ) if listed else (Effect.EGRESS, Tier.HIGH)
    return Tool(ref, exposed, definition, digest, effect, tier, Labels(effect), surface=surface)
