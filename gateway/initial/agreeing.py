"""Whether what stands on the disk is what counts, and the digests that let what was added to it count. Accepts nothing.

A person who adds to it says so of the addition alone: what somebody edited there before stays held.
"""

from collections.abc import Sequence
from enum import Enum

from gateway.agreed import POLICY, UPSTREAMS, Agreed
from gateway.config import Settings, policy_of, policy_texts
from gateway.core.canon import digest


class Standing(Enum):
    """How the files on the disk stand to what was accepted."""

    FRESH = "fresh"  # no gateway has run here: the first takes what it sees
    ACCEPTED = "accepted"
    EDITED = "edited"


def standing(settings: Settings) -> Standing:
    """How these files stand; raises `ConfigurationError` for policies that can't be used, and `StateError`."""
    agreed = Agreed(settings.gateway.state)
    marks = [agreed.mark(what) for what in (POLICY, UPSTREAMS)]
    if marks == [None, None]:
        return Standing.FRESH
    now = revisions(settings)
    same = all(mark is not None and mark.revision == revision for mark, revision in zip(marks, now, strict=True))
    return Standing.ACCEPTED if same else Standing.EDITED


def revisions(settings: Settings) -> Sequence[str]:
    """The digests of the policies and of the file of upstreams, as they are on the disk now."""
    policy = policy_of(policy_texts(settings), settings.known())
    return policy.revision, digest({settings.file.name: settings.text})
