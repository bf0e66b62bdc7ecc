"""What definitions look like on the wire, as far as clients check them.

Types only: whether a name or a size is fit to be passed on is decided in `definitions`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

_MISSING = re.compile(r"Object missing required field `(\w+)`")


class Icon(msgspec.Struct, rename="camel"):
    """A picture for people."""

    src: str
    mime_type: str | None = None
    sizes: list[str] | None = None
    theme: Literal["light", "dark"] | None = None


class Hints(msgspec.Struct, rename="camel"):
    """What a tool's upstream claims of it; proves nothing."""

    title: str | None = None
    read_only_hint: bool | None = None
    destructive_hint: bool | None = None
    idempotent_hint: bool | None = None
    open_world_hint: bool | None = None


class Annotations(msgspec.Struct, rename="camel"):
    """For whom a resource is, and how much it matters."""

    audience: list[Literal["user", "assistant"]] | None = None
    priority: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    last_modified: str | None = None


class Argument(msgspec.Struct):
    """One argument of a prompt."""

    name: str
    title: str | None = None
    description: str | None = None
    required: bool | None = None


class InputSchema(msgspec.Struct):
    """The outside of an input schema; what is in it is not looked at."""

    type: Literal["object"]
    properties: dict[str, dict[str, Any] | bool] | None = None
    required: list[str] | None = None


class Thing(msgspec.Struct, rename="camel", kw_only=True):
    """What all of them have."""

    name: str
    title: str | None = None
    description: str | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class Tool(Thing, rename="camel", kw_only=True):
    """An entry of `tools/list`."""

    input_schema: InputSchema
    output_schema: dict[str, Any] | None = None
    annotations: Hints | None = None


class Resource(Thing, rename="camel", kw_only=True):
    """An entry of `resources/list`."""

    uri: str
    mime_type: str | None = None
    size: int | None = None
    annotations: Annotations | None = None


class Template(Thing, rename="camel", kw_only=True):
    """An entry of `resources/templates/list`."""

    uri_template: str
    mime_type: str | None = None
    annotations: Annotations | None = None


class Prompt(Thing, kw_only=True):
    """An entry of `prompts/list`."""

    arguments: list[Argument] | None = None


def misfit(problem: str) -> str:
    """Where a definition has a wrong type, without anything that the upstream wrote."""
    _, found, path = problem.rpartition(" - at `$")
    where = path.strip("`.") if found else ""
    missing = _MISSING.match(problem)
    return "no " + ".".join(part for part in (where, missing[1]) if part) if missing else f"wrong type: {where}"


def given(value: Mapping[str, Any], shape: type[msgspec.Struct]) -> dict[str, Any]:
    """The parts that are there: null for a known one means that it isn't, and many clients refuse it."""
    known = shape.__struct_encode_fields__
    return {key: part for key, part in value.items() if part is not None or key not in known}
