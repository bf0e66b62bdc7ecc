"""Which policy and which upstreams.toml count: those that a person accepted, and what only tightens them.

The record says which, the state folder keeps their texts. Nothing is watched or asked here, and no call is decided.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace

from gateway.agreed import POLICY, UPSTREAMS, Agreed, Mark
from gateway.clock import SystemClock
from gateway.config import Settings, load_settings, policy_of, policy_texts, settings_of
from gateway.config.programs import new_programs
from gateway.core.canon import digest
from gateway.core.loosening import Difference, differences
from gateway.core.model import Kind, Record
from gateway.core.policy import Known, Policy
from gateway.core.reach import told_change
from gateway.core.record import decode, stamp
from gateway.errors import ConfigurationError
from gateway.ids import ENTRY, new_id
from gateway.people import user_name
from gateway.ports import Clock
from gateway.records import Records
from gateway.store import Limits, Query, Store, open_store

SHORTEST = 16  # digits of a digest that tell which one is meant
FIRST, BY_DIGEST, IN_CONSOLE = "first seen", "accepted by digest", "accepted in the console"
_KEYS = ("accepted_by", "accepted_at", "accepted_how")
_SAID = (*_KEYS, "upstreams", "upstreams_by")


class Held(Struct, frozen=True):
    """What waits for a person: `POLICY` or `UPSTREAMS`, its digest, its texts, and how it differs, what loosens first.

    `policy` is what would count, of a policy.
    """

    what: str
    digest: str
    texts: Mapping[str, str]
    told: tuple[str, ...]
    policy: Policy | None = None

    @property
    def command(self) -> str:
        """What accepts it."""
        return f"wardgate accept policy@{self.digest}"

    def named(self, word: str) -> bool:
        """Whether somebody names it by its digest, or by as much of it as nobody makes another one for."""
        return len(word) >= SHORTEST and self.digest.startswith(word)


class Acceptance:
    """What counts in one state folder; to be asked for `settings` first, then for `begin`."""

    def __init__(self, state: Path, store: Store, records: Records, clock: Clock) -> None:
        self._agreed, self._store, self._records, self._clock = Agreed(state), store, records, clock
        self._upstreams = ""  # digest of the upstreams.toml that counts
        self._newest: tuple[Mapping[str, Any], str] | None = None  # of the last row: what it says, revision
        self._marks: dict[str, Mark | None] = {}
        self._configured: Settings | None = None

    async def settings(self, now: Settings, user: str) -> tuple[Settings, Held | None]:
        """The settings that count at a start, and what is held of them.

        Where the file names a new program, the tables that can name one are as they were accepted. Raises
        `ConfigurationError` where these are not kept, or can't be used any more.
        """
        texts = _texts(now)
        mine, mark = digest(dict(texts)), await self._last(UPSTREAMS)
        if mark is None:
            await self._take_settings(now, user, FIRST)
            return now, None
        if mark.revision == mine:
            self._configured, self._upstreams = now, mine
            await self._keep(texts)
            return now, None
        accepted = await self._accepted_settings(mark, now, mine)
        told = new_programs(accepted, now)
        if not told:
            await self._take_settings(now, mark.by, f"names no new program, as {mark.revision[:12]}")
            return now, None
        self._configured, self._upstreams = accepted, mark.revision
        return _with(now, accepted), Held(UPSTREAMS, mine, texts, told)

    async def begin(self, loaded: Policy, texts: Mapping[str, str], user: str) -> tuple[Policy, Held | None]:
        """The policy that counts at a start, with who accepted it, and what is held; on the record when this returns.

        The first one that a state folder sees is taken as it is. Raises `ConfigurationError` where the one that
        counts is not kept, or can't be used any more, and `RecordError`.
        """
        mark = await self._last(POLICY)
        if mark is None:
            return await self.take(loaded, texts, user, FIRST), None
        if mark.revision == loaded.revision:
            return await self._count(loaded, texts, mark, mark.revision), None
        before, old = await self._accepted_policy(mark, loaded.revision)
        found = differences(before, loaded)
        if not any(one.loosens for one in found):
            return await self.tighten(before, loaded, texts), None
        held = held_policy(loaded, texts, found, told_change(before, loaded, self._clock.now()))
        return await self._count(before, old, mark, mark.revision), held

    async def take(self, policy: Policy, texts: Mapping[str, str], by: str, how: str) -> Policy:
        """Let a policy count because somebody says so; returns it with that. Raises `RecordError`, `StateError`."""
        mark = Mark(policy.revision, by, stamp(self._clock.now()), how)
        before = await self._last(POLICY)
        return await self._count(policy, texts, mark, before.revision if before is not None else "")

    async def tighten(self, before: Policy, policy: Policy, texts: Mapping[str, str]) -> Policy:
        """Let a policy count because it only tightens the one before, which somebody accepted."""
        said = before.accepted or await self._said()
        by, at = said.get("accepted_by", ""), said.get("accepted_at", "")
        mark = Mark(policy.revision, by, at, f"only tightens {before.revision[:12]}")
        return await self._count(policy, texts, mark, before.revision)

    async def take_settings(self, now: Settings, by: str, how: str = BY_DIGEST) -> None:
        """Let an upstreams.toml count from the next start on, because somebody says so; as `take`."""
        extra, revision = await self._row()
        texts = _texts(now)
        told = {**extra, "upstreams": digest(dict(texts)), "upstreams_by": by}
        await self._keep(texts)
        await self._record(revision, {key: value for key, value in told.items() if key in _SAID})
        await self._take_settings(now, by, how)

    async def accept_here(
        self, now: Settings, policy: Policy, texts: Mapping[str, str], named: str, agree: Callable[[Held], bool]
    ) -> str:
        """Accept what the files are now, if that is what `named` names and `agree` says so; see `accept_alone`."""
        by = f"os:{user_name(os.getuid())}"
        for held in (await self._policy_here(policy, texts), await self._settings_here(now)):
            if held.named(named):
                if not agree(held):
                    return ""
                if held.what == POLICY:
                    mark = await self._last(UPSTREAMS)
                    self._upstreams = mark.revision if mark is not None else ""
                    await self.take(policy, texts, by, BY_DIGEST)
                else:
                    await self.take_settings(now, by)
                return held.digest
        there = f"policy@{policy.revision}, {now.file.name}: policy@{digest(dict(_texts(now)))}"
        raise ConfigurationError(f"`{named}` is not what stands on the disk now: {there}")

    async def _policy_here(self, policy: Policy, texts: Mapping[str, str]) -> Held:
        found: tuple[Difference, ...] = ()
        reaches: tuple[str, ...] = ()
        if (mark := await self._last(POLICY)) is not None:
            with suppress(ConfigurationError):
                before = (await self._accepted_policy(mark, ""))[0]
                found, reaches = differences(before, policy), told_change(before, policy, self._clock.now())
        return held_policy(policy, texts, found, reaches)

    async def _settings_here(self, now: Settings) -> Held:
        told: tuple[str, ...] = ()
        if (mark := await self._last(UPSTREAMS)) is not None:
            with suppress(ConfigurationError):
                told = new_programs(await self._accepted_settings(mark, now, ""), now)
        return Held(UPSTREAMS, digest(dict(_texts(now))), _texts(now), told)

    def programs(self, now: Settings) -> tuple[str, ...]:
        """What a configuration would run that the accepted one would not."""
        return new_programs(self._configured, now) if self._configured is not None else ()

    async def tell(self, policy: Policy, about: Mapping[str, Any]) -> None:
        """Put on the record what became of files that do not count: `held`, or `refused`."""
        await self._record(policy.revision, {**policy.accepted, "upstreams": self._upstreams, **about})

    async def _count(self, policy: Policy, texts: Mapping[str, str], mark: Mark, before: str) -> Policy:
        """Keep the text, record that it counts, write that down; in this order, so that what counts is there."""
        await self._keep(texts)
        counted = replace(policy, accepted=dict(zip(_KEYS, (mark.by, mark.at, mark.how), strict=True)))
        told = {"upstreams": self._upstreams, "before": before, "files": _files(policy)}
        await self._record(policy.revision, {**counted.accepted, **told})
        await self._note(POLICY, mark)
        return counted

    async def _record(self, revision: str, extra: Mapping[str, Any]) -> None:
        row = Record(Kind.POLICY, new_id(ENTRY), self._clock.now(), policy_revision=revision, extra=dict(extra))
        await self._records.append(row)
        self._newest = (row.extra, revision)

    async def _take_settings(self, now: Settings, by: str, how: str) -> None:
        texts = _texts(now)
        mark = Mark(await self._keep(texts), by, stamp(self._clock.now()), how)
        self._configured, self._upstreams = now, mark.revision
        await self._note(UPSTREAMS, mark)

    async def _note(self, what: str, mark: Mark) -> None:
        if await self._noted(what) != mark:
            self._marks.pop(what)
            await anyio.to_thread.run_sync(self._agreed.note, what, mark)
            self._marks[what] = mark

    async def _noted(self, what: str) -> Mark | None:
        if what not in self._marks:
            self._marks[what] = await anyio.to_thread.run_sync(self._agreed.mark, what)
        return self._marks[what]

    async def _keep(self, texts: Mapping[str, str]) -> str:
        used = [mark.revision for what in (POLICY, UPSTREAMS) if (mark := await self._last(what)) is not None]
        return await anyio.to_thread.run_sync(self._agreed.keep, texts, used)

    async def _last(self, what: str) -> Mark | None:
        """What counts by the record, else by the state folder: the record may have been pruned."""
        extra, revision = await self._row()
        noted = await self._noted(what)
        if what == UPSTREAMS:
            told = str(extra.get("upstreams", ""))
            return noted if noted is not None or not told else Mark(told, "", "", "")
        return Mark(revision, *(str(extra.get(key, "")) for key in _KEYS)) if revision else noted

    async def _said(self) -> Mapping[str, str]:
        extra, _ = await self._row()
        return {key: str(extra.get(key, "")) for key in _KEYS}

    async def _row(self) -> tuple[Mapping[str, Any], str]:
        if self._newest is None:
            page = await self._store.page(Query(filters={"kind": Kind.POLICY.value}, limit=1))
            last = decode(page[0][1])[1] if page else None
            self._newest = (last.extra, last.policy_revision) if last is not None else ({}, "")
        return self._newest

    async def _accepted_policy(self, mark: Mark, present: str) -> tuple[Policy, Mapping[str, str]]:
        texts = await anyio.to_thread.run_sync(self._agreed.texts, mark.revision)
        with suppress(ConfigurationError):
            if texts is not None:
                return await anyio.to_thread.run_sync(policy_of, texts, Known()), texts
        raise _gone("the policy", mark, present)

    async def _accepted_settings(self, mark: Mark, now: Settings, present: str) -> Settings:
        texts = await anyio.to_thread.run_sync(self._agreed.texts, mark.revision)
        with suppress(ConfigurationError):
            if texts is not None and now.file.name in texts:
                return await anyio.to_thread.run_sync(settings_of, texts[now.file.name], now.file)
        raise _gone(f"the `{now.file.name}`", mark, present)


def held_policy(
    policy: Policy, texts: Mapping[str, str], found: tuple[Difference, ...], reaches: tuple[str, ...] = ()
) -> Held:
    """A policy that waits for a person, with how it differs, and how that changes what passes unasked."""
    told = tuple(f"{one}{' (may loosen)' if one.loosens else ''}" for one in found)
    return Held(POLICY, policy.revision, texts, (*told, *reaches), policy)


async def accept_alone(config: Path | None, named: str, agree: Callable[[Held], bool]) -> str:
    """Accept what stands on the disk where no gateway runs, if that is what `named` names and `agree` says so.

    Returns the whole digest, or an empty string where nobody agreed. Raises `ConfigurationError` for files that can't
    be used or have another digest, `StateError` (`LockedError` where a gateway runs) and `RecordError`.
    """
    now = load_settings(config, os.environ)
    texts = policy_texts(now)
    policy = policy_of(texts, now.known())
    async with open_store(now.gateway.state, Limits(), owner=now.gateway.id) as store:
        clock = SystemClock()
        acceptance = Acceptance(now.gateway.state, store, Records(store, clock), clock)
        return await acceptance.accept_here(now, policy, texts, named, agree)


def _with(now: Settings, accepted: Settings) -> Settings:
    """The settings with the tables that may name a program as they were accepted."""
    return replace(now, upstreams=accepted.upstreams, recording=accepted.recording, notify=accepted.notify)


def _texts(settings: Settings) -> Mapping[str, str]:
    return {settings.file.name: settings.text}


def _gone(what: str, mark: Mark, present: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what} that was accepted last ({mark.revision[:12]}) is not in the state folder, or can't be used any more: "
        f"`wardgate accept policy@{present}` accepts the one that is there now"
    )


def _files(policy: Policy) -> Mapping[str, Mapping[str, Any]]:
    """What a reader of the record wants to know of each file; its text is the user's to keep."""
    return {
        file.name: {
            "owner": file.owner.business,
            "technical_owner": file.owner.technical,
            "upstream": file.upstream,
            "rules": len(file.rules),
            "labels": len(file.tools),
            "review_by": str(file.review_by or ""),
        }
        for file in policy.files
    }
