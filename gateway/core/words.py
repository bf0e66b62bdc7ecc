"""The words that the model reads when a call was not executed, waits, or ended unknown (`approvals.md`).

Never a matching pattern, a threshold or a way to approve: those are for people. No I/O here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.core.model import Approval, ApprovalState, Decision, ObligationKind, Outcome, Reason

_NO_WAY_ROUND = (
    "Do not attempt the same effect through another tool or a changed wording. "
    "Continue without it and tell the user it was refused."
)
_UNTOUCHED = "Nothing has changed."
_LOST = (Reason.UPSTREAM_LOST, Reason.UPSTREAM_TIMEOUT, Reason.GATEWAY_STOPPED, Reason.CANCELLED)


def refused(decision_id: str, note: str = "") -> str:
    """Policy or a person said no; `note` is the reviewer's reason."""
    said = f"The reviewer's reason: {' '.join(note.split()).rstrip('.')}. " if note.strip() else ""
    return (
        f"NOT EXECUTED - refused by policy (decision {decision_id}). The call was well formed; "
        f"sending it again gives the same answer. {said}{_NO_WAY_ROUND}"
    )


def pending(approval_id: str, expires_at: datetime) -> str:
    """A person has not answered yet; the row stays open until `expires_at` (shown in UTC)."""
    return (
        f"NOT EXECUTED YET - waiting for a person (approval {approval_id}, "
        f"expires {expires_at.astimezone(UTC):%H:%M} UTC). {_UNTOUCHED} "
        "Tell the user; when they say it is approved, send exactly the same call once."
    )


def nobody(minutes: int) -> str:
    """The approval expired: nobody answered in all that time."""
    return f"NOT EXECUTED - nobody answered within {minutes} min. This is not a refusal. Ask the user."


def unknown() -> str:
    """The call was sent, and whether it happened can't be told."""
    return (
        "OUTCOME UNKNOWN - the upstream was lost after the call was sent. It may have happened. "
        "Check before repeating it."
    )


def given_up(decision_id: str) -> str:
    """An earlier round of the call was sent, and it is not gone on with."""
    return (
        f"OUTCOME UNKNOWN - the call had been sent, and the gateway does not go on with it (decision {decision_id}). "
        "It may have happened. Check before repeating it."
    )


def stale(decision_id: str) -> str:
    """A handle that is unknown, used, expired or another call's: of which call it was can't be told."""
    return (
        f"NOT EXECUTED - what the call came back with is used, out of date or another call's (decision {decision_id}). "
        "If its answer was lost, the call may have happened already: check before sending it anew. Tell the user."
    )


def busy() -> str:
    """A limit or a queue is full."""
    return (
        f"NOT EXECUTED - the gateway is busy. {_UNTOUCHED} This is not a refusal. Tell the user, and try again later."
    )


def unrecorded() -> str:
    """The record can't be written, so nothing may be forwarded."""
    return (
        f"NOT EXECUTED - the gateway can't write its record, so it forwards nothing. {_UNTOUCHED} "
        "This is not a refusal. Tell the user that the gateway needs attention."
    )


def unavailable() -> str:
    """The upstream was not connected: nothing was sent."""
    return f"NOT EXECUTED - the server of this tool is not available now. {_UNTOUCHED} Tell the user, try again later."


def unasked(decision_id: str) -> str:
    """The server asked for something in the middle of the call that can't be passed on."""
    return (
        f"NOT COMPLETED - the server of this tool asked for something that is not passed on (decision {decision_id}). "
        "It had been sent the call, and may have begun. Sending it again gives the same answer. Tell the user."
    )


def frozen() -> str:
    """A person holds such calls until further notice."""
    return (
        f"NOT EXECUTED - a person holds all such calls for now. {_UNTOUCHED} This is not a refusal of this call. "
        "Tell the user, and send nothing more until they say that it was let go."
    )


def held() -> str:
    """Nobody has accepted what the tool is now."""
    return (
        f"NOT EXECUTED - this tool is held until its user has accepted what it is now. {_UNTOUCHED} This is not a "
        "refusal of this call; sending it again gives the same answer. Tell the user to run `wardgate lock`, and go on "
        "without the tool."
    )


def malformed() -> str:
    """The arguments can't be taken as they are."""
    return f"NOT EXECUTED - the arguments can't be taken as they are. {_UNTOUCHED} Correct them to the tool's schema."


def nameless() -> str:
    """No upstream offers the tool."""
    return f"NOT EXECUTED - there is no such tool. {_UNTOUCHED} Use only tools from the current list."


def placeholder() -> str:
    """A write carries a marker of ours, which would replace what it stands for."""
    return (
        "NOT EXECUTED - the arguments hold a placeholder such as [REDACTED:kind:n], which stands for a secret that was "
        f"not shown. {_UNTOUCHED} Writing it back would destroy the real value: change only the rest, or tell the user."
    )


def own_secret(decision_id: str) -> str:
    """The arguments carry a secret of the gateway's own, or a honeytoken."""
    return (
        f"NOT EXECUTED - the arguments hold a secret that must not be passed on (decision {decision_id}). {_UNTOUCHED} "
        "No other wording or encoding changes the answer. Continue without it and tell the user."
    )


def lapsed(decision_id: str) -> str:
    """There was an approval or a question, but it doesn't cover this call now."""
    return (
        f"NOT EXECUTED - the approval does not cover this call any more (decision {decision_id}). {_UNTOUCHED} "
        "This is not a refusal. Tell the user; sending the call again asks anew."
    )


