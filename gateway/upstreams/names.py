"""The names under which tools are exposed (`protocol.md`, names).

Pure: the same tools always get the same names. Names are routed by a map, never taken apart again.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

LONGEST = 50
_LEGAL = re.compile(r"[A-Za-z0-9._/-]{1,128}")
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_CUT = LONGEST - 9  # room for `_` and 8 hexadecimal digits


def is_legal(name: object) -> bool:
    """Whether an upstream's own name for a tool can be exposed at all: 1 to 128 plain characters."""
    return isinstance(name, str) and _LEGAL.fullmatch(name) is not None


def expose(upstream: str, names: Sequence[str], bare: bool = False) -> Mapping[str, str]:
    """Map an upstream's distinct tool names to the names that clients see: `<upstream>__<tool>`, or bare as they are.

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
