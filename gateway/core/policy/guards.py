"""Find where a condition looks values up in a list, and would hold of no values at all. No I/O here.

It goes by the form of the text and tries nothing: what is looked up under a macro needs `size(X) > 0` beside it.
"""

import re
from collections.abc import Iterator

from gateway.core.expressions import CLOSERS, MACROS, OPENERS, Token, receiver, tokens

_SOME = re.compile(r">\d+|(?:>=|==)[1-9]\d*|!=0")

Pieces = tuple[Token, ...]


def unguarded(text: str) -> tuple[str, ...]:
    """The `X` whose values a condition looks up in a list without asking that there are any, in order.

    `size(X) > 0` has to be claimed beside it: of the whole condition, or of that side of an `||`.
    """
    return tuple(dict.fromkeys(_of(tokens(text), frozenset())))


def _of(pieces: Pieces, known: frozenset[str]) -> Iterator[str]:
    """The same of a part that must hold; `known` are those of which something is asked already."""
    ways = _split(pieces, "||")
    if len(ways) > 1 and len(_split(pieces, "?")) == 1:
        for way in ways:
            yield from _of(way, known)
        return
    claims = tuple(_claims(pieces))
    held = known | {some for claim in claims if (some := _some(claim))}
    for claim in claims:
        if len(_split(claim, "||")) > 1 and claim != pieces:
            yield from _of(claim, held)
        elif not _some(claim):
            yield from _looked_up(claim, held)


def _claims(pieces: Pieces) -> Iterator[Pieces]:
    """What a conjunction claims, one by one, without the brackets round its parts."""
    parts = _split(pieces, "&&") if len(_split(pieces, "?")) == 1 and len(_split(pieces, "||")) == 1 else [pieces]
    for part in parts:
        if part and part[0].text == "(" and _end(part) == len(part) - 1:
            yield from _claims(part[1:-1])
        elif len(parts) > 1:
            yield from _claims(part)
        else:
            yield part


def _some(claim: Pieces) -> str:
    """The `X` of `size(X) > 0`, `X.size() >= 1` and their like; empty for another claim."""
    asked, dot = claim[:-2], len(claim) - 6
    if not _SOME.fullmatch(_text(claim[-2:])):
        return ""
    if _text(asked[:2]) == "size(" and _end(asked[1:]) == len(asked) - 2:
        return _text(asked[2:-1])
    method = _text(asked[-4:]) == ".size()" and len(receiver(asked, dot)) == dot
    return _text(asked[:-4]) if method else ""


def _looked_up(claim: Pieces, held: frozenset[str]) -> Iterator[str]:
    """What one claim looks up, and isn't held; an `exists` that is the whole claim fails of no values by itself."""
    for at, token in enumerate(claim):
        if token.text not in MACROS or _text(claim[max(0, at - 1) : at + 2]) != f".{token.text}(":
            continue
        body = claim[at + 2 : at + 1 + _end(claim[at + 1 :])]
        if not any(piece.text == "listed" for piece in body):
            continue
        of = receiver(claim, at - 1)
        whole = len(of) == at - 1 and at + 2 + len(body) == len(claim) - 1 and token.text in ("all", "exists")
        if _text(of) not in held and not _literal(of) and not (whole and token.text == "exists"):
            yield _text(of)
        if whole:
            yield from _of(body[2:], held)
            return


def _literal(of: Pieces) -> bool:
    """Whether it is a list of something that is written out."""
    return _text(of[:1]) in ("[", "{") and _end(of) == len(of) - 1 > 1


def _split(pieces: Pieces, sign: str) -> list[Pieces]:
    """The parts between the signs that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for at, token in enumerate(pieces):
        depth += (token.text in OPENERS) - (token.text in CLOSERS)
        if depth == 0 and token.kind == "sign" and token.text == sign:
            parts.append(pieces[start:at])
            start = at + 1
    return [*parts, pieces[start:]]


def _end(pieces: Pieces) -> int:
    """Where the bracket closes that is the first piece; the last place where it never does."""
    depth = 0
    for at, token in enumerate(pieces):
        depth += (token.text in OPENERS) - (token.text in CLOSERS)
        if depth == 0:
            return at
    return len(pieces) - 1


def _text(pieces: Pieces) -> str:
    return "".join(piece.text for piece in pieces)
