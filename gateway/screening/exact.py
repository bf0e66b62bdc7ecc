"""The exact search: every secret that the gateway itself hands to upstreams, in its simple encodings.

No vendor's shapes here (the engine has those), and nothing is read from configuration: secrets are told by `know`.
"""

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from gateway.core.secrets import GATEWAY_SECRET, Pattern, Span, parts, patterns, region, weakness


class KnownSecrets:
    """Known secrets, compiled to one automaton when it is first needed after a change."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}  # secret -> the name under which it was told first
        self._left_out: dict[str, str] = {}
        self._compiled: tuple[BytesAhoCorasick, tuple[tuple[Pattern, bytes], ...]] | None = None

    def __repr__(self) -> str:
        return f"KnownSecrets({len(self._known)} known, {len(self._left_out)} left out)"

    def __len__(self) -> int:
        return len(self._known)

    @property
    def left_out(self) -> dict[str, str]:
        """Names of values that are not searched for, and why (`shorter than 8 characters`, `of low entropy`...)."""
        return dict(self._left_out)

    def know(self, name: str, value: str) -> None:
        """Search for a value from now on, and for the credential inside it (after `Bearer`, in a URL)."""
        weak = {part: weakness(part) for part in parts(value)}
        for part, why in weak.items():
            if not why and part not in self._known:
                self._known[part] = name
                self._compiled = None
        if all(weak.values()) and name:
            self._left_out[name] = weak[value]

    def find(self, data: bytes) -> list[Span]:
        """Every occurrence, as exact spans; an encoded one covers the whole encoded run."""
        if not self._known:
            return []
        automaton, owners = self._compiled or self._compile()
        spans: list[Span] = []
        for number, start, end in automaton.find_matches_as_indexes(data):
            pattern, secret = owners[number]
            if pattern.region:
                start, end = region(data, start, end)
            spans.append(Span(start, end, GATEWAY_SECRET, secret, exact=True))
        return spans

    def _compile(self) -> tuple[BytesAhoCorasick, tuple[tuple[Pattern, bytes], ...]]:
        owners = tuple(
            (pattern, secret.encode("utf-8", "replace")) for secret in list(self._known) for pattern in patterns(secret)
        )
        compiled = BytesAhoCorasick([pattern.data for pattern, _ in owners], MatchKind.LeftmostLongest), owners
        self._compiled = compiled
        return compiled
