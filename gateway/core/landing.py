"""Where a recorded call landed, and which data it read: recipients, hosts, folders, accounts, repositories, tables.

Pure: a record and the labels of its tool in, short values out. A value that was redacted is none, and nothing is kept.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gateway.core.canon import canonical
from gateway.core.model import Effect, Labels, Record, SinkKind, Tier
from gateway.core.sinks import canonical_sink

MOST = 32  # things of one call; what is beyond is not looked at
MOST_LEAVES = 256  # values of one call that are looked at
LONGEST = 1_024  # characters of a value that is looked at
STEPS = 4  # of a path that tell one folder from another
REDACTED = "[REDACTED:"

_SQL = re.compile(
    r"\b(?:from|join|into|update|table)\s+[\"'`\[]?([A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)?)", re.IGNORECASE
)
_NAMES = {
    **dict.fromkeys(("repo", "repository", "repo_path", "repo_name", "project", "project_id"), "repository"),
    **dict.fromkeys(("table", "table_name", "tables", "collection", "dataset"), "table"),
    **dict.fromkeys(("mailbox", "mail_folder", "mailbox_id", "label", "inbox", "channel", "channel_id"), "mailbox"),
    **dict.fromkeys(("path", "paths", "file", "file_path", "filename", "directory", "dir", "folder", "root"), "folder"),
}
_OWNERS = ("owner", "org", "organization", "namespace", "group")
_QUERIES = ("sql", "query", "statement")


class Thing(NamedTuple):
    """Where an effect landed or what was read: its kind in a word, and the value; `secret` where only a digest of it
    is on the record.
    """

    kind: str
    value: str
    secret: bool = False


def sinks_of(record: Record, labels: Labels) -> tuple[Thing, ...]:
    """The recipients, hosts, folders and accounts at which the effect of a call lands, each once, `MOST` at most.

    Of an argument that no label gives a kind, what reads as a whole address, URL or absolute path counts.
    """
    free = {*labels.payload, *labels.inert}
    kinds = labels.sinks or {}
    if record.arguments is None:
        return tuple(dict.fromkeys(islice(_digests(record.leaves, kinds), MOST)))
    told = (
        (argument, kinds.get(argument, SinkKind.TEXT), leaf)
        for argument, leaf in _leaves(record.arguments)
        if argument not in free
    )
    found = (thing for _, kind, leaf in told if (thing := _landed(kind, leaf, record.effect)) is not None)
    return tuple(islice(dict.fromkeys(found), MOST))


def scopes_of(record: Record) -> tuple[Thing, ...]:
    """The folders, repositories, tables, mailboxes and hosts that a read is of, each once, `MOST` at most."""
    if record.method == "resources/read":
        return tuple(filter(None, (_resource(record.tool),)))
    if record.method or record.tier != Tier.READ.value or record.arguments is None:
        return ()
    whose = next((str(record.arguments[name]) for name in _OWNERS if record.arguments.get(name)), "")
    found = (thing for argument, leaf in _leaves(record.arguments) for thing in _read(argument.lower(), leaf, whose))
    return tuple(islice(dict.fromkeys(found), MOST))


def _landed(kind: SinkKind, text: str, effect: str) -> Thing | None:
    """What one value of a sink names; an id is a recipient where something is sent to it."""
    if kind is SinkKind.TEXT:
        return _guessed(text)
    value = canonical_sink(kind, text)
    if value is None:
        return None
    match kind:
        case SinkKind.EMAIL | SinkKind.HOST | SinkKind.ACCOUNT:
            return Thing(kind.value, value)
        case SinkKind.URL:
            return Thing("host", urlsplit(value).hostname or value)
        case SinkKind.PATH:
            return Thing("folder", _folder(value))
        case SinkKind.ID if effect in (Effect.EGRESS.value, Effect.MONEY.value, Effect.PRIVILEGE.value):
            return Thing("recipient", value)
        case _:
            return None


def _guessed(text: str) -> Thing | None:
    """What a value of no kind reads as: an address, a URL, an absolute path, or nothing."""
    if "@" in text and "/" not in text and (mail := canonical_sink(SinkKind.EMAIL, text)) is not None:
        return Thing("email", mail)
    if "://" in text:
        url = canonical_sink(SinkKind.URL, text)
        return Thing("host", urlsplit(url).hostname or url) if url is not None else None
    if text.startswith(("/", "~/")) and (path := canonical_sink(SinkKind.PATH, text)) is not None:
        return Thing("folder", _folder(path))
    return None


def _read(argument: str, text: str, whose: str) -> Iterator[Thing]:
    """The data that one value of a read names."""
    kind = _NAMES.get(argument)
    if argument in _QUERIES and (tables := _SQL.findall(text)):
        yield from (Thing("table", table.casefold()) for table in tables)
    elif kind == "repository":
        yield Thing(kind, f"{whose}/{text}" if whose and "/" not in text else text)
    elif kind == "folder":
        path = canonical_sink(SinkKind.PATH, text)
        if path is not None:
            yield Thing(kind, _folder(path))
    elif kind is not None:
        yield Thing(kind, text.casefold())
    elif (guessed := _guessed(text)) is not None and guessed.kind != "email":
        yield guessed


def _resource(uri: str) -> Thing | None:
    """The part of a resource's URI that tells one store of data from another."""
    if not uri or REDACTED in uri or len(uri) > LONGEST:
        return None
    scheme, _, rest = uri.partition("://")
    steps = [step for step in rest.split("?")[0].split("/") if step]
    return Thing("folder", f"{scheme}://{'/'.join(steps[:-1][:STEPS] or steps[:1])}")


def _folder(path: str) -> str:
    """The folder of a file by its first steps: `/home/ada/work/notes` for all that lies below. A last step without a
    dot is a folder itself.
    """
    steps = path.split("/")
    start = 1 if path.startswith("/") else 0
    kept = steps[:-1] if "." in steps[-1] else steps
    return "/".join(kept[: STEPS + start]) or path[:start] or "."


def _leaves(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts and numbers in arguments, each with its top-level argument; none that was redacted or is long."""
    todo = [(name, value) for name, value in reversed(list(islice(arguments.items(), MOST_LEAVES)))]
    looked = 0
    while todo and looked < MOST_LEAVES:
        looked += 1
        name, value = todo.pop()
        match value:
            case str() if value and len(value) <= LONGEST and REDACTED not in value:
                yield name, value
            case int() if not isinstance(value, bool):
                yield name, str(value)
            case Mapping():
                todo.extend((name, part) for part in reversed(list(islice(value.values(), MOST_LEAVES))))
            case list() | tuple():
                todo.extend((name, part) for part in reversed(value[:MOST_LEAVES]))
            case _:
                pass


def _digests(leaves: Mapping[str, str], kinds: Mapping[str, SinkKind]) -> Iterator[Thing]:
    """What a record tells of sinks of which it holds digests alone."""
    for place, digest in leaves.items():
        kind = kinds.get(re.split(r"[.\[]", place, maxsplit=1)[0])
        if kind is not None and kind is not SinkKind.TEXT and kind is not SinkKind.AMOUNT:
            yield Thing(kind.value, digest, secret=True)


def mark(what: str, *parts: str) -> bytes:
    """The bytes of which a keyed digest stands for a thing: no two things have the same."""
    return canonical([what, *parts])
