"""What a policy says is done about signals: `[signals]` of its files. No I/O here, and nothing is decided."""

from collections.abc import Iterable, Mapping

from gateway.core.problems import nearest
from gateway.core.section import Section
from gateway.core.signals import FIXED, Response, Signal

_WORDS = {signal.value: signal for signal in Signal if signal not in FIXED}


def read_responses(section: Section) -> dict[Signal, Response]:
    """The `[signals]` of a file: what is done about each signal that it names."""
    said: dict[Signal, Response] = {}
    for word in section.keys:
        found = section.choice(word, Response, Response.NOTE)
        if word in _WORDS:
            said[_WORDS[word]] = found
        elif word in {signal.value for signal in FIXED}:
            section.problem(word, "everybody is told of it and its session is held, whatever a policy says", word)
        else:
            section.problem(word, f"unknown signal `{word}`", word, nearest(word, _WORDS))
    return said


def strictest(all_said: Iterable[Mapping[Signal, Response]]) -> dict[Signal, Response]:
    """What several files say together: of each signal the most that one of them says."""
    found: dict[Signal, Response] = {}
    for said in all_said:
        for signal, response in said.items():
            found[signal] = max(response, found.get(signal, response), key=lambda one: one.rank)
    return found
