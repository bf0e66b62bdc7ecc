"""How an output in which something was found is held until a person has decided whether it may leave as it is.

Where nobody says yes in time it leaves redacted. Nothing is forwarded from here, and no call is decided.
"""

from msgspec.structs import replace

from gateway.core import release
from gateway.core.account import Trail
from gateway.core.drafted import drafted
from gateway.core.model import Approval, ApprovalState, Held, Screened, Tool
from gateway.errors import BusyError
from gateway.holding import Nobody
from gateway.ports import Caller, House

LEAST = 1.0  # seconds in which a person can answer at all


class Releasing:
    """The part of the path of a call on which people are asked about its output, where the label says `ask`."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def ask(self, trail: Trail, tool: Tool, screened: Screened, caller: Caller) -> tuple[Screened, ...]:
        """What of an output may leave, best first: whole, if a person says so within the client's patience, and as it
        was screened.

        The answer stands in the trail, to be used up with the outcome; where it can't be any more, the next one counts.
        Raises `RecordError` if nothing can be kept.
        """
        if screened.whole is None:
            return (screened,)
        redacted = replace(screened, whole=None)
        house = self._house
        now = house.clock.now()
        left = caller.budget - (now - trail.call.at).total_seconds()  # what the client has waited for already counts
        if isinstance(caller, Nobody) or left < LEAST:
            return (redacted,)
        asked = release.question(drafted(trail, now, house.key), screened, now)
        try:
            with trail.timed("release"):
                settled = await house.approvals.obtain(trail.call, asked, Patient(caller, left))
        except BusyError:  # too many questions: nobody is asked, and nothing leaves because of that
            return (redacted,)
        row = settled.approval if isinstance(settled, Held) else settled
        # INVARIANT: while somebody holds such calls, nothing that was found leaves.
        if isinstance(settled, Held) or house.approvals.standing(trail.call, tool).frozen:
            await house.approvals.expire(row)
            row = replace(row, state=ApprovalState.WITHDRAWN)
        trail.release = row
        return (release.released(screened), redacted) if row.state is ApprovalState.APPROVED else (redacted,)


class Patient(Nobody):
    """Implements `ports.Caller` for a client whose output is asked about: it waits, and has no say in it itself.

    It is never sent away to come back: its call has run, and its output is here and nowhere else.
    """

    def __init__(self, caller: Caller, budget: float) -> None:
        """`budget`: seconds for which it waits."""
        self._caller = caller
        self.budget, self.limit, self.kind = budget, caller.limit, caller.kind
        self.answers_inline = caller.answers_inline
        self.opens = caller.opens and caller.answers_inline

    async def notice(self, text: str) -> None:
        """Tell the client that a person is awaited."""
        await self._caller.notice(text)

    async def open(self, approval: Approval, url: str) -> None:
        """Have the client open the card."""
        await self._caller.open(approval, url)
