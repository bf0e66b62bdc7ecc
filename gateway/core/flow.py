"""Where the values of calls come from: good origins of a session, and which values have one. No I/O here.

Proof is positive: a value is found whole, or as a delimited token, in what the user or a trusted source said. What an
untrusted output said is never an origin, however it is spelled, so nothing here looks at one.
"""

import html
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from gateway.core.model import Effect, SinkKind, Surface, Tier, Tool, Traced
from gateway.core.sinks import UNPARSED, ValueList, canonical_sink, leaves, parsed, sinks_of

PROMPT, ARGUMENT, READ_ARGUMENT, TRUSTED, LISTED = "prompt", "argument", "read-argument", "trusted", "list"
SHORTEST = 4  # characters of a value that can be proven by being found
MOST_TEXT = 1024 * 1024  # characters of one text that are looked at
MOST_PAYLOAD = 128 * 1024  # characters of a call's payload in which links are looked for; the rest has no origin
MOST_FORMS = 60_000  # forms of the tokens of one text that are indexed
MOST_KEPT = 8 * 1024 * 1024  # bytes, about, that one session's origins take; half of it goes when it is exceeded
MOST_VALUES = 256  # values of one call that are traced; the rest has no origin
MOST_SEARCHED = 32 * 1024 * 1024  # characters that are searched through for one call's values of several words
MOST_PLACE = 200  # characters of the place of a value
_TOKEN = 100  # bytes that a token takes in the index, about
_TEXT = 150  # bytes that a text takes besides its characters, about
_HARMLESS = 8  # characters that arguments of fewer than SHORTEST may carry together

_BITS = {PROMPT: 1, ARGUMENT: 2, TRUSTED: 4, READ_ARGUMENT: 8}
_PAID = 16  # an argument that was an amount or an account: no other argument proves one
_WORDS = {bits: frozenset(word for word, bit in _BITS.items() if bits & bit) for bits in range(16)}
_FIGURES = frozenset({SinkKind.AMOUNT, SinkKind.ACCOUNT})
_MONEY = frozenset({PROMPT, ARGUMENT, LISTED})
_GONE = frozenset({PROMPT, ARGUMENT})
_MOST = frozenset({PROMPT, ARGUMENT, READ_ARGUMENT, TRUSTED, LISTED})
GOOD: Mapping[Effect, frozenset[str]] = {
    Effect.READ: _MOST,  # of a read that fetches: as egress
    Effect.WRITE: _MOST,
    Effect.EGRESS: _MOST,
    Effect.MONEY: _MONEY,
    Effect.PRIVILEGE: _MONEY,
    Effect.DESTRUCTIVE: _GONE,
    Effect.CREDENTIAL: _GONE,
}
"""What is a good origin for an effect, besides what a person vouches for."""
_PROMPT_ALWAYS = frozenset({Effect.READ, Effect.WRITE, Effect.EGRESS})  # also at isolation level 0

_BREAKS = "\"'`<>()[]{},;|\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
_APART = str.maketrans(dict.fromkeys(_BREAKS, " "))
ENDS = ".:!?\u2026"  # what ends a sentence, and belongs to no token
_BEFORE = frozenset(f"{_BREAKS} :=")
_BEHIND = frozenset(f"{_BREAKS} ")
_FOLDS = frozenset({SinkKind.EMAIL, SinkKind.HOST})
_FOLDED = UNPARSED  # before a form that is found in any case: only a value that may be spelled so looks there
_IBAN = r"[A-Za-z]{2}\d{2}(?:[A-Za-z0-9]{11,30}|(?:[ -][A-Za-z0-9]{4}){2,7}(?:[ -][A-Za-z0-9]{1,3})?)"
_ACCOUNT = re.compile(rf"(?<![\w-])(?<!\d\.)(?:{_IBAN}|\d(?:[ -]?\d){{5,33}})(?![\w-])")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ -]\d\d.*)?")
_IN_GROUPS = r"\d{1,3}(?:,\d{3}){1,12}(?:\.\d+)?(?!\w|,\d)"
_GROUPED = re.compile(rf"(?<![\w.]){_IN_GROUPS}")
_AMOUNT = re.compile(rf"(?<![\w.])(?:{_IN_GROUPS}|\d+\.\d+(?!\w))")
_SCHEME = re.compile(r"^(?:[A-Za-z]+:)?[/\\]*")
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe0e\ufe0f")  # besides what Unicode calls formats
_OTHER = re.compile(r"[^\x00-\x7f]+")
_CODE = re.compile(r"&#?\w{1,32};")
_URL = r"[^\s\"'`<>()\[\]{}|\\]"
_LINKS = (  # what looks like one, its kind, and what each holds
    (
        re.compile(rf"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{{1,15}}://(?:\[[0-9A-Fa-f:.]+\]{_URL}*|{_URL}+)"),
        SinkKind.URL,
        "://",
    ),
    (re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), SinkKind.EMAIL, "@"),
    (
        re.compile(rf"(?<![\w:])(?:(?:https?|ftp|file|smb):[/\\]*|[/\\]{{2}})(?:[\w-]+\.)+[\w-]+{_URL}*", re.I),
        SinkKind.URL,
        "",
    ),
    (
        re.compile(rf"(?<![\w/@.-])(?:www\.{_URL}+|(?:[\w-]+\.)+[A-Za-z]{{2,24}}(?::\d{{1,5}})?[/?#]{_URL}*)"),
        SinkKind.URL,
        "",
    ),
    (re.compile(rf"(?<![\w.-])(?:{_IBAN}|\d{{9,34}}|\d{{4}}(?:[ -]\d{{4}}){{2,7}})(?![\w-])"), SinkKind.ACCOUNT, ""),
)


