"""What `doctor` found, for a person: by group, at 80 columns; what is wrong comes last once more, with what mends it.

It only writes: nothing is looked at here.
"""

import textwrap
from collections.abc import Iterator, Sequence

from gateway.cli.doctor.finding import Finding
from gateway.core.visible import visible

WIDTH = 80
LONGEST = 600  # characters of one text
WIDEST = 24  # columns for what a finding is about; what is longer stands on a line of its own
INDENT = "    "
_RED, _BOLD, _FAINT, _PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"

Found = Sequence[tuple[str, Sequence[Finding]]]


def tell(found: Found, *, colour: bool) -> str:
    """All of it, one line or more each, and a last line that counts."""
    wrong = [each for _, several in found for each in several if each.wrong]
    count = sum(len(several) for _, several in found)
    lines = [line for title, several in found if several for line in _group(title, several, colour)]
    if wrong:
        lines += [_styled("to mend", _BOLD, colour), *(line for each in wrong for line in _mending(each, colour))]
    fine = f"{count - len(wrong)} looked at and fine"
    problems = f"{len(wrong)} problem{'' if len(wrong) == 1 else 's'}"
    return "\n".join([*lines, f"{problems}, {fine}" if wrong else f"no problems: {fine}"])


def _group(title: str, several: Sequence[Finding], colour: bool) -> Iterator[str]:
    yield _styled(title, _BOLD, colour)
    widest = min(WIDEST, max(len(visible(each.what)) for each in several))
    indent = " " * (widest + 4)
    for each in several:
        what, found = _cut(each.what), _cut(each.found)
        if len(what) <= widest:
            yield from _marked(each, f"{what.ljust(widest)}  {found}", indent, colour)
        else:
            yield from _marked(each, what, indent, colour)
            yield from _wrapped(indent, found, indent)
        if each.do and not each.wrong:
            yield from (_styled(line, _FAINT, colour) for line in _wrapped(indent, _cut(each.do), indent))
    yield ""


def _mending(each: Finding, colour: bool) -> Iterator[str]:
    yield from _marked(each, f"{_cut(each.what)}: {_cut(each.found)}", INDENT, colour)
    if each.where:
        yield f"{INDENT}in {_cut(each.where)}"
    yield from _wrapped(INDENT, _cut(each.do), INDENT)
    yield ""


def _marked(each: Finding, text: str, indent: str, colour: bool) -> list[str]:
    """A text on lines, with a mark before it where something is wrong."""
    first, *rest = _wrapped("! " if each.wrong else "  ", text, indent)
    return [_styled(first[:1], _RED, colour) + first[1:] if each.wrong else first, *rest]


def _wrapped(first: str, text: str, rest: str) -> list[str]:
    """A text on lines of 80 columns; a word that is longer, such as a path, stays whole."""
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return lines or [first]


def _cut(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"


def _styled(text: str, style: str, colour: bool) -> str:
    return f"{style}{text}{_PLAIN}" if colour else text
