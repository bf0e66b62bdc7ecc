"""How a call is held until a person has decided, and decided again then: nothing of it may have got worse meanwhile.

What it would change is shown by the policy's `preview` tool: a call of its own, along the same path. Nothing is
forwarded from here.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec.structs import replace

from gateway import ids
from gateway.core import words
from gateway.core.account import Trail
from gateway.core.canon import canonical, keyed_digest
from gateway.core.drafted import drafted
from gateway.core.model import (
    AGAIN,
    Answer,
    Approval,
    ApprovalState,
    Call,
    Decision,
    Done,
    Held,
    Outcome,
    Reason,
    Refused,
    Surface,
    Tier,
    Tool,
    Verdict,
    Vote,
)
from gateway.ending import Endings
from gateway.errors import GatewayError
from gateway.facts import moved
from gateway.ports import Caller, House

MOST = 20_000  # characters that a card keeps of it
PATIENCE = 10.0  # seconds until they must have been screened
PREVIEW = "wardgate-preview"  # how the record tells these calls from the agent's own


class Holding:
    """The part of the path of a call on which people are asked; the rest of the path is handed in.

    `weigh` decides and redacts the arguments, `decide` decides alone, `handle` takes a call along the whole path.
    """

    def __init__(
        self,
        house: House,
        end: Endings,
        weigh: Callable[[Trail], Awaitable[Refused | None]],
        decide: Callable[[Trail, Approval | None], Decision],
        handle: Callable[[Call, Caller], Awaitable[Answer]],
    ) -> None:
        self._house, self._end, self._weigh, self._decide, self._handle = house, end, weigh, decide, handle

    async def ask(self, trail: Trail, caller: Caller) -> Held | Refused | None:
        """Hold the call until a person has decided; None once it may go on. Nobody is asked about a preview."""
        house = self._house
        if trail.asks and isinstance(caller, Nobody):
            return await self._end.refuse(trail, Outcome.BLOCKED, Reason.CLIENT_UNABLE, detail="it is a preview")
        waiting: Approval | None = None
        if trail.call.resume is not None and trail.asked is None:
            resumed = await house.approvals.resume(trail.call, caller)
            if resumed is None:
                return await self._end.refuse(trail, Outcome.BLOCKED, Reason.HANDLE_INVALID)
            first, waiting = resumed
            trail.rename(first)
        while trail.asks or self._overtaken(trail):
            if not trail.asks:
                # INVARIANT: what others took meanwhile of rates and budgets, and what was repeated, is decided on.
                again = self._decide(trail, None)
                same = again.verdict is Verdict.ALLOW and trail.changes() is None
                if not (same and not (trail.hasty and trail.durable)) and (ended := await self._weigh(trail)):
                    return ended
                continue
            tool, _ = trail.decided()
            trail.carried = await house.turns.carried(trail.call)
            trail.preview = await preview(house, trail.call, tool, self._handle)
            with trail.timed("approval"):
                asked = drafted(trail, house.clock.now(), house.key)
                settled = await house.approvals.obtain(trail.call, asked, caller, waiting)
            if isinstance(settled, Held):
                return settled
            if settled.followed_by == AGAIN:  # somebody said meanwhile what the tool does
                waiting = None  # that row is done with, also where the client came back to it
                if ended := await self._weigh(trail):
                    return ended
                continue
            trail.settled(settled)
            if settled.state is not ApprovalState.APPROVED:
                return await self._end.refuse(trail, Outcome.DENIED, words.ending(settled.state), approval=settled)
            return await self._execute(trail, settled, caller)
        return None

    def _overtaken(self, trail: Trail) -> bool:
        """Whether more is used than was when it was decided that the call is allowed."""
        return trail.facts is not None and not trail.rounds and moved(self._house, trail.call, trail.facts)

    async def _execute(self, trail: Trail, approved: Approval, caller: Caller) -> Refused | None:
        """Decide again, now, whether what was approved may run: nothing of it may have got worse, and whoever called
        would still be let in.
        """
        if not await caller.stands():
            await self._house.approvals.expire(approved)
            return await self._end.refuse(trail, Outcome.BLOCKED, Reason.CLIENT_GONE, approved, "it is not let in now")
        if approved.arguments_digest != trail.call.digest:
            trail.edited(approved, self._house.key)
        again = self._decide(trail, approved)
        shown = approved.shown.preview.get("digest")
        if again.verdict is Verdict.ALLOW and shown:
            seen = await preview(self._house, trail.call, trail.allowed()[0], self._handle)
            again = self._decide(trail, approved)  # once more: it took its time, and the world goes on
            if again.verdict is Verdict.ALLOW and seen.get("digest") != shown:
                again = trail.void("what the call would change is not as it was on the card")
        if again.verdict is Verdict.ALLOW:
            return None
        await self._house.approvals.expire(approved)
        return await self._end.refuse(trail, Outcome.BLOCKED, again.reason, approval=approved)


class Nobody:
    """Implements `ports.Caller` for a call that no client waits for: it can be asked nothing and hears nothing."""

    asks = "none"
    budget = limit = 0.0
    kind = ""
    opens = False
    wants_progress = False
    answers_inline = False
    modern = False
    wants_logs = False

    async def stands(self) -> bool:
        """Nobody is let in by a token here."""
        return True

    async def notice(self, text: str) -> None:
        """Nobody hears it."""

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Nobody hears it."""

    async def log(self, level: str, data: Any, logger: str | None) -> None:
        """Nobody hears it."""

    async def elicit(self, approval: Approval) -> Vote:
        """Nobody answers."""
        return Vote.CANCEL

    async def open(self, approval: Approval, url: str) -> None:
        """Nobody opens it."""

    async def ask(self, question: Any) -> Mapping[str, Any]:
        """Nobody answers."""
        raise GatewayError("a preview can't be asked anything")