class Origins:
    """The good origins of one session, indexed once when they are read; `find` costs the same however much that was.

    Bounded by `MOST_KEPT`: what is forgotten proves nothing any more.
    """

    __slots__ = ("_index", "_left", "_texts", "size")

    def __init__(self) -> None:
        self._index: dict[int, int] = {}  # hash of a token -> in which origins it stands
        self._texts: deque[tuple[int, str]] = deque()
        self._left = MOST_SEARCHED
        self.size = 0  # bytes, about

    def add(self, origin: str, value: Any, kind: SinkKind = SinkKind.TEXT) -> None:
        """What `value`, a text or any JSON, says is from this origin; an argument is of a kind."""
        bit = _PAID if origin == ARGUMENT and kind in _FIGURES else _BITS[origin]
        for _, text in parsed(value):
            self._take(bit, " ".join(unicodedata.normalize("NFKC", text[:MOST_TEXT]).split()))
        if self.size > MOST_KEPT:
            self._forget()

    def join(self, other: "Origins") -> None:
        """Take over what another index holds, which was made apart."""
        index, before = self._index, len(self._index)
        for key, bits in other._index.items():
            index[key] = index.get(key, 0) | bits
        self._texts.extend(other._texts)
        self.size += other.size - _TOKEN * (len(other._index) + before - len(index))
        if self.size > MOST_KEPT:
            self._forget()

    def forget(self) -> None:
        """Forget everything."""
        self._index, self.size = {}, 0
        self._texts.clear()

    @property
    def words(self) -> frozenset[str]:
        """Which origins something is known from."""
        held = {_BITS[ARGUMENT] if bit == _PAID else bit for bit, _ in self._texts}
        return frozenset(word for word, bit in _BITS.items() if bit in held)

    def begin(self) -> None:
        """The values of another call are looked for: `MOST_SEARCHED` counts anew."""
        self._left = MOST_SEARCHED

    def find(self, kind: SinkKind, value: str, leaf: str) -> frozenset[str]:
        """In which origins a value stands, whole or as a delimited token; `leaf` is how the call spells it."""
        if len(value) < SHORTEST or not self._index or value.startswith(UNPARSED):
            return _WORDS[0]
        spelled = " ".join(unicodedata.normalize("NFKC", leaf).split())
        bits = self._bits(value, kind) | (self._bits(spelled, kind) if spelled != value else 0)
        if kind in _FIGURES:
            bits = bits & ~(_BITS[ARGUMENT] | _BITS[READ_ARGUMENT]) | (_BITS[ARGUMENT] if bits & _PAID else 0)
        return _WORDS[bits & 15]

    def _bits(self, form: str, kind: SinkKind) -> int:
        words, folds = _words(form), _folds(kind, form)
        if words == [form]:
            return self._at(form, folds=folds)
        if not all(self._at(word.rstrip(ENDS) or word, folds=folds) for word in words):
            return 0
        wanted, bits = form.casefold() if folds else form, 0
        for bit, text in self._texts:
            if bits & bit:
                continue
            self._left -= len(text)
            if self._left < 0:
                break
            if _stands(text.casefold() if folds else text, wanted):
                bits |= bit
        return bits

    def _at(self, form: str, *, folds: bool) -> int:
        bits = self._index.get(hash(form), 0)
        if folds:
            lower = form.casefold()
            bits |= self._index.get(hash(lower), 0) | self._index.get(hash(_FOLDED + lower), 0)
        return bits

    def _take(self, bit: int, text: str) -> None:
        if not text:
            return
        index, before = self._index, len(self._index)
        for form in islice(_indexed(text), MOST_FORMS):
            key = hash(form)
            index[key] = index.get(key, 0) | bit
        self._texts.append((bit, text))
        self.size += _TEXT + 2 * len(text) + _TOKEN * (len(index) - before)

    def _forget(self) -> None:
        """Keep the newest half, and of that first what no trusted source said."""
        newest = sorted(enumerate(self._texts), key=lambda each: (each[1][0] == _BITS[TRUSTED], -each[0]))
        self.forget()
        for _, (bit, text) in newest:
            most = _TEXT + 2 * len(text) + _TOKEN * min(2 * len(text), MOST_FORMS)
            if self.size > MOST_KEPT // 2 or (self.size and self.size + most > MOST_KEPT):
                break
            self._take(bit, text)


