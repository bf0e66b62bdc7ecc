"""What a person should know of a definition before it is accepted: hidden characters, look-alike names, orders to the
model, other upstreams' tools named in it. No I/O here.

Remarks for people: they hold nothing and let nothing pass. What encodings or look-alike letters hide is read too.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.core.folded import plain_letters
from gateway.core.secrets import Span
from gateway.core.views import look

MOST = 12  # remarks on one definition
LONGEST = 64 * 1024  # characters of one text that are read
QUOTED = 80  # characters of a text that are shown
_FORMATS = frozenset(("Cf", "Cc", "Co", "Cs", "Zl", "Zp"))
_JOINERS = "\u200c\u200d"
_PLAIN = "\t\n\r"
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_TAGS = range(0xE0000, 0xE0080)
_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
# Words that tell a model what to do beyond calling the tool, or to keep something from its user.
_ORDERS = re.compile(
    rb"(?i)\b(?:ignore|disregard|forget|override)\b[^.\n]{0,30}\b(?:previous|prior|above|earlier|other|all|system|any)\b"
    rb"[^.\n]{0,20}\b(?:instruction|prompt|rule|message|tool|direction|polic)"
    rb"|\b(?:do not|don't|never|without)\b[^.\n]{0,20}\b(?:tell|telling|mention|mentioning|inform|informing|reveal"
    rb"|revealing|notify|notifying|show|showing|ask|asking)\b[^.\n]{0,20}\b(?:user|human|person|anyone|anybody)"
    rb"|\b(?:before|prior to|after|whenever|every time|each time)\b[^.\n]{0,20}\b(?:using|calling|invoking"
    rb"|you (?:use|call)|any (?:other )?tool|this tool)\b[^.\n]{0,60}"
    rb"\b(?:you must|must|always|first|read|call|send|include)\b"
    rb"|\b(?:you|assistant|the model|the agent|ai)\b,? (?:must|should|shall|need to|have to|are required to)"
    rb" (?:always|first|never|also|now|instead|read|send|call|include|pass)\b"
    rb"|\balways (?:call|invoke|run|send|include|forward|cc|bcc)\b"
    rb"|\b(?:instead of|rather than|in place of) (?:using |calling )?(?:the |any )?(?:other|another)\b[^.\n]{0,20}"
    rb"\btools?\b"
    rb"|</?(?:important|system|instructions?|secret|critical|hidden|admin)>"
    rb"|\b(?:system prompt|conversation history|chain of thought|hidden instruction|secretly"
    rb"|silently (?:call|copy|forward|include|read|send|upload))\b"
    rb"|\b(?:pass|send|put|include|provide)\b[^.\n]{0,40}\b(?:contents? of|api key|private key|password|credential"
    rb"|\.ssh|\.env|id_rsa)"
)


def remarks(definition: Any, upstream: str, others: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What is to be said of a definition (or a text), one line each, at most `MOST` of them; nothing for most.

    `others` are the names of other upstreams' tools, by upstream: their own names.
    """
    found: dict[str, None] = {}
    known = _distinct(upstream, others)
    for place, text in _texts(definition):
        for remark in _of_text(text[:LONGEST], known):
            found[f"{place}: {remark}" if place else remark] = None
        if len(found) >= MOST:
            break
    return tuple(found)[:MOST]


def look_alikes(name: str, upstream: str, others: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Which tools of other upstreams are called the same, or so that a reader takes one for the other."""
    skeleton, found = _skeleton(name), list[str]()
    for other, names in others.items():
        if other == upstream:
            continue
        for each in names:
            if each == name:
                found.append(f"`{other}` has a tool of the same name")
            elif _skeleton(each) == skeleton:
                found.append(f"its name looks like `{each}` of `{other}`")
    return tuple(found[:MOST])


def _of_text(text: str, known: Mapping[str, str]) -> Iterator[str]:
    if hidden := _hidden(text):
        yield f"hidden characters: {hidden}"
    read = plain_letters(text)
    if read != text and any(map(_mixed, re.findall(r"\w+", text))):
        yield f"letters of several scripts in one word, read as `{_short(read)}`"
    quoted = dict.fromkeys(quote for each in dict.fromkeys((text, read)) for quote in _orders(each))
    for quote in list(quoted)[:3]:
        yield f"it tells the model what to do: `{quote}`"
    words = set(re.findall(r"[A-Za-z0-9][\w./-]*[A-Za-z0-9]", read))
    for word in sorted(words & known.keys()):
        yield f"it names `{word}`, a tool of `{known[word]}`"


def _orders(text: str) -> Iterator[str]:
    """Orders in a text and in what its escapes and encodings say."""

    def find(data: bytes) -> Sequence[Span]:
        return [Span(one.start(), one.end(), "order", one[0]) for one in _ORDERS.finditer(data)]

    for span in look(text.encode("utf-8", "replace"), find):
        yield _short(span.secret.decode("utf-8", "replace"))


def _hidden(text: str) -> str:
    """Which characters don't show, by what they are; joiners between letters of a script that needs them are fine."""
    if text.isascii() and text.replace("\t", "").replace("\n", "").replace("\r", "").isprintable():
        return ""
    kinds: dict[str, int] = {}
    for at, char in enumerate(text):
        if kind := _kind(char, text[at - 1 : at]):
            kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def _kind(char: str, before: str) -> str:
    code = ord(char)
    if char in _BIDI:
        return "that turn the direction of text"
    if code in _TAGS:
        return "of the invisible tag alphabet"
    if code in _SELECTORS[1] or (code in _SELECTORS[0] and before.isascii()):
        return "variation selectors"
    if char in _JOINERS:
        return "" if before and not before.isascii() else "of no width"
    if char in _PLAIN or unicodedata.category(char) not in _FORMATS:
        return ""
    return "of no width" if unicodedata.category(char) == "Cf" else "control or private characters"


def _mixed(word: str) -> bool:
    """Whether letters of Latin and another alphabet that looks like it stand in one word."""
    scripts = {unicodedata.name(char, "").partition(" ")[0] for char in word if char.isalpha()}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN"}) > 1 or "MATHEMATICAL" in scripts


def _skeleton(name: str) -> str:
    """A name as a hasty reader sees it: without case and dividers, with letters and digits that look alike as one."""
    plain = re.sub(r"[._/-]", "", plain_letters(name)).replace("I", "l").lower()
    return plain.replace("0", "o").replace("1", "l").replace("rn", "m").replace("vv", "w").replace("5", "s")


def _distinct(upstream: str, others: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    """The names that are no plain words, of other upstreams: own names, and as they are exposed."""
    mine = set(others.get(upstream, ()))
    found: dict[str, str] = {}
    for other, names in others.items():
        if other == upstream:
            continue
        for name in names:
            found[f"{other}__{name}"] = other
            if name not in mine and (re.search(r"[_./-]|[a-z][A-Z]|\d", name)):
                found[name] = other
    return found


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a definition with its place, keys of objects included; without recursion."""
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:
        place, item = todo.pop()
        if isinstance(item, str):
            yield place, item
        elif isinstance(item, Mapping):
            for key, part in reversed(list(item.items())):
                todo.append((f"{place}.{key}" if place else str(key), part))
                if not str(key).isidentifier():
                    todo.append((place, str(key)))
        elif isinstance(item, list | tuple):
            todo.extend((f"{place}[{number}]", part) for number, part in reversed(list(enumerate(item))))


def _short(text: str) -> str:
    line = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return line if len(line) <= QUOTED else f"{line[:QUOTED]}…"
