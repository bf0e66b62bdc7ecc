"""Texts of a result that say its structured content once more: what was redacted there is redacted in them alike.

No I/O here, and no proof: what comes out is looked at again by `screen`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.canon import canonical

MOST = 10_000  # items of a list that are looked for one by one
_INDENT = re.compile(r"[\[{]\r?\n( +|\t+)\S")
_TIGHT = re.compile(r'[\[{]\s*"(?:[^"\\]|\\.)*"(?::|,)\S')
WIDER = 4  # times the size that a text may have once it is redacted
_HEAD = 4_096  # characters from which the style of a text is told


def mirrored(before: Any, after: Any) -> Any:
    """The redacted result, in which each text block that said the structured content, or a part of it, says it still.

    A text mirrors the whole, the one value of an object that has no other (as SDKs wrap a result), or an item of that
    value where it is a list. The very same object where none does, or the structured content was not changed.
    """
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    old, new = before.get("structuredContent"), after.get("structuredContent")
    was, blocks = before.get("content"), after.get("content")
    if new is old or not isinstance(was, list | tuple) or not isinstance(blocks, list | tuple):
        return after
    parts = {sealed: new_part for old_part, new_part in _parts(old, new) if (sealed := _sealed(old_part)) is not None}
    told = [_told(block, now, parts) for block, now in zip(was, blocks, strict=True)]
    return after if all(one is now for one, now in zip(told, blocks, strict=True)) else {**after, "content": told}


def _parts(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """What a text may mirror, with what became of it; the whole is last, for it counts where several are alike."""
    if isinstance(old, Mapping) and isinstance(new, Mapping) and len(old) == len(new) == 1:
        inner, told = next(iter(old.values())), next(iter(new.values()))
        if isinstance(inner, list | tuple) and isinstance(told, list | tuple) and len(inner) <= MOST:
            yield from zip(inner, told, strict=False)
        yield inner, told
    yield old, new


def _sealed(value: Any) -> bytes | None:
    try:
        return canonical(value)
    except ValueError:
        return None


def _told(was: Any, now: Any, parts: Mapping[bytes, Any]) -> Any:
    """A block with its text from the redacted part that it mirrored."""
    text = was.get("text") if isinstance(was, Mapping) and was.get("type") == "text" else None
    if not isinstance(text, str) or not isinstance(now, Mapping):
        return now
    plain, value = _sealed(text) or b"", _parsed(text)
    sealed = b"" if value is None else _sealed(value) or b""
    if isinstance(parts.get(plain), str):
        said = parts[plain]  # a text that stands there as it is
    elif sealed in parts:
        said = _dumped(parts[sealed], text)
    else:
        return now
    return now if said == now.get("text") else {**now, "text": said}


def _parsed(text: str) -> Any:
    """The object or array that a text is the JSON of, else None."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _dumped(value: Any, like: str) -> str:
    """JSON in the style of a text: its indentation, its spaces, its escapes."""
    head = like[:_HEAD]
    indented = _INDENT.match(head)
    tight = indented is None and _TIGHT.match(head) is not None
    if indented and (said := _laid_out(value, like, indented[1])):
        return said
    return json.dumps(value, ensure_ascii=like.isascii(), separators=(",", ":") if tight else None)


def _laid_out(value: Any, like: str, indent: str) -> str:
    """Indented JSON; empty where that is far longer than the text was, which then only began so."""
    left, parts = WIDER * (len(like) + _HEAD), list[str]()
    for part in json.JSONEncoder(ensure_ascii=like.isascii(), indent=indent).iterencode(value):
        parts.append(part)
        left -= len(part)
        if left < 0:
            return ""
    return "".join(parts)
