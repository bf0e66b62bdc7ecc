"""What of a record is searched, and whether it holds the words that somebody looks for. No I/O here.

An index may say where to look (`words`, `Search.expression`); what is found is only what `Search.holds` says.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from gateway.core.canon import canonical
from gateway.core.model import Record

MOST = 256 * 1024  # characters of one record that are searched
LONGEST = 64  # characters of a word that an index holds
MOST_ASKED = 32  # words that an index is asked for: what is found is looked through for all of them

_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # scripts without spaces: each sign is a word
_LETTER = rf"[^\W_{_SINGLE}]"
_WORD = re.compile(rf"[{_SINGLE}]|{_LETTER}+")


class Search(Struct, frozen=True):
    """Parts of words that all have to occur in a record: folded, each from a word's beginning on."""

    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Search":
        """What a text asks for: its parts between spaces, without the signs around them; no part asks for nothing."""
        found = (_trimmed(part) for part in fold(text).split())
        return cls(tuple(dict.fromkeys(part for part in found if part)))

    def holds(self, record: Record) -> bool:
        """Whether all parts occur in a record."""
        text = text_of(record)
        return all(part in text and re.search(_beginning(part) + re.escape(part), text) for part in self.parts)

    def may_stand_in(self, body: bytes) -> bool:
        """Whether a record may hold all parts, by the bytes of its body: False is certain, and quickly found."""
        plain = [part for part in self.parts if part.isascii()]
        if not plain or not body.isascii():
            return True
        lowered = body.lower()
        return all(word.encode("ascii") in lowered for part in plain for word in _WORD.findall(part))

    def expression(self, values: Iterable[str]) -> str:
        """What to ask an FTS5 index for: all words of all parts, and of whole `values` that stand in the record too.

        Every record that holds them all is found by it, and others may be. Empty where it would find about everything.
        """
        asked = dict.fromkeys(f'"{word}"' for value in values for word in sorted(words(fold(value))))
        for part in self.parts:
            *before, last = _WORD.findall(part)
            asked.update(dict.fromkeys(f'"{word[:LONGEST]}"' for word in before))
            if len(last) > 1 or not re.match(_LETTER, last):  # a letter alone begins words of about every record
                asked[f'"{last[:LONGEST]}"*'] = None
        return " AND ".join(list(asked)[:MOST_ASKED])


def text_of(record: Record) -> str:
    """The text of a record in which is searched, folded: a line for each value, `MOST` characters at most."""
    lines, room = list[str](), MOST
    for line in _lines(_searched(record)):
        lines.append(line[:room])
        room -= len(line) + 1
        if room <= 0:
            break
    return fold("\n".join(lines))


def fold(text: str) -> str:
    """Text as it is compared: without case, and without the differences that Unicode calls compatible."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def words(folded: str) -> frozenset[str]:
    """The words of folded text: letters and digits in a row, each cut to `LONGEST` characters."""
    return frozenset(word[:LONGEST] for word in _WORD.findall(folded))


def _searched(record: Record) -> tuple[Any, ...]:
    """Ids, names, reasons and contents; no digests, times and timings. Every filter of `Query` is among them."""
    return (
        *(record.kind.value, record.id, record.principal, record.client, record.claimed, record.session, record.trace),
        *(record.upstream, record.tool, record.owner, record.tier, record.effect, record.verdict, record.reason),
        *(record.rules, record.approval, record.outcome, record.release, record.acts_as, record.turn, record.tool_use),
        *(record.authorised, [(found.kind, found.place) for found in record.findings], record.detail, record.extra),
        *(record.arguments, record.result),
    )


def _lines(values: Iterable[Any]) -> Iterator[str]:
    """All texts and numbers in values, names of members included, in order."""
    todo = [iter(values)]
    while todo:
        for value in todo[-1]:
            if isinstance(value, str):
                yield value
            elif isinstance(value, Mapping):
                todo.append(iter([each for member in value.items() for each in member]))
                break
            elif isinstance(value, list | tuple):
                todo.append(iter(value))
                break
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield canonical(value).decode("ascii")  # as it stands in the body
        else:
            todo.pop()


def _trimmed(part: str) -> str:
    """A part from its first letter or digit to its last; empty without any."""
    found = list(_WORD.finditer(part))
    return part[found[0].start() : found[-1].end()] if found else ""


def _beginning(part: str) -> str:
    """What has to stand before a part: no letter, unless it begins with a sign that is a word of its own."""
    return rf"(?<!{_LETTER})" if re.match(_LETTER, part) else ""
