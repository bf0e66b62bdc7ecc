"""The closed vocabularies: what may be said, and nothing else. Values only."""

from enum import Enum, IntEnum

ELICIT, SAMPLE, ROOTS = "elicitation/create", "sampling/createMessage", "roots/list"
QUESTIONS = (ELICIT, SAMPLE, ROOTS)  # the methods in which an upstream asks something
CALL_TOOL = "tools/call"  # the method of a call of which no other is said
COMPLETION = "completion/complete"


class Effect(str, Enum):
    """What a call does to the world (`policy.md`)."""

    READ = "read"
    WRITE = "write"
    EGRESS = "egress"
    MONEY = "money"
    PRIVILEGE = "privilege"
    CREDENTIAL = "credential"
    DESTRUCTIVE = "destructive"


class Surface(str, Enum):
    """What a call is of, and what a rule speaks of; a method is what an upstream asks, or a completion."""

    TOOLS = "tools"
    RESOURCES = "resources"
    PROMPTS = "prompts"
    METHODS = "methods"


class Tier(str, Enum):
    """How strictly a call is checked; it follows from the effect."""

    READ = "read"
    WRITE = "write"
    HIGH = "high"


class Verdict(IntEnum):
    """What is decided; verdicts combine by `max`."""

    ALLOW = 0
    ASK = 1
    BLOCK = 2

    @property
    def word(self) -> str:
        """The verdict as it stands in records."""
        return self.name.lower()


class Proof(IntEnum):
    """How an approver is known, weakest first (`approvals.md`)."""

    CLIENT = 0
    LOCAL = 1
    SIGNED = 2

    @property
    def word(self) -> str:
        """The proof as it stands in policies and records."""
        return self.name.lower()


class Outcome(str, Enum):
    """How a call ended: exactly one per call."""

    OK = "ok"
    ERROR = "error"
    BLOCKED = "blocked"
    DENIED = "denied"
    UNKNOWN = "unknown"


class Release(str, Enum):
    """What of a result reached the caller."""

    FULL = "full"
    REDACTED = "redacted"
    WITHHELD = "withheld"


class Reason(str, Enum):
    """Why a decision or an outcome is what it is. Closed vocabulary: every member is documented in
    docs/reference.md.
    """

    # decided by policy
    RULE = "rule"  # a rule matched and decided
    TIER_DEFAULT = "tier-default"  # no rule spoke, the tier's default applies
    RULE_ERROR = "rule-error"  # a condition could not be evaluated
    RATE_EXCEEDED = "rate-exceeded"  # an allow rule's rate is used up: a person is asked
    BUDGET_EXCEEDED = "budget-exceeded"  # a budget is used up, or it can't be told how much the call would take of it
    SESSION_RAISED = "session-raised"  # a signal raised the session: what would pass above tier read is asked about
    LOOP = "loop"  # the same call, or the same refused call, came again and again
    OBSERVED = "observed"  # a rule asks, and its file only observes for now: it passed
    REVIEW_OVERDUE = "review-overdue"  # the file's review_by has passed: an allow above tier read became ask
    UNPROVEN = "unproven"  # ask-unless-proven, and not proven
    PROVEN = "proven"  # ask-unless-proven, and every value where the effect lands has a good origin, or nothing taints
    VOUCHED = "vouched"  # ask-unless-proven, and a person vouched for every value where the effect lands
    ARGUMENTS_TOO_LARGE = "arguments-too-large"  # over the limits under which a condition can be evaluated
    OBLIGATION_UNMET = "obligation-unmet"  # an obligation that the gateway can't discharge
    # decided by fact
    SELF_PROTECTION = "self-protection"  # the call reaches the gateway's own files
    TOOL_CHANGED = "tool-changed"  # new or changed since a person accepted it, or nothing was accepted so far
    UNKNOWN_TOOL = "unknown-tool"  # no such tool in the catalogue
    UNKNOWN_RESOURCE = "unknown-resource"  # no upstream lists the URI or has a template for it (or several have)
    UNKNOWN_PROMPT = "unknown-prompt"  # no such prompt, or nothing to complete
    UPSTREAM_DOWN = "upstream-down"  # its upstream is not connected: nothing was forwarded
    INVALID_ARGUMENTS = "invalid-arguments"  # arguments that are no JSON object, or can't be canonicalised
    FROZEN = "frozen"  # a person holds everything, this upstream or this session, until `thaw`
    TOOL_BARRED = "tool-barred"  # a person denied a call of this tool and blocked it for the session
    REDACTED_VALUE = "redacted-value"  # a write carries a marker of ours: it would put that in the real value's place
    # questions of upstreams
    METHOD_BLOCKED = "method-blocked"  # an upstream asked for what no rule or `elicit` key lets through
    QUESTION_SHARED = "question-shared"  # it asked on a connection that several clients share: nobody knows whom
    QUESTION_UNFIT = "question-unfit"  # it asked for credentials, for nothing, or for a page that is not https
    CLIENT_UNABLE = "client-unable"  # it asked for what the client did not declare that it can do
    TOO_MANY_ROUNDS = "too-many-rounds"  # it asked again and again
    QUESTION_EXPIRED = "question-expired"  # nobody came back with an answer in time: the outcome is unknown
    # approvals
    APPROVED = "approved"  # a person approved exactly this call
    GRANTED = "granted"  # a person allowed calls like this one for a while
    APPROVAL_DENIED = "approval-denied"
    APPROVAL_EXPIRED = "approval-expired"
    APPROVAL_PENDING = "approval-pending"  # nobody has answered yet; the row stays open
    APPROVAL_VOID = "approval-void"  # deciding again asked for more than was given, or the definition changed
    APPROVAL_USED = "approval-used"  # it was consumed by another call
    HANDLE_INVALID = "handle-invalid"  # a requestState that is unknown, used, expired or bound to another call
    # what broke
    BUSY = "busy"  # a limit or a queue is full
    RECORD_FAILED = "record-failed"  # the intent could not be recorded
    CLIENT_GONE = "client-gone"  # cancelled, disconnected or no longer let in, before anything was forwarded
    SCANNER_FAILED = "scanner-failed"  # the output could not be screened and was withheld
    SECRET_FOUND = "secret-found"  # noqa: S105 - a reason code; the label says block or ask, and a secret was found
    EXACT_SECRET = "exact-secret"  # noqa: S105 - a reason code; one of the gateway's own in arguments or output
    RESULT_INVALID = "result-invalid"  # the upstream's answer is no valid result, or has no valid form once redacted
    UPSTREAM_ERROR = "upstream-error"  # the upstream answered with a protocol error
    UPSTREAM_LOST = "upstream-lost"  # sent, then lost: the outcome is unknown
    UPSTREAM_TIMEOUT = "upstream-timeout"  # sent, and not answered before the deadline: the outcome is unknown
    CANCELLED = "cancelled"  # the caller cancelled after it was forwarded: the outcome is unknown
    GATEWAY_STOPPED = "gateway-stopped"  # an intent left open by a crash, closed at the next start
    INTERNAL = "internal"  # the broad guard: something of ours broke
    UNSCREENED = "unscreened"  # the output took too long to be screened, and its label lets it leave so


