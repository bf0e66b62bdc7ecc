"""What `connect` changes in a client's file, and how exactly that is undone. Works on documents; opens nothing.

Every change remembers what was there. Undoing one leaves alone what somebody else changed since.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.clients.documents import Document, document
from gateway.clients.read import ClientFile, Server, servers_in
from gateway.clients.secrets import without_secrets, written_secrets
from gateway.core.clients import OURS, Client, is_ours, table_key
from gateway.errors import ConfigurationError


class Change(msgspec.Struct, frozen=True):
    """One value of a file. `before`: its text, None where there was none; `after`: what stands there now, None where it
    was taken out, an empty table where one was made for what is in it.
    """

    path: tuple[str, ...]
    before: str | None = None
    after: Any = None


def beside(file: ClientFile) -> tuple[ClientFile, ...]:
    """The scopes that a file holds: its own, and others of the same client in the same file."""
    first = file.place
    return tuple(
        replace(file, place=place)
        for place in file.client.places
        if (place.path, place.moved) == (first.path, first.moved)
    )


def originals(text: str, file: ClientFile, project: Path) -> tuple[Server, ...]:
    """The servers in a file that its client starts or reaches by itself, and that aren't the gateway."""
    opened = document(text, file.client.format, str(file.path))
    found = (server for scope in beside(file) for server in servers_in(opened, scope, project))
    return tuple(server for server in found if server.past)


def register(
    text: str, file: ClientFile, project: Path, entry: Mapping[str, Any], off: Iterable[Server]
) -> tuple[str, tuple[Change, ...]]:
    """The text with the gateway registered and the servers `off` disabled, and what was changed for it.

    Raises `ConfigurationError` for a text that can't be edited so that it can be undone.
    """
    opened, changes = document(text, file.client.format, str(file.path)), list[Change]()
    name, doubles = _our_name(opened, file, project)
    scopes = {scope.place.scope: scope for scope in beside(file)}
    for server in (*off, *doubles):
        key = table_key(file.client, scopes[server.scope].place, str(project))
        changes += _disable(opened, file.client, server, (*key, server.name))
    key = table_key(file.client, file.place, str(project))
    changes += [Change(key[:depth], None, {}) for depth in range(1, len(key) + 1) if not opened.has(key[:depth])]
    path = (*key, name)
    there, made = opened.get(path), dict(entry)
    if isinstance(there, Mapping) and file.place.scope != "project":  # there, whoever wrote the project wrote it
        made = {**there, **_lacking(file.client, there, entry)}
    if there != made:
        changes.append(_put(opened, path, made))
    if not all(_is_text(step) for change in changes for step in change.path):
        raise ConfigurationError(f"`{file.path}` holds a name that is no text (half a character): change it there")
    back, _ = undo(opened.text, file, changes)
    if _plain(back, file) != _plain(text, file):
        raise ConfigurationError(f"`{file.path}` is written in a way that can't be edited safely: do it by hand")
    return opened.text, tuple(changes)


def undo(text: str, file: ClientFile, changes: Sequence[Change]) -> tuple[str, tuple[str, ...]]:
    """The text without our changes, and what was left as somebody else made it since, a line each."""
    opened = document(text, file.client.format, str(file.path))
    gone = [change for change in changes if _entry_gone(opened, file.client, change)]
    entries = dict.fromkeys(".".join(_entry_of(file.client, change)) for change in gone)
    left = [f"`{name}` is not there any more" for name in entries]
    put = [each for each in changes if each.after is not None and each not in gone]
    taken = [each for each in changes if each.after is None and each not in gone]
    for change in (*reversed(put), *taken):  # what was taken out comes back in its order
        name = ".".join(change.path)
        if _stands(opened, file.client, change):
            if change.before is not None:
                opened.put_back(change.path, change.before)
            elif change.after != {} or opened.get(change.path) == {}:
                opened.remove(change.path)
        elif change.after is None:
            left.append(f"`{name}` was put there anew: it stays as it is")
        elif opened.has(change.path):
            left.append(f"`{name}` was changed: it stays as it is")
        else:
            left.append(f"`{name}` is not there any more")
    return opened.text, tuple(left)


def loses(text: str, file: ClientFile, changes: Sequence[Change]) -> bool:
    """Whether something that was there before does not come back by undoing: the entry that it was in is gone."""
    opened = document(text, file.client.format, str(file.path))
    return any(_entry_gone(opened, file.client, change) for change in changes)


def standing(text: str, file: ClientFile, changes: Sequence[Change]) -> tuple[Change, ...]:
    """Those of the changes that nobody changed again since."""
    opened = document(text, file.client.format, str(file.path))
    return tuple(change for change in changes if _stands(opened, file.client, change))