def unproven(
    tool: Tool, values: Sequence[Traced], isolation: int, lists: Mapping[str, ValueList]
) -> tuple[Traced, ...]:
    """The values of a call in a tainted session that have no origin that is good enough for its effect."""
    good = GOOD[tool.effect]
    if isolation == 0 and tool.effect not in _PROMPT_ALWAYS:
        good -= {PROMPT}
    return tuple(
        value for value in values if not (value.origins & good or (LISTED in good and _listed(tool, value, lists)))
    )


def bare(tool: Tool, values: Sequence[Traced]) -> bool:
    """Whether a call of tier high says nowhere where its effect lands: it is unproven as a whole."""
    return tool.tier is Tier.HIGH and all(value.payload for value in values)


def weighs(tool: Tool) -> bool:
    """Whether the origins of a call's values matter: it is above tier read, or a read that carries data out."""
    return tool.tier is not Tier.READ or tool.labels.fetches


def trace(tool: Tool, arguments: Mapping[str, Any], origins: Origins) -> tuple[Traced, ...]:
    """Where a call's effect lands, and the links, addresses and account numbers in what it sends or pays for; each with
    the good origins that it was found in.
    """
    found: list[Traced] = []
    origins.begin()
    for sink in sinks_of(tool, arguments):
        value = sink.value
        if value[:1] == UNPARSED and sink.path[-1] == sink.leaf and sink.leaf.isidentifier():
            continue  # the name of a field, as `email` in `[{"email": ...}]`
        where = origins.find(sink.kind, value, sink.leaf) if len(found) < MOST_VALUES else _WORDS[0]
        found.append(Traced(sink.argument, placed(sink.path), sink.kind, value, where))
    if (tool.effect in (Effect.EGRESS, Effect.MONEY) or tool.labels.fetches) and tool.surface is Surface.TOOLS:
        left = MOST_PAYLOAD
        for name in tool.labels.payload:
            for path, leaf in leaves(arguments.get(name), (name,)):
                left -= len(leaf)
                if left < 0:  # nobody looked at the rest: it has no origin
                    found.append(Traced(name, placed(path), SinkKind.TEXT, UNPARSED, _WORDS[0], payload=True))
                    return tuple(found)
                for kind, link in links(leaf):
                    form = canonical_sink(kind, link) or UNPARSED + link
                    where = origins.find(kind, form, link) if len(found) < MOST_VALUES else _WORDS[0]
                    found.append(Traced(name, placed(path), kind, form, where, payload=True))
    return tuple(found)


def carries_proven(tool: Tool, arguments: Mapping[str, Any], origins: Origins, lists: Mapping[str, ValueList]) -> bool:
    """Whether everything that a call said has a good origin, so that its output says nothing of somebody else's.

    What is too short to be proven passes while all of it together is too short to say anything.
    """
    short = 0
    origins.begin()
    for name, kind, leaf in _carried(tool, arguments):
        form = canonical_sink(kind, leaf)
        if form is not None and len(form) < SHORTEST:
            short += len(form)
        elif form is None or not (origins.find(kind, form, leaf) or _in_list(tool, name, form, lists)):
            return False
    return short <= _HARMLESS


def _carried(tool: Tool, arguments: Mapping[str, Any]) -> Iterator[tuple[str, SinkKind, str]]:
    """All that a call says, each under its argument: the values, and the names that the caller made up."""
    sinks, declared = tool.labels.sinks or {}, _declared(tool)
    for name, value in arguments.items():
        if name not in declared:
            yield name, SinkKind.TEXT, name
        if not isinstance(value, bool):
            yield from ((name, sinks.get(name, SinkKind.TEXT), leaf) for _, leaf in leaves(value))


