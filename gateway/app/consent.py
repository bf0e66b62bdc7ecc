"""What commands ask of the lock: what is new, changed or gone, and a person's consent to it. It holds no call itself.

What is accepted is what was shown: its digest comes back with the consent, and has to be that of what is there now.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from gateway.acceptance import Held
from gateway.app.build import Gateway
from gateway.config.locked import entry_of, lock_file
from gateway.config.trust import MAX_BYTES
from gateway.control import Handler, Refusal, Request
from gateway.core import lock as locks
from gateway.core.approval import Voter
from gateway.core.inventory import state_of
from gateway.core.lock import INSTRUCTIONS, KINDS, RUNTIME, Difference, Lock, Locked, State
from gateway.core.model import Kind, Proof, Record, Tool
from gateway.core.problems import nearest
from gateway.core.proposal import propose
from gateway.core.record import stamp
from gateway.core.visible import visible
from gateway.core.wording import look_alikes, remarks
from gateway.errors import ApprovalError, ConfigurationError, RecordError
from gateway.ids import ENTRY, new_id
from gateway.people import AUDITOR
from gateway.upstreams.definitions import pinned

PATIENCE = 25.0  # seconds that upstreams get to have started; a command waits a little longer for its answer
SHORTEST = 8  # hexadecimal digits of a digest that a person has to give
TOLD = 12  # of those that are shown
MOST_LINES = 400  # of one difference
MOST_RECORDED = 2_000  # differences that one record names
USAGE, UNREACHABLE = 2, 3
BY_USER = "os:"  # before the name of a user, as the operating system tells it

Row = Mapping[str, Any]
"""One thing that is not as it was accepted, as it is shown: see `LockCommands._row`."""


class LockCommands:
    """The handlers of one gateway that have to do with the lock, by operation."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def handlers(self) -> Mapping[str, Handler]:
        """Every operation."""
        return {"accept": self.accept, "lock": self.lock, "lock-write": self.write, "tools": self.tools}

    async def lock(self, request: Request, user: str) -> dict[str, Any]:
        """What is not as it was accepted (`items`), which upstreams could not be asked (`unasked`), and the `digest` of
        the file that would be written. `patience`: seconds that upstreams get for their start.
        """
        patience = request.get("patience", PATIENCE)
        await self._settled(patience if isinstance(patience, int | float) else PATIENCE)
        async with self._gateway.locking.writing:
            await self._read(_user(user))
            found, fresh = self._compare()
        return {
            "items": await self._rows(found),
            "digest": locks.mark(fresh),
            "file": str(lock_file(self._gateway.settings)),
            "locked": self._gateway.locking.lock is not None,
            "unasked": self._unasked(),
            "counts": {name: sum(len(locked.of(kind)) for kind in KINDS) for name, locked in fresh.items()},
        }

    async def write(self, request: Request, user: str) -> dict[str, Any]:
        """Accept everything that was shown: `digest` is that of the file that it makes."""
        voter = self._gateway.proofs.voter(_user(user))
        _permit(voter)
        async with self._gateway.locking.writing:
            await self._read(voter.by)
            found, fresh = self._compare()
            if request.get("digest") != locks.mark(fresh):
                raise Refusal("what the upstreams offer changed since it was shown: look again")
            items = await self._rows(found)
            await self._consent(fresh, found, voter, "lock")
        return {"items": items, "file": str(lock_file(self._gateway.settings))}

    async def accept(self, request: Request, user: str) -> dict[str, Any]:
        """Accept one thing, by the name that clients see (or its upstream's, or its `uriTemplate`) and the beginning
        of its `digest`; with `look` it is only shown. What upstreams that start are going to offer is waited for.
        """
        name, prefix = str(request.get("name", "")), str(request.get("digest", ""))
        await self._settled(PATIENCE)
        async with self._gateway.locking.writing:
            await self._read(_user(user))
            found = self._named(name, prefix, look=request.get("look") is True)
            items = await self._rows(found)
            if request.get("look") is not True:
                (one,) = found
                await self._settle(one, self._gateway.proofs.voter(_user(user)), "accept")
        return {"items": items}

    async def held(self, most: int) -> tuple[Sequence[Row], int]:
        """What is new or changed as it is offered now, and how many more than `most` there are; nothing without a lock.

        It only looks: a lock that came by git meanwhile counts once somebody accepts something.
        """
        if self._gateway.locking.lock is None:
            return (), 0
        found = [one for one in self._compare()[0] if one.state is not State.GONE]
        return await self._rows(found[:most]), max(0, len(found) - most)

    async def accept_shown(self, shown: Row, voter: Voter) -> None:
        """Accept one thing as a page showed it: `shown` is of a row of `held` what has to be so still, its upstream,
        kind, name and whole digest at least.
        """
        _permit(voter)  # before the file is read: with that it may come to count
        async with self._gateway.locking.writing:
            await self._read(voter.by)
            what = (shown["upstream"], shown["kind"], shown["name"])
            found = [
                one
                for one in self._compare()[0]
                if (one.upstream, one.kind, one.name) == what and one.state is not State.GONE
            ]
            if not found:
                raise Refusal("nothing of that name is held any more: look again", objection="unknown")
            (row,) = await self._rows(found)
            if any(row.get(key, "") != value for key, value in shown.items()):
                raise Refusal(f"`{visible(shown['name'])}` is not as it was shown: look at it again", objection="shape")
            await self._settle(found[0], voter, "console")

    async def tools(self, request: Request, user: str) -> dict[str, Any]:
        """Every tool with its effect and how it stands to the lock; of unlabelled ones the effect that is proposed.
        With `wait` false nobody waits for upstreams that start.
        """
        if request.get("wait", True) is not False:
            await self._settled(PATIENCE)
        catalogue = self._gateway.upstreams.catalogue
        offered = [tool for name in catalogue.upstreams for tool in catalogue.shelved(name, "tools")]
        items = [self._tool(tool) for tool in offered]
        return {"items": items, "unasked": self._unasked(), "upstreams": list(catalogue.upstreams)}

    async def _settled(self, patience: float) -> None:
        """Wait until each upstream has started, or failed to, for so many seconds at most."""
        with anyio.move_on_after(patience):
            await self._gateway.upstreams.settled()

    def _compare(self) -> tuple[list[Difference], Lock]:
        """What is not as it was accepted, and the lock in which all of it is."""
        locking, configured = self._gateway.locking, frozenset(self._gateway.settings.upstreams)
        live = locking.live(self._gateway.upstreams.catalogue)
        found = [*locks.differences(locking.lock, live), *locks.gone(locking.lock, configured)]
        return found, locks.renewed(locking.lock, live, configured)

    def _unasked(self) -> list[dict[str, Any]]:
        """The upstreams that have listed nothing so far, why, and whether that is that nobody has signed in."""
        upstreams = self._gateway.upstreams
        return [
            {"upstream": name, "state": state, "detail": detail, "sign_in": upstreams.asks_to_sign_in(name)}
            for name, (state, detail) in upstreams.states().items()
            if upstreams.catalogue.listing(name) is None
        ]

    def _named(self, name: str, prefix: str, *, look: bool) -> list[Difference]:
        """The one thing that a name and the beginning of a digest mean; all of the name where it is only shown."""
        if self._gateway.locking.lock is None:
            raise Refusal(f"there is no `{locks.NAME}` yet: {locks.TO_DO}")
        if not look and (len(prefix) < SHORTEST or set(prefix) - set("0123456789abcdef")):
            raise Refusal(f"expected at least {SHORTEST} hexadecimal digits of a digest, found `{prefix}`", USAGE)
        known = [(self._exposed(one), one) for one in self._compare()[0] if one.state is not State.GONE]
        same = [one for exposed, one in known if exposed == name]
        if not same:
            near = nearest(name, [exposed for exposed, _ in known])
            hint = f"; did you mean `{near}`?" if near else f"; {locks.TO_DO} to see what is"
            raise Refusal(f"nothing of that name is held: `{name}`{hint}")
        found = [one for one in same if one.now.startswith(prefix)]
        if not found:
            now = ", ".join(f"`{name}@{one.now[:TOLD]}`" for one in same)
            raise Refusal(f"`{name}` is another one now: {now}; look at it again")
        if len(found) > 1 and not look:
            raise Refusal(f"`{name}@{prefix}` means several things: give more of the digest")
        return found

    async def _settle(self, one: Difference, voter: Voter, how: str) -> None:
        """Accept one thing, which was shown as it is now: the one way there is for one, at a terminal and elsewhere."""
        _permit(voter)
        lock, live = self._gateway.locking.lock, self._gateway.locking.live(self._gateway.upstreams.catalogue)
        if lock is None or one not in self._compare()[0]:  # it became another one while it was put together
            raise Refusal(f"`{visible(one.name)}` is another one now: look at it again", objection="shape")
        await self._consent(locks.accepted(lock, one, live[one.upstream]), [one], voter, how)

    async def _read(self, by: str) -> None:
        """Let the file count as it is now: its owner, who asks, may have got another one by git since the start."""
        before = self._gateway.locking.lock
        try:
            if await self._gateway.locking.reload():
                await self._record(before, self._gateway.locking.lock or {}, (), by, "file")
        except ConfigurationError as problem:
            raise Refusal(str(problem)) from None
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None

    async def _consent(self, lock: Lock, found: Sequence[Difference], voter: Voter, how: str) -> None:
        """Record who accepted what, and then let it count."""
        if (size := len(locks.render(lock).encode())) > MAX_BYTES:
            raise Refusal(f"`{locks.NAME}` would take {size} bytes: expected at most {MAX_BYTES}")
        try:
            await self._record(self._gateway.locking.lock, lock, found, voter.by, how)
            await self._gateway.locking.write(lock, found, self._gateway.upstreams.catalogue)
        except RecordError as problem:
            raise Refusal(str(problem), UNREACHABLE) from None
        except OSError as problem:
            raise Refusal(f"`{locks.NAME}` can't be written: {problem.strerror}", UNREACHABLE) from None

    async def _record(self, before: Lock | None, lock: Lock, found: Sequence[Difference], by: str, how: str) -> None:
        now = self._gateway.clock.now()
        about = {
            "accepted_by": by,
            "accepted_at": stamp(now),
            "proof": Proof.LOCAL.word,
            "how": how,
            "before": locks.mark(before) if before is not None else "",
            "lock": locks.mark(lock),
            "accepted": [
                {"upstream": one.upstream, "kind": one.kind, "name": one.name, "state": one.state, "digest": one.now}
                for one in found[:MOST_RECORDED]
            ],
            "omitted": max(0, len(found) - MOST_RECORDED),
        }
        known_by = "os-user" if by.startswith(BY_USER) else "passkey"
        await self._gateway.records.append(
            Record(Kind.CATALOGUE, new_id(ENTRY), now, principal=by, known_by=known_by, extra=about)
        )

    async def _rows(self, found: Iterable[Difference]) -> list[dict[str, Any]]:
        return await anyio.to_thread.run_sync(partial(self._told, list(found)))

    def _told(self, found: Sequence[Difference]) -> list[dict[str, Any]]:
        catalogue = self._gateway.upstreams.catalogue
        others = {name: [one.ref.name for one in catalogue.shelved(name, "tools")] for name in catalogue.upstreams}
        return [self._row(one, others) for one in found]

    def _row(self, one: Difference, others: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        tool, exposed = self._find(one), self._exposed(one)
        before, now = self._texts(one, tool)
        said: tuple[str, ...] = ()
        if one.state is not State.GONE and one.kind != RUNTIME:
            value = now if tool is None else pinned(one.kind, tool.definition)
            said = remarks(value, one.upstream, others)
            if one.kind == "tools":
                said = (*look_alikes(one.name, one.upstream, others), *said)
        labelled = self._labels(tool) if tool is not None and one.kind == "tools" else {}
        return {
            "upstream": one.upstream,
            "kind": one.kind,
            "name": one.name,
            "exposed_as": exposed,
            "state": one.state.value,
            "before": one.before,
            "digest": one.now,
            "accept": f"{exposed}@{one.now[:TOLD]}" if one.now else "",
            **labelled,
            "remarks": list(said),
            "difference": _lines(before, now),
        }

    def _labels(self, tool: Tool) -> dict[str, Any]:
        entry = entry_of(self._gateway.in_force(), tool.ref)
        return {
            "effect": tool.effect.value,
            "tier": tool.tier.value,
            "entry": entry,
            "proposed": "" if tool.labelled else propose(tool).value,
        }

    def _tool(self, tool: Tool) -> dict[str, Any]:
        lock, name = self._gateway.locking.lock, tool.ref.name
        locked = lock.get(tool.ref.upstream, Locked()).tools if lock is not None else None
        return {
            "upstream": tool.ref.upstream,
            "tool": name,
            "exposed_as": tool.exposed_as,
            **self._labels(tool),
            "owner": tool.owner.business if tool.owner is not None else "",
            "acts_as": tool.acts_as,
            "state": state_of(locked, name, tool.digest, tool.held),
            "held": tool.held,
            "digest": tool.digest,
        }

    def _find(self, one: Difference) -> Tool | None:
        if one.kind not in KINDS:
            return None
        shelf = self._gateway.upstreams.catalogue.shelved(one.upstream, one.kind)
        return next((tool for tool in shelf if tool.ref.name == one.name), None)

    def _exposed(self, one: Difference) -> str:
        tool = self._find(one)
        return tool.exposed_as if tool is not None else one.name

    def _texts(self, one: Difference, tool: Tool | None) -> tuple[str, str]:
        """What was accepted, as far as it was seen here, and what is there now."""
        locking = self._gateway.locking
        listing = self._gateway.upstreams.catalogue.listing(one.upstream)
        if one.kind == RUNTIME:
            was = (locking.lock or {}).get(one.upstream)
            now = str(locking.runtime(one.upstream, listing.version)) if listing is not None and one.now else ""
            return (str(was.runtime) if was is not None else "", now)
        before = locking.known.get(one.before, f"(a definition that was never seen here: {one.before})")
        former = before if isinstance(before, str) else _pretty(before)
        if one.kind == INSTRUCTIONS:
            return (former if one.before else "", listing.instructions if listing is not None else "")
        return (former if one.before else "", _pretty(pinned(one.kind, tool.definition)) if tool is not None else "")


async def accept_policy(gateway: Gateway, word: str, voter: Voter, how: str) -> Held:
    """Let a policy that is held count, by its digest; see `Reload.accept`. Raises `ApprovalError` for somebody whose
    word doesn't count.
    """
    if told := objection_to(voter):
        raise ApprovalError(told, "not-permitted")
    return await gateway.reload.accept(word, voter.by, how)


def objection_to(voter: Voter) -> str:
    """Why somebody can't accept what is held; empty for who can: proof `local` is needed, and whoever is no user of
    this machine has to be an approver with more than the role of a reader.
    """
    if voter.proof < Proof.LOCAL or not voter.may_approve:
        return "this approver may not say so from here: see `proofs` in `[approvers]`"
    if not voter.by.startswith(BY_USER) and (voter.proofs is None or voter.roles == {AUDITOR}):
        return "who only reads accepts nothing: an approver does, or the user who runs the gateway"
    return ""


def _permit(voter: Voter) -> None:
    if told := objection_to(voter):
        raise Refusal(told, objection="not-permitted")


def _user(user: str) -> str:
    return f"{BY_USER}{user}"


def _pretty(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, indent=1, ensure_ascii=False, sort_keys=True)


def _lines(before: str, now: str) -> list[str]:
    """The difference, line by line: `- `, `+ ` or two spaces in front."""
    unified = difflib.unified_diff(before.splitlines(), now.splitlines(), n=2, lineterm="")
    lines = [f"{line[:1]} {line[1:]}" for line in list(unified)[2:] if not line.startswith("@@")]
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], f"  … {len(lines) - MOST_LINES} more lines"]