def taken_whole(text: str, file: ClientFile, changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes to a file that is gone: an entry that was disabled comes back from `text`, where it stood before."""
    opened, found = document(text, file.client.format, str(file.path)), dict[tuple[str, ...], Change]()
    for change in changes:
        entry = _entry_of(file.client, change)
        within = file.client.off is not None and len(change.path) > len(entry) and opened.has(entry)
        found |= {entry: Change(entry, opened.copy(entry))} if within else {change.path: change}
    return tuple(found.values())


def joined(old: Sequence[Change], new: Sequence[Change]) -> tuple[Change, ...]:
    """Changes on top of changes, as one: what was there before the first ones is what comes back."""
    again = {change.path: change for change in new if change.after is not None}
    twice = {change.path for change in old if change.after is not None} & set(again)
    first = [replace(change, after=again[change.path].after) if change.path in twice else change for change in old]
    rest = [change for change in new if change.after is None or change.path not in twice]
    tables = [change for change in rest if change.after == {}]  # before what is in them
    return (*tables, *first, *(change for change in rest if change.after != {}))


def strip(text: str, file: ClientFile, project: Path) -> str:
    """The text without any entry of the gateway's, where nobody knows what was there before."""
    opened = document(text, file.client.format, str(file.path))
    for scope in beside(file):
        for server in servers_in(opened, scope, project):
            if server.wardgate:
                opened.remove((*table_key(file.client, scope.place, str(project)), server.name))
    return opened.text


def _disable(opened: Document, client: Client, server: Server, path: tuple[str, ...]) -> Iterator[Change]:
    """Take an entry out; where its client minds a word for it, say that, and take out the secrets only."""
    if client.off is None:
        yield _take(opened, path)
        return
    key, value = client.off
    yield _put(opened, (*path, key), value)
    found = list(written_secrets(server))
    for place, name in found:
        tables = client.header_keys if place == "headers" else (place,)
        paths = [(*path, table, name) for table in tables if place in ("env", "headers")]
        yield from [_take(opened, each) for each in paths if opened.has(each)]
    if "args" in dict(found):
        yield _put(opened, (*path, "args"), [])
    if "url" in dict(found):
        addresses = [(*path, name) for name, _ in client.url_keys if isinstance(opened.get((*path, name)), str)]
        yield from [_put(opened, each, without_secrets(opened.get(each))) for each in addresses]


def _take(opened: Document, path: tuple[str, ...]) -> Change:
    change = Change(path, opened.copy(path))
    opened.remove(path)
    return change


def _put(opened: Document, path: tuple[str, ...], value: Any) -> Change:
    change = Change(path, opened.copy(path) if opened.has(path) else None, value)
    opened.set(path, value)
    return change


def _our_name(opened: Document, file: ClientFile, project: Path) -> tuple[str, tuple[Server, ...]]:
    """The name under which the gateway stands already, or will; and where else it stands."""
    ours = [server for scope in beside(file) for server in servers_in(opened, scope, project) if server.wardgate]
    mine = [server.name for server in ours if server.scope == file.place.scope]
    name = OURS if OURS in mine or not mine else mine[0]
    if name not in mine and opened.has((*table_key(file.client, file.place, str(project)), name)):
        raise ConfigurationError(f"`{file.path}` has a server `{name}` that isn't Wardgate: give it another name there")
    return name, tuple(
        server for server in ours if not server.disabled and (server.scope, server.name) != (file.place.scope, name)
    )


def _lacking(client: Client, there: Mapping[str, Any], entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an entry of ours has to say otherwise; a client that waits longer than it has to may go on so."""
    key = client.timeout.key if client.timeout is not None else ""
    given = there.get(key)
    enough = isinstance(given, int | float) and not isinstance(given, bool) and given >= entry.get(key, 0)
    on = {client.off[0]: not client.off[1]} if client.off is not None and client.off[0] in there else {}
    return {name: value for name, value in {**entry, **on}.items() if not (name == key and enough)}


def _stands(opened: Document, client: Client, change: Change) -> bool:
    """Whether a change is there as it was made, but for what was put beside it into a table or an entry of ours."""
    if change.after is None:
        return not opened.has(change.path) and not _entry_gone(opened, client, change)
    there = opened.get(change.path)
    same = there == change.after or (_is_entry(change.after) and _is_entry(there))
    return opened.has(change.path) and (same or change.after == {})


def _entry_gone(opened: Document, client: Client, change: Change) -> bool:
    """Whether a change was made within an entry that isn't there any more."""
    entry = _entry_of(client, change)
    return client.off is not None and len(change.path) > len(entry) and not opened.has(entry)


def _entry_of(client: Client, change: Change) -> tuple[str, ...]:
    """The path of the entry that a change was made to, by a client that keeps what is disabled."""
    return change.path[: len(client.key) + 1]


def _is_entry(value: Any) -> bool:
    """Whether it is an entry of the gateway's, whatever was changed in it."""
    words = value.get("args") if isinstance(value, dict) else None
    if not isinstance(words, list) or not isinstance(value.get("command"), str):
        return False
    return is_ours(value["command"], [str(word) for word in words])


def _is_text(name: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def is_empty(text: str, file: ClientFile) -> bool:
    """Whether a text says nothing at all."""
    return not _plain(text, file)


def _plain(text: str, file: ClientFile) -> Any:
    return document(text, file.client.format, str(file.path)).get(()) or {}
