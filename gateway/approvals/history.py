"""What was decided before on the tool of a row: for every card, whatever the door. It reads, and settles nothing."""

from gateway.core.model import Approval, ApprovalState
from gateway.core.view import History
from gateway.store import Store, rows

MOST_NAMES = 5
MOST_ROWS = 10  # among which the last one of the same kind is looked for: a row may be about an output
_APPROVED = (ApprovalState.APPROVED, ApprovalState.USED)


async def history_of(store: Store, row: Approval) -> History:
    """How often people said what on the tool of a row for its principal, who they were, and the newest row that was
    approved, other than this one.
    """
    last = await rows.last_approved(store, row, MOST_ROWS)
    told = await rows.tally(store, row)
    return History(
        approved=sum(count for state, _, count in told if state in _APPROVED),
        denied=sum(count for state, _, count in told if state is ApprovalState.DENIED),
        by=tuple(dict.fromkeys(name for _, name, _ in told))[:MOST_NAMES],
        last=next((one for one in last if one.id != row.id and one.method == row.method), None),
    )
