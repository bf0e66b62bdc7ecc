"""The names and URIs that upstreams may use; what clients see instead of names stands in `core/exposed.py`.

Pure. URIs are never rewritten (`protocol.md`, names).
"""

import re
import unicodedata

LONGEST_URI = 8 * 1024  # bytes
_LEGAL = re.compile(r"[A-Za-z0-9._/-]{1,128}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
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
