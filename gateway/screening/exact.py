"""The exact search: every secret that the gateway itself holds, and its honeytokens, plain and in their encodings.

No vendor's shapes here (the engine has those), and nothing is read from configuration: secrets are told by `know`.
"""

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind
from msgspec.structs import replace

from gateway.core.model import Act, Finding, Grade
from gateway.core.render import LimitError, render
from gateway.core.screen import Screening, screen
from gateway.core.secrets import GATEWAY_SECRET, Pattern, Span, identity, parts, patterns, region, weakness
from gateway.core.views import look, plain

VIEWED = 4 * 1024  # bytes of one value whose views are looked at here and now
MOST_DFA = 64 * 1024  # bytes of patterns
MOST_PASSING = 100  # secrets of signed-in browsers that are known at a time
LARGEST = 16 * 1024 * 1024  # bytes of one value in which the places of what was found are looked for
_PREFIX = b"wgc_"  # of bearer tokens of clients (`gateway/tokens.py`)
_TOKEN = re.compile(rb"wgc_[A-Za-z0-9_-]{43}")


class _Known(NamedTuple):
    """What is known of a secret: the name under which it was told first, and the kind of its findings."""

    name: str
    kind: str


class KnownSecrets:
    """Known secrets, compiled to one automaton when it is first needed after a change.

    `ours` says of a text in the shape of a client's token whether it is one; only hashes of those are kept.
    """

    def __init__(self) -> None:
        self.ours: Callable[[str], bool] = lambda token: False
        self._known: dict[str, _Known] = {}  # by the secret
        self._passing: deque[str] = deque()
        self._left_out: dict[str, str] = {}
        self._longest = 0
        self._compiled: tuple[BytesAhoCorasick, tuple[tuple[Pattern, bytes, str], ...]] | None = None

    def __repr__(self) -> str:
        return f"KnownSecrets({len(self._known)} known, {len(self._left_out)} left out)"

    def __len__(self) -> int:
        return len(self._known)

    @property
    def left_out(self) -> dict[str, str]:
        """Names of values that are not searched for, and why (`shorter than 8 characters`, `of low entropy`...)."""
        return dict(self._left_out)

    @property
    def longest(self) -> int:
        """Bytes of the longest secret; 0 where none is known."""
        if self._compiled is None:
            self._compile()
        return self._longest

    def know(self, name: str, value: str, kind: str = GATEWAY_SECRET) -> None:
        """Search for a value from now on, and for the credential inside it (after `Bearer`, in a URL)."""
        weak = {part: weakness(part) for part in parts(value)}
        for part, why in weak.items():
            if not why and part not in self._known:
                self._known[part] = _Known(name, kind)
                self._compiled = None
        if all(weak.values()) and name:
            self._left_out[name] = weak[value]

    def know_for_now(self, name: str, value: str) -> None:
        """As `know`, for a secret that is made again and again: of all of those the latest `MOST_PASSING` are known."""
        self.know(name, value)
        self._passing.append(value)
        if len(self._passing) > MOST_PASSING:
            self._known.pop(self._passing.popleft(), None)
            self._compiled = None

    def find(self, data: bytes) -> list[Span]:
        """Every occurrence, as exact spans; an encoded one covers the whole encoded run."""
        spans = self._tokens(data) if _PREFIX in data else []
        if not self._known:
            return spans
        automaton, owners = self._compiled or self._compile()
        covered: dict[bytes, int] = {}  # where the last run ends that is told for a secret: once is enough
        for number, start, end in automaton.find_matches_as_indexes(data):
            pattern, secret, kind = owners[number]
            if pattern.region:
                if end <= covered.get(secret, 0):
                    continue
                start, end = region(data, start, end)
                covered[secret] = end
            spans.append(Span(start, end, kind, secret, exact=True))
        return spans

    def carried(self, value: Any, sealed: bytes, fingerprint: Callable[[bytes], str]) -> tuple[Finding, ...]:
        """What of it stands in a JSON value, whose canonical bytes are `sealed`: as findings that block, with places
        where they can be told. Views are looked at where the value is small: for larger ones that takes a thread.
        """
        spans = self.find(sealed)
        try:
            small = len(sealed) <= VIEWED
            if not spans and self._known and small and (_held(sealed) or not plain(sealed)):
                spans = look(render(value, media=True, limit=LARGEST).data, self.find)
            if not spans:
                return ()
            how = Screening(partial(look, find=self.find) if small else self.find, fingerprint, media=True)
            placed = screen(value, how, LARGEST).findings
        except LimitError:
            placed = ()
        told = {one.fingerprint for one in placed}
        unplaced = {fingerprint(identity(span.secret)): span.kind for span in spans}
        bare = [Finding(kind, "", print_, exact=True) for print_, kind in unplaced.items() if print_ not in told]
        return tuple(replace(one, grade=Grade.EXACT, act=Act.BLOCKED) for one in (*placed, *bare))

    def name_of(self, wanted: str, fingerprint: Callable[[bytes], str]) -> str:
        """The name of the secret with this fingerprint; empty for none."""
        for secret, known in list(self._known.items()):
            if fingerprint(identity(secret.encode("utf-8", "replace"))) == wanted:
                return known.name
        return ""

    def _tokens(self, data: bytes) -> list[Span]:
        return [
            Span(found.start(), found.end(), GATEWAY_SECRET, found[0], exact=True)
            for found in _TOKEN.finditer(data)
            if self.ours(found[0].decode("ascii"))
        ]

    def _compile(self) -> tuple[BytesAhoCorasick, tuple[tuple[Pattern, bytes, str], ...]]:
        owners = tuple(
            (pattern, secret.encode("utf-8", "replace"), known.kind)
            for secret, known in list(self._known.items())
            for pattern in patterns(secret)
        )
        self._longest = max((len(secret) for _, secret, _ in owners), default=0)
        texts = [pattern.data for pattern, *_ in owners]
        # The table of a DFA takes some 100 bytes for each byte of a pattern, and is searched three times as fast.
        kind = Implementation.DFA if sum(map(len, texts)) <= MOST_DFA else Implementation.ContiguousNFA
        compiled = BytesAhoCorasick(texts, MatchKind.LeftmostLongest, implementation=kind), owners
        self._compiled = compiled
        return compiled


def _held(sealed: bytes) -> bool:
    """Whether a value may hold text blocks, which are read as one, or blobs, which are decoded."""
    return b"text" in sealed or b"blob" in sealed
