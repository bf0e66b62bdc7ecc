"""The names under which tools and prompts are exposed to clients. No I/O here.

The same names always come out the same. They are routed by a map, and never taken apart again (`protocol.md`, names).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

LONGEST = 49  # the longest that clients put before it is 15 (`core/clients.py`), and 64 is what many allow
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_CUT = LONGEST - 9  # room for `_` and 8 hexadecimal digits


def expose(upstream: str, names: Sequence[str], bare: bool = False) -> Mapping[str, str]:
    """Map an upstream's distinct names to the names that clients see: `<upstream>__<name>`, or bare as they are.

    At most 49 characters from `[A-Za-z0-9_-]`; a hash is added to names that were cut, or became equal to another.
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
