"""The names and URIs that upstreams may use, and the names under which tools and prompts are exposed.

Pure: the same names always come out the same. Names are routed by a map, never taken apart again; URIs are never
rewritten (`protocol.md`, names).
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

LONGEST = 50
LONGEST_URI = 8 * 1024  # bytes
_LEGAL = re.compile(r"[A-Za-z0-9._/-]{1,128}")
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CUT = LONGEST - 9  # room for `_` and 8 hexadecimal digits
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format (zero-width, direction), surrogates, separators
_JOINERS = "\u200c\u200d"  # some scripts and emoji can't be written without these two


def is_legal(name: object) -> bool:
    """Whether an upstream's own name for a tool or prompt can be exposed at all: 1 to 128 plain characters."""
    return isinstance(name, str) and _LEGAL.fullmatch(name) is not None


def is_uri(text: object) -> bool:
    """Whether it can be an upstream's URI or URI template: a scheme, at most 8 KiB, and nothing that doesn't show."""
    if not isinstance(text, str) or len(text) > LONGEST_URI or _SCHEME.match(text) is None:
        return False
    return not hides(text) and len(text.encode()) <= LONGEST_URI


def hides(text: str, joiners: bool = False) -> bool:
    """Whether a text holds characters that control, hide or turn others; with `joiners`, those of scripts are fine."""
    if text.isascii() and text.isprintable():
        return False
    return any(unicodedata.category(c) in _HIDDEN and not (joiners and c in _JOINERS) for c in text)


def expose(upstream: str, names: Sequence[str], bare: bool = False) -> Mapping[str, str]:
    """Map an upstream's distinct names to the names that clients see: `<upstream>__<name>`, or bare as they are.

    At most 50 characters from `[A-Za-z0-9_-]`; a hash is added to names that were cut, or became equal to another.
    """
    if bare:
        return {name: name for name in names}
    plain = {name: f"{upstream}__{name}" for name in names}
    replaced = {name: _FOREIGN.sub("_", full) for name, full in plain.items()}
    uses = Counter(replaced.values())
    return {
        name: with_hash(upstream, name) if len(text) > LONGEST or (uses[text] > 1 and text != plain[name]) else text
        for name, text in replaced.items()
    }


def with_hash(upstream: str, name: str) -> str:
    """The exposed name with a hash of the full one, for a name that can't stand for itself."""
    full = f"{upstream}__{name}"
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{_FOREIGN.sub('_', full)[:_CUT]}_{digest}"