def exhausted(decision_id: str) -> str:
    """A budget has less left than the call would take."""
    return (
        f"NOT EXECUTED - the call would exceed a budget that policy sets (decision {decision_id}). {_UNTOUCHED} "
        "Sending it again, or in parts, does not change that. Tell the user, and go on without it."
    )


def repeated(decision_id: str) -> str:
    """The same call came again and again."""
    return (
        f"NOT EXECUTED - this same call came again and again in this session (decision {decision_id}). {_UNTOUCHED} "
        "Do not send it again: go on with what is known, or tell the user what is missing."
    )


def withheld(decision_id: str) -> str:
    """The call ran, and its output can't be released."""
    return (
        f"RESULT WITHHELD - the call was executed, but its output can't be released (decision {decision_id}). "
        "Do not repeat the call to see it. Tell the user."
    )


def broken(decision_id: str) -> str:
    """Something of the gateway's own broke before anything was sent."""
    return (
        f"NOT EXECUTED - the gateway could not check this call (decision {decision_id}). {_UNTOUCHED} "
        "This is not a refusal. Tell the user."
    )


def ending(state: ApprovalState) -> Reason:
    """Why a call ended whose approval was not given."""
    return Reason.APPROVAL_EXPIRED if state is ApprovalState.EXPIRED else Reason.APPROVAL_DENIED


def refusal(
    decision_id: str, outcome: Outcome, reason: Reason, approval: Approval | None = None, note: str = ""
) -> str:
    """The words for a call that ended without an answer of the upstream's that could be released; `note` is what the
    person said who barred its tool.
    """
    if outcome is Outcome.UNKNOWN:
        return unknown() if reason in _LOST else given_up(decision_id)
    match reason:
        case Reason.APPROVAL_EXPIRED if approval is not None:
            return nobody(max(1, round((approval.expires_at - approval.created_at).total_seconds() / 60)))
        case Reason.APPROVAL_PENDING if approval is not None:
            return pending(approval.id, approval.expires_at)
        case Reason.APPROVAL_DENIED if approval is not None and approval.state is ApprovalState.DENIED:
            return refused(decision_id, approval.note)
        # The last of them where nobody said no: the question was withdrawn.
        case Reason.APPROVAL_EXPIRED | Reason.APPROVAL_VOID | Reason.APPROVAL_USED | Reason.APPROVAL_DENIED:
            return lapsed(decision_id)
        case Reason.HANDLE_INVALID:
            return stale(decision_id)
        case Reason.BUSY:
            return busy()
        case Reason.FROZEN:
            return frozen()
        case Reason.TOOL_CHANGED:
            return held()
        case Reason.RECORD_FAILED:
            return unrecorded()
        case Reason.UPSTREAM_DOWN:
            return unavailable()
        case Reason.UNKNOWN_TOOL:
            return nameless()
        case Reason.UNKNOWN_RESOURCE:
            return f"NOT EXECUTED - no upstream lists this resource or has a template for it, or several. {_UNTOUCHED}"
        case Reason.UNKNOWN_PROMPT:
            return f"NOT EXECUTED - there is no such prompt or template. {_UNTOUCHED}"
        case Reason.METHOD_BLOCKED | Reason.QUESTION_UNFIT | Reason.CLIENT_UNABLE | Reason.TOO_MANY_ROUNDS if (
            outcome is Outcome.ERROR
        ):
            return unasked(decision_id)
        case Reason.INVALID_ARGUMENTS:
            return malformed()
        case Reason.REDACTED_VALUE:
            return placeholder()
        case Reason.BUDGET_EXCEEDED:
            return exhausted(decision_id)
        case Reason.LOOP:
            return repeated(decision_id)
        case Reason.EXACT_SECRET:
            return own_secret(decision_id)
        case Reason.SCANNER_FAILED | Reason.INTERNAL:
            return broken(decision_id)
        case Reason.TOOL_BARRED:
            return refused(decision_id, note)
        case _:
            return refused(decision_id)


def misfit(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """An error result for one whose structured content can't be told without a secret: its other blocks stay."""
    block = {
        "type": "text",
        "text": (
            "[Wardgate: RESULT INCOMPLETE - the call was executed, but its structured result held a secret and has no "
            "valid form without it. Do not repeat the call to see it. Tell the user.]"
        ),
    }
    content = value.get("content")
    rest = {key: item for key, item in value.items() if key not in ("structuredContent", "isError")}
    return {**rest, "content": [*(content if isinstance(content, list | tuple) else []), block], "isError": True}


def tell(value: Mapping[str, Any], decision: Decision | None, *, edited: bool = False) -> Mapping[str, Any]:
    """A result, with one more text block if policy set or dropped arguments of the call, or a person edited them: the
    model is told.
    """
    duties = sorted(decision.obligations, key=str) if decision is not None else []
    put = [f"`{duty.name}`" for duty in duties if duty.kind is ObligationKind.SET]
    cut = [f"`{duty.name}`" for duty in duties if duty.kind is ObligationKind.DROP]
    said = [f"set {', '.join(put)}"] * bool(put) + [f"dropped {', '.join(cut)}"] * bool(cut)
    texts = [f"policy {' and '.join(said)}"] * bool(said)
    texts += ["a person changed the arguments"] * edited
    if not texts:
        return value
    block = {"type": "text", "text": f"[Wardgate: {'; '.join(texts)} before the call was sent.]"}
    content = value.get("content")
    return {**value, "content": [*(content if isinstance(content, list) else []), block]}
