"""Put the files of a configuration together from what was found, tried and confirmed. Writes nothing."""

import difflib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from msgspec import Struct, field

from gateway.config import Settings, load_lock
from gateway.core import lock as locks
from gateway.initial import document, keeping, labels
from gateway.initial.keeping import FOLDER, Kept
from gateway.initial.labels import Group
from gateway.initial.nouns import Planned
from gateway.initial.packs import Pack
from gateway.initial.placing import Draft
from gateway.initial.trial import Tried

LONGEST = 200  # characters of why a server did not start, in the comment that says so


class Choice(Struct, frozen=True):
    """What a person confirmed of one upstream: a pack, if any, and the groups of tools that no pack labels."""

    pack: Pack | None = None
    confirmed: frozenset[Group] = frozenset()


class Base(Struct, frozen=True):
    """What there is already: the file of the configuration with its settings, None and no text where there is none.

    `state` is what a new file names as its folder of state; empty for the platform's own.
    """

    config: Path
    settings: Settings | None = None
    state: str = ""

    @property
    def policies(self) -> Path:
        """The folder of policies."""
        return self.settings.gateway.policies if self.settings is not None else self.config.parent / "policies"


class Wanted(Struct, frozen=True):
    """What is to be added."""

    planned: Sequence[Planned]
    tried: Mapping[str, Tried]
    kept: Sequence[Kept]
    choices: Mapping[str, Choice]
    owner: str
    clients: Sequence[str] = ()
    today: date = date.min


class Composed(Struct, frozen=True):
    """The draft, and what is not in it: policies that stand there already, with how the proposed one differs."""

    draft: Draft
    left: Mapping[Path, Sequence[str]] = field(default_factory=dict)


def compose(base: Base, wanted: Wanted) -> Composed:
    """The files, in the order in which they are put; raises `ConfigurationError` for a lock that can't be used."""
    files: dict[Path, bytes] = {}
    left: dict[Path, Sequence[str]] = {}
    for one in wanted.kept:
        if one.reference.startswith("file:") and one.hidden.known:
            files[base.config.parent / FOLDER / one.name] = keeping.content(one.hidden)
    for name, content in _policies(wanted).items():
        path = base.policies / name
        if path.exists():
            before = path.read_text(encoding="utf-8-sig").splitlines()
            left[path] = list(difflib.unified_diff(before, content.splitlines(), "there", "proposed", n=1, lineterm=""))
        else:
            files[path] = content.encode()
    if lock := {name: each.locked for name, each in wanted.tried.items() if each.locked is not None}:
        before_it = (load_lock(base.settings) if base.settings is not None else None) or {}
        files[base.policies / locks.NAME] = locks.render({**before_it, **lock}).encode()
    files[base.config] = _configuration(base, wanted).encode()
    return Composed(Draft(base.config, base.policies, files), left)


def _configuration(base: Base, wanted: Wanted) -> str:
    text = base.settings.text if base.settings is not None else document.begin(base.state)
    known = base.settings.clients if base.settings is not None else {}
    failed = {name: _failed(each, wanted.today) for name, each in wanted.tried.items() if each.locked is None}
    return document.extended(
        text,
        wanted.planned,
        keeping.references(wanted.kept),
        wanted.owner,
        failed,
        [name for name in wanted.clients if name not in known],
        frozenset(name for name, each in wanted.tried.items() if each.signing_in),
    )


def _failed(tried: Tried, today: date) -> str:
    return f"did not start on {today}: {' '.join(tried.why.split())[:LONGEST]}"


def _policies(wanted: Wanted) -> Mapping[str, str]:
    """The texts of policies by the name of their file; none for an upstream whose tools nobody has seen."""
    found: dict[str, str] = {}
    for name, choice in wanted.choices.items():
        tools = wanted.tried[name].tools
        if not tools:
            continue
        said = f"and confirmed by {json.dumps(wanted.owner)} on {wanted.today}"
        if choice.pack is None:
            found[f"{name}.toml"] = labels.policy_text(name, wanted.owner, tools, choice.confirmed, said)
            continue
        text = choice.pack.for_upstream(name, wanted.owner)
        rest = [tool for tool in tools if tool.name not in choice.pack.tools]
        entries = labels.entries(rest, choice.confirmed)
        found[f"{name}.toml"] = "\n".join([text.rstrip("\n"), *entries]) + "\n"
        if choice.pack.tests:
            found[f"{name}.test.toml"] = choice.pack.tests_for(name)
    return found
