"""The question whether an output may leave with what was found in it: what its card tells. No I/O here.

A card tells kinds, places and counts, never a secret. It is about one output, bound by its keyed digest.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from gateway.core.canon import canonical
from gateway.core.model import RELEASE, Act, Approval, Finding, Proof, Reason, Release, Requirement, Screened
from gateway.core.tiers import acted

MOST_PLACES = 50  # places that a card names
WHOLE = "the output"  # where something was found, of a place without a name


def question(row: Approval, screened: Screened, now: datetime) -> Approval:
    """The row that asks about an output, from that of its call: with one approver, who is known by more than the word
    of the agent's own client.
    """
    asked = Requirement(Proof.LOCAL)
    shown = replace(
        row.shown,
        places=(),
        detail="",
        redacted=True,  # so that it isn't approved from a list: what it asks stands on its own card
        named=False,
        carried=(),
        vouchable=(),
        unproven=False,
        preview={},
    )
    return replace(
        row,
        arguments=told(screened.findings),
        arguments_digest=screened.digest,
        asked_digest=screened.digest,
        rule="",
        rules=(),
        reason=Reason.SECRET_FOUND,
        requirement=asked,
        created_at=now,
        expires_at=now + asked.timeout,
        method=RELEASE,
        shown=shown,
        pins={},
        free=(),
    )


def told(findings: tuple[Finding, ...]) -> Mapping[str, Any]:
    """What was found where, and how often: `content[0].text` -> `github-pat, generic-secret (2)`."""
    places: dict[str, Counter[str]] = {}
    for one in findings:
        places.setdefault(one.place or WHOLE, Counter())[one.kind] += 1
    said = {
        place: ", ".join(f"{kind} ({count})" if count > 1 else kind for kind, count in kinds.items())
        for place, kinds in list(places.items())[:MOST_PLACES]
    }
    return {**said, "…": f"{len(places) - MOST_PLACES} places more"} if len(places) > MOST_PLACES else said


def released(screened: Screened) -> Screened:
    """The output whole, as a person said: nothing exact is in it, or it had never been asked about."""
    assert screened.whole is not None
    return replace(
        screened,
        release=Release.FULL,
        value=screened.whole,
        findings=acted(screened.findings, Act.ALLOWED),
        reason=None,
        data=canonical(screened.whole),
        whole=None,
    )
