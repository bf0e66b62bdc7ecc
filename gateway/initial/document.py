"""upstreams.toml with more upstreams in it: a new one, or one that is there, whose words and comments stay. No I/O."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Table

from gateway.initial.nouns import INHERITED, Hidden, Planned, Value

References = Mapping[tuple[str, str], str]
HEAD = """\
# The servers behind the gateway, as `wardgate init` wrote them; yours to edit. `wardgate check` tells what is wrong,
# docs/reference.md lists every key.
"""


def begin(state: str) -> str:
    """The text of a file with no upstreams yet; `state` is empty for the platform's own folder."""
    document = tomlkit.parse(HEAD)
    document.add("schema", 1)
    gateway = tomlkit.table()
    gateway.add("policies", "policies")
    if state:
        gateway.add("state", state)
    document.add("gateway", gateway)
    return tomlkit.dumps(document)


def extended(
    text: str,
    planned: Sequence[Planned],
    references: References,
    owner: str,
    remarks: Mapping[str, str],
    clients: Sequence[str] = (),
    signing_in: Collection[str] = (),
) -> str:
    """The text with these upstreams and clients added at its end; `remarks` are comments before an upstream's table,
    `signing_in` those that ask for OAuth.
    """
    parts = [text.rstrip("\n") + "\n"]
    for one in planned:
        lines = [f"# {line}" for line in (_found(one), remarks.get(one.name, "")) if line]
        keys = upstream(one, references, owner)
        if one.name in signing_in and one.launch.url and not one.launch.headers:
            keys["oauth"] = tomlkit.inline_table()
        parts.append("\n".join([*lines, f"[upstreams.{one.name}]", _dumped(keys)]))
    for name in clients:
        parts.append(f"[clients.{name}]\n" + _dumped({"owner": owner}))
    return "\n".join(parts)


def upstream(one: Planned, references: References, owner: str) -> dict[str, Any]:
    """The keys of one upstream's table."""
    launch = one.launch
    keys: dict[str, Any] = {}
    if launch.url:
        keys["url"] = launch.url
        if launch.env:
            keys["env"] = _table(one.name, launch.env, references)
        if launch.headers:
            keys["headers"] = _table(one.name, launch.headers, references)
    else:
        keys["command"] = launch.command
        if launch.args:
            keys["args"] = list(launch.args)
        if launch.env:
            keys["env"] = _table(one.name, launch.env, references)
        keys["inherit_env"] = [name for name in INHERITED if name not in launch.env]
        if launch.cwd:
            keys["cwd"] = launch.cwd
        if launch.workspace:
            keys["per"] = "workspace"
    keys["owner"] = owner
    return keys


def _table(name: str, values: Mapping[str, Value], references: References) -> InlineTable:
    table = tomlkit.inline_table()
    for key, value in values.items():
        table.append(key, references[name, value.slot] if isinstance(value, Hidden) else value)
    return table


def _dumped(keys: Mapping[str, Any]) -> str:
    table: Table = tomlkit.table()
    for key, value in keys.items():
        table.append(key, value)
    return tomlkit.dumps(table)


def _found(one: Planned) -> str:
    """Where it was found, as a comment: names are quoted, for a file's name may hold anything."""
    return "from " + ", ".join(json.dumps(f"{source.client}: {source.name}") for source in one.sources)