async def preview(
    house: House, call: Call, tool: Tool, handle: Callable[[Call, Caller], Awaitable[Answer]]
) -> Mapping[str, str]:
    """What the tool's label names as preview of this call: `tool`, and `text` with its keyed `digest`, or `why` not."""
    label = tool.labels.preview
    if label is None or tool.surface is not Surface.TOOLS:
        return {}
    found = house.catalogue.of(tool.ref.upstream, label.tool)
    told = {"tool": label.tool}
    if found is None or found.tier is not Tier.READ:
        return {**told, "why": "there is no such tool, or it is no read"}
    arguments = {name: call.arguments[given] for name, given in label.args.items() if given in call.arguments}
    sealed = canonical(arguments)
    asked = replace(
        call,
        id=ids.new_id(ids.CALL),
        exposed=found.exposed_as,
        arguments=arguments,
        canonical=sealed,
        digest=keyed_digest(house.key, sealed),
        at=house.clock.now(),
        context=replace(call.context, tool_use="", prompt=None, trace=""),
        client=replace(call.client, claimed=PREVIEW),
        resume=None,
    )
    answer = await handle(asked, Nobody())
    if not isinstance(answer, Done) or answer.value is None or answer.value.get("isError"):
        return {**told, "why": "it gave no answer", "call": asked.id}
    try:
        # Redacted whatever the preview's label says: a card is kept.
        text = await house.screener.clean(_text(answer.value)[:MOST], house.clock.monotonic() + PATIENCE)
    except GatewayError:
        return {**told, "why": "it could not be screened", "call": asked.id}
    return {
        **told,
        "text": str(text),
        "digest": keyed_digest(house.key, canonical(answer.value.get("content", []))),
        "call": asked.id,
    }


def _text(value: Mapping[str, Any]) -> str:
    """The text blocks of a result."""
    blocks = value.get("content")
    found = blocks if isinstance(blocks, list) else []
    return "\n".join(str(block.get("text", "")) for block in found if isinstance(block, dict) and "text" in block)
