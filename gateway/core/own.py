"""The gateway's own secrets and its honeytokens where they turn up: in arguments, in outputs. And markers of ours.

No I/O here, and nothing is searched for: what was found is handed in. An exact finding blocks whatever carries it.
"""

import re
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gateway.core.model import Act, Finding, Reason, Release, Screened
from gateway.core.tiers import acted, withheld

HONEYTOKEN = "honeytoken"  # the kind of a finding: a made-up credential that nobody honest reads
MOST_TOLD = 8  # findings that a decision names
_MARKER = re.compile(rb"\[REDACTED:[a-z][a-z0-9-]{0,255}:[0-9a-z]{1,64}\]")


def holds_marker(sealed: bytes) -> bool:
    """Whether canonical arguments hold `[REDACTED:kind:n]`."""
    return b"[REDACTED:" in sealed and _MARKER.search(sealed) is not None


def exact(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The exact ones among findings in arguments, which block the call that carries them."""
    return acted((one for one in findings if one.exact), Act.BLOCKED)


def told(secrets: Iterable[Finding]) -> str:
    """What a decision says of exact secrets in arguments: kinds and places."""
    said = dict.fromkeys(f"{one.kind} in arguments{f'.{one.place}' * bool(one.place)}" for one in secrets)
    return ", ".join(list(said)[:MOST_TOLD])


def argued(redacted: Sequence[Finding], secrets: Sequence[Finding]) -> tuple[Finding, ...]:
    """What a record says was found in arguments: what is exact blocked them, whatever was redacted besides."""
    if not secrets:
        return tuple(redacted)
    return (*secrets, *(one for one in redacted if not one.exact))


def barred(screened: Screened, pieces: tuple[Finding, ...] = ()) -> Screened:
    """What was screened; withheld whole where an exact secret is in it, or is completed by it (`pieces`)."""
    findings = screened.findings + pieces
    if not any(one.exact for one in findings):
        return screened
    nothing = replace(screened, release=Release.WITHHELD, value=None, whole=None, data=b"")
    return replace(nothing, findings=withheld(findings), reason=Reason.EXACT_SECRET)


def honeytokens(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The honeytokens among findings."""
    return tuple(one for one in findings if one.exact and one.kind == HONEYTOKEN)
