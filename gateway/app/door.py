"""What people see and do, whatever the door: cards, answers, grants, freezes. Console and control socket share it.

It reads what came from outside and hands it on; who answers is said by the door, from the proof, never by a request.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import anyio.to_thread
from msgspec.structs import replace

from gateway.app.build import Gateway
from gateway.approvals.history import history_of
from gateway.core.approval import Chosen, Voter, permitted
from gateway.core.grants import SCOPES, covers_row, give
from gateway.core.model import Approval, ApprovalState, Choice, Effect, Freeze, Grant, Proof
from gateway.core.view import Card, view
from gateway.core.visible import visible
from gateway.core.wording import look_alikes, remarks
from gateway.errors import ApprovalError
from gateway.store import rows

NOTE_LIMIT = 1000  # characters of a reviewer's reason
PATIENCE = 10.0  # seconds for screening it
PLAN_LIMIT = 100  # other calls of a session on one card
LOOK_BACK = timedelta(days=30)  # how far back it is looked what a grant would have covered
MOST_ASKED = 1_000  # questions that are looked at for that


class Door:
    """One gateway's desk, as people use it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def waiting(self, state: str = "waiting") -> list[Approval]:
        """The rows in one state, or in any (`all`), oldest first; raises `ApprovalError` for a word that is none."""
        if state not in (*(each.value for each in ApprovalState), "all"):
            raise ApprovalError(f"unknown state `{state}`", "state")
        return await self._gateway.approvals.list(None if state == "all" else ApprovalState(state))

    async def row(self, prefix: str) -> Approval:
        """One row by the beginning of its id."""
        return await self._gateway.approvals.show(prefix)

    async def card(self, row: Approval) -> Card:
        """The card of a row: with what was decided before, and what else waits in its session."""
        store = self._gateway.store
        history = await history_of(store, row)
        waiting = await rows.waiting_in(store, row, PLAN_LIMIT)
        made = view(row, history, waiting, self._gateway.clock.now())
        return replace(made, remarks=await anyio.to_thread.run_sync(self._remarks, row))

    def _remarks(self, row: Approval) -> tuple[str, ...]:
        """What is to be said of the definition of a row's tool, as long as it is the one that was asked about."""
        catalogue = self._gateway.upstreams.catalogue
        tool = catalogue.of(row.upstream, row.tool)
        if tool is None or tool.digest != row.definition:
            return ()
        others = {name: [one.ref.name for one in catalogue.shelved(name, "tools")] for name in catalogue.upstreams}
        said = (*look_alikes(row.tool, row.upstream, others), *remarks(tool.definition, row.upstream, others))
        return tuple(map(visible, said))

    async def would_cover(self, row: Approval, choice: Choice, voter: Voter) -> tuple[int, int]:
        """How many of the questions about this tool in 30 days a grant from this card would have spared, and of how
        many.
        """
        now = self._gateway.clock.now()
        asked = await rows.asked_of_tool(self._gateway.store, row, now - LOOK_BACK, MOST_ASKED)
        if choice not in SCOPES:
            return 0, len(asked)
        grant = give(row, Chosen(choice), voter, "", now)
        return sum(covers_row(grant, one) for one in asked), len(asked)

    async def answer(self, row: Approval, body: Mapping[str, Any], voter: Voter) -> Approval:
        """Settle a row as a person chose; `body`: {choice, note, minutes, uses, values, arguments, also}.

        Raises `ApprovalError` for what doesn't count or can't be read.
        """
        chosen = await self._chosen(body)
        if voter.terms is not None:  # what was signed is what counts
            chosen = replace(chosen, until=voter.terms.until, uses=voter.terms.uses)
        if chosen.choice in SCOPES:
            covered, _ = await self.would_cover(row, chosen.choice, voter)
            chosen = replace(chosen, would_cover=covered)
        after = await self._gateway.approvals.settle(row.id, chosen, voter)
        if chosen.choice is Choice.EDIT and body.get("approve") is True:
            return await self._gateway.approvals.settle(after.id, Chosen(Choice.ONCE, chosen.note), voter)
        return after

    async def _chosen(self, body: Mapping[str, Any]) -> Chosen:
        word, minutes, uses = body.get("choice", "once"), body.get("minutes"), body.get("uses")
        values, also, arguments = body.get("values", ()), body.get("also", ()), body.get("arguments")
        if not isinstance(word, str) or word not in {choice.value for choice in Choice}:
            raise ApprovalError(f"unknown choice `{word}`", "choice")
        if not _whole(minutes) or not _whole(uses) or not _texts(values) or not _texts(also):
            raise ApprovalError("expected `minutes` and `uses` as numbers, `values` and `also` as lists", "shape")
        if arguments is not None and not isinstance(arguments, dict):
            raise ApprovalError("expected `arguments` as an object", "shape")
        until = self._gateway.clock.now() + timedelta(minutes=minutes) if minutes else None
        note = await self.clean(str(body.get("note", "")))
        return Chosen(Choice(word), note, until, uses or None, tuple(values), arguments, tuple(also))

    async def clean(self, text: str) -> str:
        """A reviewer's words without secrets, and bounded: the model reads them, and they are recorded."""
        if not text:
            return ""
        deadline = self._gateway.clock.monotonic() + PATIENCE
        return str(await self._gateway.screener.clean(text[:NOTE_LIMIT], deadline))

    async def label(self, row: Approval, effect: str, voter: Voter) -> int:
        """Write down what the tool of a row does, and decide anew whatever waits for it; returns how many rows that
        are. Needs what an approval of the row itself would need, and the proof that a high call needs: with its
        label the call may pass. Where several have to approve, one alone can't say so.
        """
        if effect not in {each.value for each in Effect}:
            raise ApprovalError(f"unknown effect `{effect}`", "effect")
        if voter.proof < Proof.LOCAL:
            raise ApprovalError("what a tool does can't be said through the agent's own client", "proof-too-weak")
        if not voter.may_approve:
            raise ApprovalError("this approver may not say so from here: see `proofs` in `[approvers]`", "not-listed")
        asked = row.requirement
        if asked.approvers > 1 or voter.proof < asked.proof or not permitted(asked, voter.by, voter.roles):
            told = (
                f"only who may approve `{row.id}` alone, and so, can say what its tool does: else it is for `policies/`"
            )
            raise ApprovalError(told, "not-permitted")
        await self._gateway.labels.label(row, Effect(effect), voter.by)
        return await self._gateway.approvals.again(row.upstream, row.tool)

    async def grants(self) -> list[Grant]:
        """All grants that are remembered, the newest first."""
        return await self._gateway.approvals.standings.grants()

    async def revoke(self, prefix: str, voter: Voter) -> Grant:
        """End a grant."""
        return await self._gateway.approvals.revoke(prefix, voter.by)

    def freezes(self) -> list[Freeze]:
        """All that is held now."""
        return self._gateway.approvals.standings.freezes()

    async def freeze(self, upstream: str, session: str, voter: Voter, note: str = "") -> Freeze:
        """Hold everything, one upstream or one session; raises `ApprovalError` for an upstream that there isn't."""
        if upstream and upstream not in self._gateway.settings.upstreams:
            raise ApprovalError(f"unknown upstream `{upstream}`", "unknown")
        return await self._gateway.approvals.freeze(upstream, session, voter.by, await self.clean(note))

    async def thaw(self, upstream: str, session: str, voter: Voter, *, everything: bool = False) -> list[Freeze]:
        """Let go what was held; raises `ApprovalError` where nothing is."""
        found = await self._gateway.approvals.standings.thaw(upstream, session, voter.by, everything=everything)
        if not found:
            raise ApprovalError("nothing is held there", "unknown")
        return found


def _whole(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000_000)


def _texts(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) <= PLAN_LIMIT and all(isinstance(one, str) for one in value)
