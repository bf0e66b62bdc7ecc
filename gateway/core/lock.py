"""tools.lock: what is run, and what each upstream offers, by digest, as a person accepted it. No I/O here.

It is read, written, compared with what is offered now, and asked what is held. Nothing is granted by it: what isn't
held is decided on as ever.
"""

import hashlib
from collections.abc import Iterator, Mapping
from enum import Enum

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from gateway.core.canon import digest
from gateway.core.model import Tier
from gateway.core.problems import Problem
from gateway.core.section import Document, Section

NAME = "tools.lock"
SCHEMA = 1
REQUIRED = True  # whether tools above tier read are held as long as there is no lock at all
KINDS = ("tools", "prompts", "templates")
RUNTIME, INSTRUCTIONS = "runtime", "instructions"  # kinds of differences, besides those of things that have names
TO_DO = "run `wardgate lock`"
UNLOCKED = f"nobody has locked what the upstreams offer: {TO_DO}"
_DIGEST = r"[0-9a-f]{64}"
_HEAD = (
    "# What is run and what each upstream offers, by digest, as a person accepted it: what is new or changed is held.\n"
    "# For git. `wardgate lock` and `wardgate accept` write it, `wardgate lock --check` compares it.\n"
)


class Runtime(Struct, frozen=True):
    """What is run: the resolved `command` with the `package` or script that its arguments name, or the `host`; and the
    `version` that the server gives for itself.
    """

    command: str = ""
    package: str = ""
    host: str = ""
    version: str = ""

    @property
    def digest(self) -> str:
        """What it is accepted by (SHA-256, hex)."""
        return digest(asdict(self))

    def __str__(self) -> str:
        version = f" (version {self.version})" if self.version else ""
        return " ".join(part for part in (self.command, self.package, self.host) if part) + version


class Locked(Struct, frozen=True):
    """One upstream, as accepted or as it is now: name -> digest of each tool and prompt, `uriTemplate` -> digest.

    `instructions` is the digest of what it tells models; empty where it tells nothing, or is not believed.
    """

    runtime: Runtime = Runtime()
    instructions: str = ""
    tools: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> Mapping[str, str]:
        """The digests of one of `KINDS`; raises `KeyError` for another one."""
        return {"tools": self.tools, "prompts": self.prompts, "templates": self.templates}[kind]


Lock = Mapping[str, Locked]
"""Upstream -> what of it was accepted."""


class State(str, Enum):
    """How what is there stands to what was accepted."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


class Difference(Struct, frozen=True):
    """One thing that is not as it was accepted; `before` and `now` are digests, empty where there is none.

    `kind` is one of `KINDS`, `RUNTIME` or `INSTRUCTIONS`; the latter two are named like their upstream.
    """

    upstream: str
    kind: str
    name: str
    state: State
    before: str = ""
    now: str = ""


def parse(text: str, file: str = NAME) -> tuple[Lock, tuple[Problem, ...]]:
    """The lock of a file's text, and every problem in it; one with problems is not to be used."""
    document = Document(file, text)
    found: dict[str, Locked] = {}
    if document.readable:
        section = document.section()
        if section.raw("schema") != SCHEMA:
            section.problem("schema", f"expected schema = {SCHEMA}")
        for name, child in section.section("upstreams").children():
            found[name] = _locked(child)
        section.close()
    return found, tuple(sorted(document.problems))


def _locked(section: Section) -> Locked:
    parts = {key: section.text(key) for key in ("command", "package", "host", "version")}
    instructions = section.text(INSTRUCTIONS, pattern=_DIGEST, expected="a digest of 64 hexadecimal digits")
    tools, prompts, templates = (_digests(section.section(kind)) for kind in KINDS)
    section.close()
    return Locked(Runtime(**parts), instructions, tools, prompts, templates)


def _digests(section: Section) -> Mapping[str, str]:
    found = {
        name: section.text(name, pattern=_DIGEST, expected="a digest of 64 hexadecimal digits") for name in section.keys
    }
    section.close()
    return found