class SinkKind(str, Enum):
    """What kind of value an argument is, where the effect lands."""

    EMAIL = "email"
    URL = "url"
    HOST = "host"
    PATH = "path"
    ACCOUNT = "account"
    AMOUNT = "amount"
    ID = "id"
    TEXT = "text"


class Trust(str, Enum):
    """How far an output can be believed."""

    UNTRUSTED = "untrusted"
    NEUTRAL = "neutral"
    TRUSTED = "trusted"


class Grade(str, Enum):
    """How sure it is that what was found is a secret."""

    EXACT = "exact"  # one that the gateway itself knows
    VENDOR = "vendor"  # the shape of a vendor's token, a private key, a password in a URL
    GENERIC = "generic"  # the value of a key that is called like a secret


class Act(str, Enum):
    """What became of a secret that was found.

    Of one in arguments it says what the upstream got: `flagged` where the call went on with it (the record and the card
    hold it redacted all the same), `blocked` where it did not.
    """

    REDACTED = "redacted"
    FLAGGED = "flagged"  # it passed: found, and only recorded
    ALLOWED = "allowed"  # it passed, since a label or a person said so
    WITHHELD = "withheld"  # with all of the output that it stood in
    BLOCKED = "blocked"  # with the call that carried it


class SecretAction(str, Enum):
    """What a label asks for when a secret is found in an output."""

    REDACT = "redact"
    ASK = "ask"
    BLOCK = "block"
    ALLOW = "allow"


class PersonalAction(str, Enum):
    """What a label asks for when personal data is found in an output."""

    OFF = "off"  # nobody looks
    FLAG = "flag"  # it passes, and the record says what was found where
    REDACT = "redact"


class Decide(str, Enum):
    """What a rule decides."""

    ALLOW = "allow"
    ASK_UNLESS_PROVEN = "ask-unless-proven"
    ASK = "ask"
    BLOCK = "block"


class Vote(str, Enum):
    """What a client brought back from a question put to its user."""

    APPROVE = "approve"
    DENY = "deny"
    CANCEL = "cancel"  # dismissed without an answer: the row stays open


class ObligationKind(str, Enum):
    """What an allowed call owes."""

    REDACT = "redact"
    BLOCK_SECRETS = "block-secrets"
    RECORD_FULL = "record-full"
    RECORD_DIGEST = "record-digest"
    SET = "set"
    DROP = "drop"


class ApprovalState(str, Enum):
    """The life of an approval; the transitions are in `core/approval.py`."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"
    WITHDRAWN = "withdrawn"


class Choice(str, Enum):
    """What a person can choose on a card (`approvals.md`)."""

    ONCE = "once"
    ARGUMENTS = "arguments"  # these exact arguments, for a while
    PATTERN = "pattern"  # the same sinks with any payload, for a while
    SESSION = "session"  # this tool in this session
    VOUCH = "vouch"  # a value is good where the effect lands, in this session
    EDIT = "edit"  # other arguments than the agent's
    DENY = "deny"
    BAR = "bar"  # deny, and block the tool for this session


class Kind(str, Enum):
    """What a record is of."""

    START = "start"
    STOP = "stop"
    POLICY = "policy"
    CATALOGUE = "catalogue"
    INTENT = "intent"  # a call is about to be forwarded
    OUTCOME = "outcome"  # a call ended
    QUESTION = "question"  # an upstream asked people or models something in the middle of a call
    APPROVAL = "approval"  # an approval was opened or settled
    GRANT = "grant"  # a grant was given, revoked, or has lapsed
    FREEZE = "freeze"  # calls are held until somebody lets them go, or were let go
    APPROVER = "approver"  # a key with which approvals are signed was enrolled or revoked
    FLOW = "flow"  # a session read what is untrusted or private for the first time
    LEAK = "leak"  # somebody said what became of a secret that was seen, or it was told that it is due
    PROMPT = "prompt"  # a client handed over what its user asked for
    CLIENT_TOOL = "client-tool"  # a client's hook told of a call of a tool that is not behind the gateway
    CHECKPOINT = "checkpoint"  # a signed statement of the tree's size and root
    PRUNING = "pruning"  # the oldest records are let go
    KEY = "key"  # a key of the gateway's was made, changed or lost
    CLOCK = "clock"  # the wall clock jumped
    SIGNAL = "signal"
