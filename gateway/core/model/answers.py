"""What comes back from upstreams, what is released to callers, and what is recorded of both. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from gateway.core.model.decisions import Approval
from gateway.core.model.vocabulary import Kind, Reason, Release, Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret that was found: its kind, where, and a keyed fingerprint. Never the secret."""

    kind: str
    place: str  # e.g. content[0].text, structuredContent.user.token
    fingerprint: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Screened:
    """What may leave: the value to release (None: withheld), what was found, and why it was withheld."""

    release: Release
    value: Mapping[str, Any] | None
    findings: tuple[Finding, ...] = ()
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The upstream answered with a result."""

    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """The upstream answered with a JSON-RPC error."""

    code: int
    message: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """The call was provably not written to the upstream."""

    detail: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The call was written and no answer came: its outcome is unknown (reason: UPSTREAM_LOST or UPSTREAM_TIMEOUT)."""

    reason: Reason
    detail: str


Reply = Result | Failure | Unsent | Lost


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is the upstream's (screened) result or error."""

    value: Mapping[str, Any] | None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The call waits for a person: ask again with `handle` (modern), or tell the model that it is pending (None)."""

    approval: Approval
    handle: str | None = None
    ask: bool = False  # put the question to the client's user on this round


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is released: a policy refusal, an approval that ended, or something broke. `text` is for the model."""

    call: str
    verdict: Verdict
    reason: Reason
    text: str
    approval: Approval | None = None


Answer = Done | Held | Refused


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
    result_digest: str = ""
    detail: str = ""
    timings_us: Mapping[str, int] = msgspec.field(default_factory=dict)
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)
