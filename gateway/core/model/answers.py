"""What comes back from upstreams, what is released to callers, and what is recorded of both. Values only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.model.decisions import Approval
from gateway.core.model.vocabulary import Act, Grade, Kind, Reason, Release, Verdict

REFUSED = -32010  # JSON-RPC code of what the gateway itself refuses, where no result could say it
BUSY = -32011  # the same, of what the door has no room for


class Finding(Struct, frozen=True):
    """A secret that was found: its kind, where, and a keyed fingerprint. Never the secret."""

    kind: str
    place: str  # e.g. content[0].text, structuredContent.user.token
    fingerprint: str
    exact: bool = False
    grade: Grade = Grade.VENDOR
    act: Act = Act.REDACTED


class Screened(Struct, frozen=True):
    """What may leave: the value to release (None: withheld), what was found, and why it was withheld."""

    release: Release
    value: Mapping[str, Any] | None
    findings: tuple[Finding, ...] = ()
    reason: Reason | None = None
    digest: str = ""  # keyed, of the canonical original; empty where it could not be made
    data: bytes = b""  # the canonical bytes of what is released; empty where nothing is
    recorded: Any = None  # the value with every finding redacted, whatever the label says; None: not to be recorded
    poses: bool = False  # it held words of the gateway's own; they are marked as the upstream's
    whole: Mapping[str, Any] | None = None  # the value with what a person may let pass
    unscanned: str = ""  # why it was not looked at: limit (too large, too deep, too much found) | deadline | failed

    def __repr__(self) -> str:
        """It without what a person may still withhold."""
        return f"Screened({self.release}, {self.value!r}, {self.findings!r}, {self.reason})"


class Result(Struct, frozen=True):
    """The upstream answered with a result."""

    value: Mapping[str, Any]


class Failure(Struct, frozen=True):
    """The upstream answered with a JSON-RPC error."""

    code: int
    message: str
    data: Any = None


class Unsent(Struct, frozen=True):
    """The call was provably not written to the upstream."""

    detail: str


class Lost(Struct, frozen=True):
    """The call was written and no answer came: its outcome is unknown (reason: UPSTREAM_LOST or UPSTREAM_TIMEOUT)."""

    reason: Reason
    detail: str


class Question(Struct, frozen=True):
    """What an upstream asks in the middle of a call: `elicitation/create`, `sampling/createMessage` or `roots/list`.

    `key` is the upstream's own for it (modern), or made by us (legacy); it tells answers apart.
    """

    key: str
    method: str
    params: Mapping[str, Any]


class Asked(Struct, frozen=True):
    """The upstream needs answers before it goes on.

    Modern: the call ended, and is sent again with `state` (the upstream's own, verbatim; None: it gave none). Legacy:
    the call is still open at the upstream and waits under the ticket `parked`.
    """

    questions: tuple[Question, ...]
    state: str | None = None
    parked: str = ""


class Round(Struct, frozen=True):
    """A call that waits for the answers of a modern client."""

    call: str  # the first round's id
    tool: str  # digest of the definition when it was forwarded
    number: int  # rounds that were sent upstream so far
    digest: str  # of the arguments that were sent
    asked: Asked | None  # None: nobody waits for answers any more, and the call ended as unknown
    approval: Approval | None = None  # what a person said, if it ran under that
    lent: tuple[str, ...] = ()  # the grants that it ran under
    edited: Mapping[str, Any] | None = None  # the arguments, where a person put them in the place of the client's


class Again(Struct, frozen=True):
    """How a call that was `Asked` goes on: answers by key (a `Failure` refuses the question), and what it left."""

    answers: "Mapping[str, Mapping[str, Any] | Failure]"
    state: str | None = None
    parked: str = ""


Reply = Result | Failure | Unsent | Lost | Asked


class Done(Struct, frozen=True):
    """The answer is the upstream's (screened) result or error."""

    value: Mapping[str, Any] | None
    error: Failure | None = None


class Held(Struct, frozen=True):
    """The call waits for a person: ask again with `handle` (modern), or tell the model that it is pending (None)."""

    approval: Approval
    handle: str | None = None
    ask: bool = False  # put the question to the client's user on this round
    url: str = ""  # have the client open the card there on this round


class Refused(Struct, frozen=True):
    """Nothing is released: a policy refusal, an approval that ended, or something broke. `text` is for the model."""

    call: str
    verdict: Verdict
    reason: Reason
    text: str
    approval: Approval | None = None
    requires: Mapping[str, Any] | None = None  # capabilities that the client would have to declare


class Asking(Struct, frozen=True):
    """The upstream's questions go to the client (modern), which comes back with `handle`; none: just call again."""

    call: str
    handle: str
    questions: tuple[Question, ...]


Answer = Done | Held | Refused | Asking


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of the record. Everything in it is redacted before it gets here.

    A struct and not a dataclass: two are made and encoded for each call.
    """

    kind: Kind
    id: str  # the call's id (d_...), or the approval's or an id of its own (l_...)
    at: datetime
    principal: str = ""
    known_by: str = ""
    client: str = ""
    claimed: str = ""
    session: str = ""
    transport: str = ""
    era: str = ""
    trace: str = ""
    method: str = ""  # the request that the call was; empty: `tools/call`, or no call
    upstream: str = ""
    tool: str = ""
    definition: str = ""
    owner: str = ""
    tier: str = ""
    effect: str = ""
    verdict: str = ""
    reason: str = ""
    rules: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    policy_revision: str = ""
    approval: str = ""
    outcome: str = ""
    release: str = ""
    findings: tuple[Finding, ...] = ()
    arguments: Mapping[str, Any] | None = None
    arguments_digest: str = ""
    result: Any = None
    result_digest: str = ""
    omitted: Mapping[str, int] = msgspec.field(default_factory=dict)  # what is over the size that is kept -> bytes
    leaves: Mapping[str, str] = msgspec.field(default_factory=dict)  # place -> keyed digest, where no more is kept
    isolation: int | None = None  # of a call: how far its caller was from the gateway (`core/isolation.py`)
    acts_as: str = ""  # whose authority the upstream's calls use
    prompt: str = ""  # keyed digest of the turn's prompt, or `unknown`
    turn: str = ""  # id of the record of that prompt
    tool_use: str = ""  # the client's own id of the call
    facts: Mapping[str, Any] = msgspec.field(default_factory=dict)  # what the decision was made on
    authorised: Mapping[str, str] = msgspec.field(default_factory=dict)  # by whom: a rule's owner, or an approver
    context: Mapping[str, Any] = msgspec.field(default_factory=dict)  # what was read before: see `ports.Turns.before`
    marks: tuple[str, ...] = ()  # keyed digests of what a call of a tainted session wrote: ids, paths, lines
    carried: tuple[Mapping[str, Any], ...] = ()  # argument values that stood in one of those outputs
    detail: str = ""
    timings_us: Mapping[str, int] = msgspec.field(default_factory=dict)
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @property
    def called(self) -> str:
        """`upstream/tool`, or the name alone where nothing offers it; empty for what calls nothing."""
        return f"{self.upstream}/{self.tool}" if self.upstream and self.tool else self.tool
