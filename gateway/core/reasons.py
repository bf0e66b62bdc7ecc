"""What each reason says, in one sentence: the words of docs/reference.md, for people. No I/O here.

A test holds the two together. None of this is for the model: its words are in `core/words.py`.
"""

from collections.abc import Mapping

from gateway.core.model import Reason

SENTENCES: Mapping[Reason, str] = {
    Reason.RULE: "a rule matched and decided",
    Reason.TIER_DEFAULT: "no rule spoke: reads are allowed, writes ask, everything else asks with proof `local`",
    Reason.UNPROVEN: "`ask-unless-proven`, and a value where the effect lands has no origin that is good enough for it",
    Reason.PROVEN: "`ask-unless-proven`: the session is clean, or every value where the effect lands has a good origin",
    Reason.VOUCHED: "`ask-unless-proven`, and a person vouched for every value where the effect lands",
    Reason.RATE_EXCEEDED: "an allow rule's rate is used up: a person is asked",
    Reason.BUDGET_EXCEEDED: "a budget is used up, or it can't be told how much of it the call would take",
    Reason.SESSION_RAISED: "a signal raised the session's tier: what would pass above tier read asks",
    Reason.LOOP: "the same call, or the same refused call, came again and again in the session",
    Reason.OBSERVED: "a rule asks, and its file only observes (`observe_until`): the call passed",
    Reason.REVIEW_OVERDUE: "the file's `review_by` has passed: its allows above tier read ask",
    Reason.RULE_ERROR: "a condition could not be evaluated",
    Reason.ARGUMENTS_TOO_LARGE: "over 1 MiB, 2,000 values or 64-bit integers where a condition applies",
    Reason.OBLIGATION_UNMET: "a duty of the decision that can't be discharged",
    Reason.SELF_PROTECTION: "a value reaches the gateway's own files or a client's MCP settings",
    Reason.FROZEN: "a person holds everything, this upstream or this session, until `wardgate thaw`",
    Reason.TOOL_BARRED: "a person denied a call of this tool and blocked it for the session",
    Reason.REDACTED_VALUE: "its arguments hold `[REDACTED:kind:n]`, which would take the real value's place",
    Reason.TOOL_CHANGED: "it is new, changed or run otherwise, and nobody has accepted what it is now (`tools.lock`)",
    Reason.UNKNOWN_TOOL: "nothing offers a tool of that name",
    Reason.UNKNOWN_RESOURCE: "no upstream lists the URI or has a template for it, or several have",
    Reason.UNKNOWN_PROMPT: "nothing offers a prompt of that name, or has what is to be completed",
    Reason.UPSTREAM_DOWN: "the tool's server is not connected, or takes no calls",
    Reason.INVALID_ARGUMENTS: "arguments that can't be taken",
    Reason.METHOD_BLOCKED: "in the middle of the call its upstream asked for what no rule or `elicit` key lets through",
    Reason.QUESTION_SHARED: "it asked on a connection that several clients share, or while no call ran",
    Reason.QUESTION_UNFIT: "it asked for credentials, for nothing, or for a page that is not https",
    Reason.CLIENT_UNABLE: "it asked for what the client did not declare, or could not answer",
    Reason.TOO_MANY_ROUNDS: "it asked more often than `limits.rounds`",
    Reason.QUESTION_EXPIRED: "nobody came back with answers in time, or the gateway that waited is gone",
    Reason.APPROVED: "a person approved exactly this call",
    Reason.GRANTED: "a person allowed calls like this one for a while",
    Reason.APPROVAL_DENIED: "a person refused it",
    Reason.APPROVAL_EXPIRED: "nobody answered in time",
    Reason.APPROVAL_PENDING: "nobody has answered yet; the question stays open",
    Reason.APPROVAL_VOID: "decided again, the call asks for more than was given, or its definition changed",
    Reason.APPROVAL_USED: "another call used the approval",
    Reason.HANDLE_INVALID: "a `requestState` that is unknown, used, expired or bound to another call",
    Reason.BUSY: "a limit or a queue is full",
    Reason.RECORD_FAILED: "the record can't be written",
    Reason.CLIENT_GONE: "the caller went away, or would not be let in any more, before anything was sent",
    Reason.SCANNER_FAILED: "arguments or output could not be screened",
    Reason.SECRET_FOUND: (
        "a secret was found: in an output whose label says `block` or `ask`, "
        "in an answer to an upstream, or in what a call would send out"
    ),
    Reason.EXACT_SECRET: "a secret of the gateway's own, or a honeytoken, stood in arguments or output",
    Reason.RESULT_INVALID: "the output has no valid form for its schema once it is redacted",
    Reason.UPSTREAM_ERROR: "the upstream answered with a protocol error",
    Reason.UPSTREAM_LOST: "sent, then the connection was lost",
    Reason.UPSTREAM_TIMEOUT: "sent, and not answered before the deadline",
    Reason.CANCELLED: "the caller cancelled after it was sent",
    Reason.GATEWAY_STOPPED: "a crash left the call open; closed at the next start",
    Reason.INTERNAL: "something of the gateway's own broke",
    Reason.UNSCREENED: "the output took too long to be screened, and its label lets it leave so",
}


def known(reason: str) -> Reason | None:
    """The reason that a record names; None for one that this version doesn't know."""
    return next((each for each in Reason if each.value == reason), None)


def sentence(reason: str) -> str:
    """The sentence of a reason as it stands in a record; empty for one that this version doesn't know."""
    found = known(reason)
    return SENTENCES.get(found, "") if found is not None else ""