def render(lock: Lock) -> str:
    """The text of the file: the same lock always gives the same text."""
    import tomlkit  # imported late: only who writes pays for it

    document = tomlkit.document()
    document.add("schema", SCHEMA)
    upstreams = tomlkit.table(is_super_table=True)
    for name in sorted(lock):
        locked, table = lock[name], tomlkit.table()
        values = {**asdict(locked.runtime), INSTRUCTIONS: locked.instructions}
        for key in sorted(key for key, value in values.items() if value):
            table.add(key, values[key])
        for kind in KINDS:
            if locked.of(kind):
                digests = tomlkit.table()
                for each, made in sorted(locked.of(kind).items()):
                    digests.add(each, made)
                table.add(kind, digests)
        upstreams.add(name, table)
    document.add("upstreams", upstreams)
    return _HEAD + tomlkit.dumps(document)


def mark(lock: Lock) -> str:
    """The digest (SHA-256, hex) of the file that holds this lock."""
    return hashlib.sha256(render(lock).encode()).hexdigest()


def differences(lock: Lock | None, live: Lock) -> Iterator[Difference]:
    """What is not as it was accepted, in a deterministic order; without a lock everything is new.

    `live` holds the upstreams that could be asked: of others nothing is said, but see `gone`.
    """
    accepted = lock or {}
    for upstream in sorted(live):
        now, before = live[upstream], accepted.get(upstream)
        was = before or Locked()
        if before is None or was.runtime != now.runtime:
            state = State.NEW if before is None else State.CHANGED
            old = before.runtime.digest if before is not None else ""
            yield Difference(upstream, RUNTIME, upstream, state, old, now.runtime.digest)
        if was.instructions != now.instructions:
            yield _difference(upstream, INSTRUCTIONS, upstream, was.instructions, now.instructions)
        for kind in KINDS:
            former, offered = was.of(kind), now.of(kind)
            for name in sorted({*former, *offered}):
                if former.get(name) != offered.get(name):
                    yield _difference(upstream, kind, name, former.get(name, ""), offered.get(name, ""))


def gone(lock: Lock | None, configured: frozenset[str]) -> Iterator[Difference]:
    """The upstreams that were accepted and are not configured any more."""
    for upstream in sorted(lock or {}):
        if upstream not in configured:
            before = (lock or {})[upstream].runtime.digest
            yield Difference(upstream, RUNTIME, upstream, State.GONE, before)


def _difference(upstream: str, kind: str, name: str, before: str, now: str) -> Difference:
    state = State.NEW if not before else State.CHANGED if now else State.GONE
    return Difference(upstream, kind, name, state, before, now)


def renewed(lock: Lock | None, live: Lock, configured: frozenset[str]) -> Lock:
    """The lock in which all that is offered now is accepted; an upstream that could not be asked stays as it was."""
    kept = {name: locked for name, locked in (lock or {}).items() if name in configured}
    return {**kept, **live}


def accepted(lock: Lock, one: Difference, live: Locked) -> Lock:
    """The lock in which one more thing is accepted as it is now."""
    was = lock.get(one.upstream, Locked())
    if one.kind == RUNTIME:
        return {**lock, one.upstream: replace(was, runtime=live.runtime)}
    if one.kind == INSTRUCTIONS:
        return {**lock, one.upstream: replace(was, instructions=one.now)}
    digests = {name: made for name, made in {**was.of(one.kind), one.name: one.now}.items() if made}
    if one.kind == "tools":
        return {**lock, one.upstream: replace(was, tools=digests)}
    if one.kind == "prompts":
        return {**lock, one.upstream: replace(was, prompts=digests)}
    return {**lock, one.upstream: replace(was, templates=digests)}


def held(lock: Lock | None, upstream: str, kind: str, name: str, digest: str, tier: Tier, runtime: Runtime) -> str:
    """Why something is held, or an empty text. `kind` is one of `KINDS`.

    INVARIANT: with a lock nothing passes but what was accepted as it is; without one, reads alone.
    """
    if lock is None:
        return UNLOCKED if REQUIRED and tier is not Tier.READ else ""
    was = lock.get(upstream)
    before = was.of(kind).get(name) if was is not None else None
    if was is None or before is None:
        return f"new: nobody has accepted it as {digest[:12]}"
    if before != digest:
        return f"changed: it was accepted as {before[:12]}, and is {digest[:12]} now"
    if tier is not Tier.READ and was.runtime != runtime:
        return f"what is run changed: {was.runtime} was accepted, {runtime} is run"
    return ""


def withheld(lock: Lock | None, upstream: str, instructions: str) -> bool:
    """Whether an upstream's instructions, by their digest, are not shown: with a lock only what was accepted is."""
    return lock is not None and lock.get(upstream, Locked()).instructions != instructions
