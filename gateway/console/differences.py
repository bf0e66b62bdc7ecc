"""What differs between two texts, in pieces that a page marks. Pure, and bounded: what is too long is not compared."""

import re
from difflib import SequenceMatcher, unified_diff
from typing import NamedTuple

MOST_WORDS = 600  # of both texts together
MOST_LINES = 400
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(NamedTuple):
    """A part of a text: `same`, `gone` from the former one, or `new`."""

    mark: str
    text: str


def pieces(before: str, after: str) -> tuple[Piece, ...]:
    """Both texts in one, word by word; empty where they are too long to compare well."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if len(old) + len(new) > MOST_WORDS:
        return ()
    found: list[Piece] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(Piece("same", "".join(old[a:b])))
            continue
        if a < b:
            found.append(Piece("gone", "".join(old[a:b])))
        if c < d:
            found.append(Piece("new", "".join(new[c:d])))
    return tuple(found)


def lines(before: str, after: str) -> tuple[Piece, ...]:
    """The lines of a unified diff without its head; empty where the texts are too long."""
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > MOST_LINES:
        return ()
    marks = {"+": "new", "-": "gone", " ": "same", "@": "place"}
    told = list(unified_diff(old, new, n=2, lineterm=""))[2:]
    return tuple(Piece(marks[line[:1]], line if line[:1] == "@" else line[1:]) for line in told)
