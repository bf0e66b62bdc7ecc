"""Which surfaces of an upstream are screened for secrets, and which can't be: for a badge, and the list behind it.

Pure: tools as they are offered in, words out. It says what the gateway does; whether an output held anything is for the
record.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from msgspec import Struct

from gateway.core.model import Act, Grade, SecretAction, Surface, Tool
from gateway.core.tiers import judged, nobody

MOST_NAMES = 20  # that a part tells of
_MEDIA = re.compile(r"(?i)^(image|audio|video)/")
_SHOWS = re.compile(
    r"(?i)(?<![a-z])(screen_?shots?|images?|pictures?|photos?|thumbnails?|audio|sounds?|speech|voice|recordings?|videos?)(?![a-z])"
)
_ALWAYS: Sequence[tuple[str, str]] = (
    ("lists", "names, titles, descriptions, schemas and annotations, as they are listed, and instructions"),
    ("arguments", "secrets of the gateway's own block; in what is sent outwards all others are asked about"),
    ("notices", "progress, log notices and updates of resources"),
    ("questions", "what it asks people and models, and their answers"),
    ("errors", "messages and data of errors, and the end of stderr where it failed"),
)


class Sight(str, Enum):
    """How far a surface is looked through."""

    SCREENED = "screened"
    FLAGGED = "flagged"  # looked through; what is only called like a secret passes, and is on the record
    PASSES = "passes"  # looked through; what is found passes, and is on the record
    UNSEEN = "unseen"  # out of reach


class Part(Struct, frozen=True):
    """One surface: how far it is looked through, what that means, and which tools or URIs it is about (none: all)."""

    surface: str
    sight: Sight
    note: str
    names: tuple[str, ...] = ()
    more: int = 0  # names beyond those


def coverage(tools: Iterable[Tool]) -> tuple[Part, ...]:
    """The surfaces of one upstream, by what it offers: tools, resources, templates and prompts."""
    offered = list(tools)
    by_sight = {sight: [tool for tool in offered if _sight(tool) is sight] for sight in Sight}
    parts = [
        Part(
            "results",
            Sight.SCREENED,
            "text, structured content, resources and what their data decodes to, links, `_meta`, prompts, completions",
        ),
        *(Part(surface, Sight.SCREENED, note) for surface, note in _ALWAYS),
    ]
    if by_sight[Sight.FLAGGED]:
        note = "their label says that they can be believed: what is only called like a secret passes"
        parts.append(_part("results", Sight.FLAGGED, note, by_sight[Sight.FLAGGED]))
    if by_sight[Sight.PASSES]:
        note = "`secrets = allow` in their label: all but the gateway's own secrets passes"
        parts.append(_part("results", Sight.PASSES, note, by_sight[Sight.PASSES]))
    shown = [tool for tool in offered if _shows(tool)]
    note = "text in images and sound is not read; by their names or types these may answer with some"
    parts.append(
        _part("images and sound", Sight.UNSEEN, note if shown else "text in images and sound is not read", shown)
    )
    return tuple(parts)


def badge(parts: Sequence[Part]) -> str:
    """The coverage in a few words."""
    counts = {sight: _count(parts, sight) for sight in Sight}
    said = ["all text screened"]
    if counts[Sight.PASSES]:
        said.append(f"{counts[Sight.PASSES]} let secrets pass by label")
    if counts[Sight.FLAGGED]:
        said.append(f"{counts[Sight.FLAGGED]} let guesses pass")
    if counts[Sight.UNSEEN]:
        said.append(f"{counts[Sight.UNSEEN]} may answer with images or sound, which are not read")
    return "; ".join(said)


def part_item(part: Part) -> Mapping[str, Any]:
    """A part as `--json` prints it."""
    told = {"surface": part.surface, "sight": part.sight.value, "note": part.note}
    return {**told, "names": list(part.names), "more": part.more}


def _sight(tool: Tool) -> Sight:
    label = tool.labels.output
    if label.secrets is SecretAction.ALLOW:
        return Sight.PASSES
    flags = judged(label, nobody, "", Grade.GENERIC, "") is Act.FLAGGED
    return Sight.FLAGGED if flags else Sight.SCREENED


def _shows(tool: Tool) -> bool:
    """Whether it says of itself that it may answer with images or sound."""
    definition = tool.definition
    if tool.surface is Surface.RESOURCES:
        return _MEDIA.match(str(definition.get("mimeType", ""))) is not None
    words = (tool.ref.name, definition.get("title", ""), definition.get("description", ""))
    return tool.surface is Surface.TOOLS and any(_SHOWS.search(str(each)[:500]) for each in words)


def _part(surface: str, sight: Sight, note: str, tools: Sequence[Tool]) -> Part:
    names = sorted({tool.ref.name for tool in tools})
    return Part(surface, sight, note, tuple(names[:MOST_NAMES]), max(0, len(names) - MOST_NAMES))


def _count(parts: Sequence[Part], sight: Sight) -> int:
    return sum(len(part.names) + part.more for part in parts if part.sight is sight)