def _declared(tool: Tool) -> set[str]:
    """The arguments that a tool's definition or its label names."""
    labels, schema, listed = tool.labels, tool.definition.get("inputSchema"), tool.definition.get("arguments")
    described = schema.get("properties") if isinstance(schema, Mapping) else None
    names = {*(labels.sinks or ()), *labels.payload, *labels.inert}
    names.update(described if isinstance(described, Mapping) else ())
    of_prompt = listed if isinstance(listed, list) else ()
    return names.union(str(each.get("name")) for each in of_prompt if isinstance(each, Mapping))


def links(text: str) -> Iterator[tuple[SinkKind, str]]:
    """The links, mail addresses and account numbers in a text, each as it stands there but for characters that don't
    show. A bare name of a host is none: it can't be told from that of a file.
    """
    if "&" in text:  # as HTML spells it; without its semicolon a code is none
        text = _CODE.sub(lambda code: html.unescape(code[0]), text)
    text = unicodedata.normalize("NFKC", text)
    if not text.isascii():
        text = _OTHER.sub(lambda chars: "".join(filter(_shows, chars[0])), text)
    taken = bytearray(len(text))
    for pattern, kind, mark in _LINKS:
        for match in pattern.finditer(text) if mark in text else ():
            start, end = match.span()
            if any(taken[start:end]):
                continue
            taken[start:end] = b"\x01" * (end - start)
            link = match[0].rstrip(f"{ENDS},;")
            yield kind, link if kind is not SinkKind.URL or "://" in link else f"http://{_SCHEME.sub('', link, 1)}"


def _shows(char: str) -> bool:
    return unicodedata.category(char) != "Cf" and char not in _UNSEEN


def placed(path: tuple[str | int, ...]) -> str:
    """Where a value stands, as `to[0].address`; the first `MOST_PLACE` characters of it."""
    told = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return told.removeprefix(".")[:MOST_PLACE]


def _listed(tool: Tool, value: Traced, lists: Mapping[str, ValueList]) -> bool:
    return not value.payload and _in_list(tool, value.argument, value.value, lists)


def _in_list(tool: Tool, argument: str, value: str, lists: Mapping[str, ValueList]) -> bool:
    named = lists.get(tool.labels.known.get(argument, ""))
    return named is not None and not value.startswith(UNPARSED) and named.holds(value)


def _words(text: str) -> list[str]:
    """The tokens of a text; `1,234.50` is one of them, and not two."""
    if "," in text:
        text = _GROUPED.sub(lambda match: match[0].replace(",", ""), text)
    return text.translate(_APART).split()


def _indexed(text: str) -> Iterator[str]:
    """The forms under which what stands in a text is found."""
    for token in set(_words(text)):
        yield token
        if not (token.isalnum() and token.islower()):
            yield from _forms(token)
    yield from _numbers(text)


def _forms(token: str) -> Iterable[str]:
    """The spellings under which a token is found: its own, without what ends a sentence, and canonical."""
    token = token.rstrip(ENDS) or token
    if "://" in token:  # the case of its path counts
        return {token, canonical_sink(SinkKind.URL, token) or token}
    forms = {token}
    if ":" in token or "=" in token:  # `to:bob@example.com`
        forms.add(re.split("[:=]", token)[-1])
    elif "/" in token:
        forms.add(canonical_sink(SinkKind.PATH, token) or token)
    folded = {form.casefold() for form in forms}
    if "@" in token and not token.isascii():
        folded.add(canonical_sink(SinkKind.EMAIL, token) or token)
    return forms | {_FOLDED + form for form in folded - forms}


def _folds(kind: SinkKind, form: str) -> bool:
    """Whether a value is the same in another case: an address or a host, or words of letters alone, as a sentence may
    begin with one; not what may name a file or an object.
    """
    return kind in _FOLDS or (kind is SinkKind.TEXT and form.replace(" ", "").isalpha())


def _numbers(text: str) -> Iterator[str]:
    """Account numbers and amounts as they are compared, whatever stands between their groups."""
    if not any(map(str.isdigit, text)):
        return
    for match in _ACCOUNT.finditer(text):
        if _DATE.fullmatch(match[0]):
            continue
        if (account := canonical_sink(SinkKind.ACCOUNT, match[0])) is not None:
            yield account
    for match in _AMOUNT.finditer(text):
        if (amount := canonical_sink(SinkKind.AMOUNT, match[0].replace(",", ""))) is not None:
            yield amount


def _stands(text: str, wanted: str) -> bool:
    """Whether a value of several words stands in a text with nothing of a word next to it."""
    at = text.find(wanted)
    while at >= 0:
        rest = text[at + len(wanted) : at + len(wanted) + 4].lstrip(ENDS)
        if (at == 0 or text[at - 1] in _BEFORE) and (not rest or rest[0] in _BEHIND):
            return True
        at = text.find(wanted, at + 1)
    return False
