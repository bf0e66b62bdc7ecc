"""A person's answer on a card, as the gateway takes it: what a choice needs to be told, and what is wrong with that.

Pure, and light: no terminal and no socket here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

USUAL = 60  # minutes that a grant stands where nobody says another time
GRANTS = ("arguments", "pattern", "session", "vouch")
CHOICES = {
    "once": "once, exactly this call",
    "arguments": "these exact arguments, for a while",
    "pattern": "this pattern, for a while",
    "session": "this tool in this session, for a while",
    "vouch": "vouch for a value in this session",
    "edit": "edit the arguments",
    "deny": "deny, with a reason",
    "bar": "deny, and block the tool for this session",
}
"""Every choice in words, in the order in which they stand on a card."""
KEYS = dict(zip(CHOICES, "axpsvedb", strict=True))
"""The key of each choice: allow, exact arguments, pattern, session, vouch, edit, deny, block."""

_DURATION = re.compile(r"(\d{1,5})\s*(m|min|h|d)?")
_MINUTES = {"m": 1, "min": 1, "h": 60, "d": 1440}

View = Mapping[str, Any]


def minutes(text: str) -> int | None:
    """The minutes that a text such as `15m`, `2h` or `1d` means; a bare number is of minutes. None if it is none."""
    found = _DURATION.fullmatch(text.strip().lower())
    count = int(found[1]) * _MINUTES[found[2] or "m"] if found else 0
    return count or None


def duration(count: int) -> str:
    """Minutes as one writes them: `45m`, `2h`."""
    return f"{count // 60}h" if count % 60 == 0 else f"{count}m"


def picked(text: str, values: Sequence[str]) -> list[str] | None:
    """The values that numbers from 1 pick; nothing picks the only one. None if that is not what they do."""
    if not text.strip():
        return list(values) if len(values) == 1 else None
    numbers = re.split(r"[\s,]+", text.strip())
    if not all(number.isdecimal() and 0 < int(number) <= len(values) for number in numbers):
        return None
    return [values[int(number) - 1] for number in dict.fromkeys(numbers)]


def arguments_of(text: str) -> dict[str, Any]:
    """Edited arguments; raises `ValueError`, in words, for what is no JSON object without repeated keys."""
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("these arguments are nested too deep") from None
    except json.JSONDecodeError as problem:
        raise ValueError(f"these arguments are no JSON: line {problem.lineno}, column {problem.colno}") from None
    if not isinstance(found, dict):
        raise ValueError("expected an object of arguments")  # noqa: TRY004 - the text is wrong, not a type of ours
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in these arguments")
    return found


def refusal(view: View, choice: str) -> str:
    """Why a choice can't be made on this card, in words; empty where it can."""
    if view["state"] != "waiting":
        return f"this is settled already: {view['state']}"
    if choice in view["choices"]:
        return ""
    return f"this can't be chosen here: {CHOICES[choice]}"
