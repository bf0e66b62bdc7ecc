"""What differs between the `[signals]` of two policy files. No I/O here."""

from collections.abc import Iterator

from gateway.core.loosening.nouns import Difference
from gateway.core.model import Tier
from gateway.core.policy import PolicyFile
from gateway.core.signals import Response, Signal, response


def compare_responses(was: PolicyFile, now: PolicyFile) -> Iterator[Difference]:
    """Each signal about which less, more or something for the first time is done; what is done about none by itself
    counts as it is without the file.
    """
    for signal in Signal:
        if was.signals.get(signal) is now.signals.get(signal):
            continue
        before, after = was.signals.get(signal), now.signals.get(signal)
        told = f"[signals] {signal.value}: {_word(before)} -> {_word(after)}"
        pairs = [
            (response(signal, tier.value, was.signals), response(signal, tier.value, now.signals)) for tier in Tier
        ]
        yield Difference(now.name, told, loosens=any(after.rank < before.rank for before, after in pairs))


def _word(said: Response | None) -> str:
    return said.value if said is not None else "(not said)"
