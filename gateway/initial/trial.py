"""Start one server behind a gateway of its own, in a folder that goes again, and see what it offers.

The gateway's own eyes see it: what it proposes and locks is of definitions as clients would get them, screened.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.accepted import Accepted
from gateway.config.references import WORKSPACE
from gateway.core.launch import package_of
from gateway.core.lock import KINDS, Locked, parse
from gateway.core.model import Effect
from gateway.core.visible import visible
from gateway.core.wording import look_alikes, remarks
from gateway.errors import GatewayError
from gateway.initial import document, keeping
from gateway.initial.keeping import Kept
from gateway.initial.labels import Proposed
from gateway.initial.nouns import Planned

Converse = Callable[[str, dict[str, Any], Callable[[dict[str, Any]], dict[str, Any] | None]], Any]
"""Speak with a gateway on a configuration; opens one where none runs. See `gateway.cli.conversing`."""

LEGACY = "2025-11-25"  # asked for where a program ended at the first question of the newer revision
SPARE = 5.0  # seconds beyond the deadline that are waited for an answer


class Tried(Struct, frozen=True):
    """What a start ended with: `locked` is None where it failed, for the reason `why`; `signing_in` says whether that
    is that somebody has to sign in.
    """

    name: str
    locked: Locked | None = None
    tools: tuple[Proposed, ...] = ()
    definitions: Mapping[str, Any] = field(default_factory=dict)  # by digest
    contents: tuple[bytes, ...] = ()  # the same, as they are kept
    why: str = ""
    signing_in: bool = False


class _Seen(Struct, frozen=True):
    """What the gateway shows of everything that a server offers, or why that is nothing."""

    items: Sequence[Mapping[str, Any]] = ()
    why: str = ""
    signing_in: bool = False


def tried(one: Planned, kept: Sequence[Kept], folder: Path, deadline: float, converse: Converse) -> Tried:
    """Start one server; `folder` is empty, and private. A failure is part of what is returned.

    One that is for a workspace is started in the folder that is worked in, as its client would do.
    """
    began = time.monotonic()
    if why := _missing(one):
        return Tried(one.name, why=why)
    here = _at(one, str(Path.cwd())) if one.launch.workspace else one
    mine = keeping.beside([each for each in kept if each.upstream == one.name])
    seen = _Seen()
    try:
        keeping.write(mine, folder)
        seen = _once(here, mine, folder, deadline, converse, "auto")
        left = deadline - (time.monotonic() - began)
        if not seen.items and left > 1 and "did not start within" not in seen.why and not one.launch.url:
            seen = replace(_once(here, mine, folder, left, converse, LEGACY), why=seen.why)
    except (GatewayError, OSError) as problem:
        seen = replace(seen, why=str(problem))
    if seen.items:
        return _read(one, seen.items, folder)
    return Tried(one.name, why=visible(seen.why), signing_in=seen.signing_in and not one.launch.headers)


def _at(one: Planned, workspace: str) -> Planned:
    """The same for one workspace."""
    args = tuple(arg.replace(WORKSPACE, workspace) for arg in one.launch.args)
    return replace(one, launch=replace(one.launch, args=args, workspace=False))


def _missing(one: Planned) -> str:
    launch = one.launch
    if unknown := [hidden.slot for hidden in launch.hidden if not hidden.known]:
        return f"its `{visible(unknown[0])}` is not known yet"
    path = launch.env.get("PATH")
    if launch.url or shutil.which(launch.command, path=path if isinstance(path, str) else None):
        return ""
    return f"there is no program `{visible(launch.command)}` here: install it, or mend `command`"


def _once(one: Planned, kept: Sequence[Kept], folder: Path, deadline: float, converse: Converse, era: str) -> _Seen:
    text = document.extended(document.begin("state"), [one], keeping.references(kept), "trial", {})
    text += f'era = "{era}"\n\n[limits]\nstart = "{max(deadline, 1):.1f}s"\n'
    file = folder / "upstreams.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    (folder / "policies").mkdir(mode=0o700, exist_ok=True)
    seen = _Seen()

    def then(answer: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal seen
        if answer["unasked"]:
            row = answer["unasked"][0]
            seen = _Seen(why=row["detail"] or row["state"], signing_in=row["sign_in"])
            return None
        seen = _Seen(answer["items"])
        return {"op": "lock-write", "digest": answer["digest"]}

    converse(str(folder), {"op": "lock", "patience": deadline + SPARE}, then)
    return seen


def _read(one: Planned, shown: Sequence[Mapping[str, Any]], folder: Path) -> Tried:
    lock, problems = parse((folder / "policies" / "tools.lock").read_text(encoding="utf-8"))
    if problems or one.name not in lock:
        return Tried(one.name, why="what it offers could not be locked")
    runtime = replace(lock[one.name].runtime, package=package_of(one.launch.command, one.launch.args))
    locked = replace(lock[one.name], runtime=runtime)
    accepted = Accepted(folder / "state")
    digests = [*(each for kind in KINDS for each in locked.of(kind).values()), locked.instructions]
    tools = tuple(
        Proposed(item["name"], Effect(item["proposed"] or item["effect"]))
        for item in shown
        if item["kind"] == "tools" and item["name"] in locked.tools
    )
    files = [accepted.folder / each for each in digests if each]
    contents = tuple(file.read_bytes() for file in files if file.exists())
    return Tried(one.name, locked, tools, accepted.all_of(digests), contents)


def remarked(all_of_them: Iterable[Tried], others: Mapping[str, Sequence[str]]) -> tuple[Tried, ...]:
    """The same with what a person should know of each tool; `others` are the tools of upstreams that are there."""
    tried_now = tuple(all_of_them)
    names = {**others, **{each.name: [tool.name for tool in each.tools] for each in tried_now}}
    return tuple(replace(each, tools=tuple(_remarked(each, tool, names) for tool in each.tools)) for each in tried_now)


def _remarked(of: Tried, tool: Proposed, names: Mapping[str, Sequence[str]]) -> Proposed:
    assert of.locked is not None  # what did not start has no tools
    definition = of.definitions.get(of.locked.tools[tool.name])
    said = (*look_alikes(tool.name, of.name, names), *remarks(definition, of.name, names))
    return replace(tool, remarks=tuple(said))
