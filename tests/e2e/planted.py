"""Secrets to plant, an upstream that puts them on every surface, and how they are looked for afterwards.

What is looked for is each secret as it is, in base64 (at each of its three beginnings), in hex, as JSON and as URLs
write it.
"""

import base64
import json
import secrets
import sqlite3
import string
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mcp.client.context import ClientRequestContext
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestFormParams,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
)

from tests.e2e.kit import House, upstream_table

LEAKY = Path(__file__).parents[1] / "servers" / "leaky.py"
RESULTS = (
    *("text", "structured", "embedded", "blob", "link", "meta", "block_meta", "failed", "error", "error_data", "image"),
    *("encoded", "allowed", "asked", "blocked", "two_blocks", "annotated", "hex", "link_meta"),
)
PLANTED = (  # at the upstream
    *(f"result-{name}" for name in RESULTS),
    *("tool-description", "tool-title", "tool-schema", "tool-enum", "tool-argument", "tool-annotation", "tool-meta"),
    *("tool-output", "tool-name", "server-version", "instructions", "progress", "notice", "notice-logger"),
    *("elicit", "elicit-title", "elicit-default", "elicit-description", "elicit-choice", "sample", "sample-system"),
    *("stderr", "stderr-last", "stdout-banner", "updated-uri", "resource-name", "resource-listed", "resource-title"),
    *("resource-meta", "resource-uri", "template-listed", "template-uri", "prompt-listed", "prompt-argument-listed"),
    *("prompt-name", "resource-text", "resource-blob", "resource-error", "resource-error-data", "prompt-description"),
    *("prompt-text", "prompt-resource", "completion", "stderr-start", "list-error"),
)
LABELS = """
upstream = "leaky"
owner = "alice@example.com"
[[tool]]
match = ["allowed"]
effect = "write"
inert = ["*"]
record = "full"
output = { secrets = "allow" }
[[tool]]
match = ["asked"]
effect = "read"
record = "full"
output = { secrets = "ask" }
[[tool]]
match = ["blocked"]
effect = "read"
record = "full"
output = { secrets = "block" }
[[tool]]
match = ["write"]
effect = "write"
inert = ["*"]
[[tool]]
match = ["echo"]
effect = "write"
inert = ["*"]
[[tool]]
match = ["post"]
effect = "egress"
[[tool]]
match = "*"
effect = "read"
record = "full"
[[rule]]
id = "leaky.free"
tools = ["allowed", "echo", "post"]
decide = "allow"
[[rule]]
id = "leaky.held"
resources = "leak://held/*"
decide = "ask"
[[rule]]
id = "leaky.asks"
methods = ["sampling/createMessage", "roots/list"]
decide = "allow"
"""


def fake_token() -> str:
    """A token as a forge gives them, made up for one test."""
    return "gh" + "p_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(36))


def forms(secret: str) -> Iterator[bytes]:
    """The ways in which a secret may be written down."""
    raw = secret.encode()
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode())
    yield json.dumps(secret)[1:-1].encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        yield encoded[4 if shift else 0 : -4]  # without the characters that what stands around it has a part in
        yield base64.urlsafe_b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Where something is stored below a folder: every file, and every value of every table in one."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield path.name, data
        if data.startswith(b"SQLite format 3"):
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                yield from _values(path.name, db)


def _values(name: str, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        with suppress(sqlite3.OperationalError):  # a table of an index that is read through another one only
            for row in db.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    data = value.encode() if isinstance(value, str) else value
                    if isinstance(data, bytes):
                        yield f"{name}: {table}: {data[:300]!r}", data


def found(folder: Path, planted: Mapping[str, str]) -> Mapping[str, list[str]]:
    """The secrets that are at rest, by the surface where they were planted, and where they are."""
    everything = list(contents(folder))
    assert any(name == "record.db" for name, _ in everything)
    return among(everything, planted)


def among(everything: Iterable[tuple[str, bytes]], planted: Mapping[str, str]) -> Mapping[str, list[str]]:
    """The secrets that stand in named bytes in whatever form, by the surface where they were planted."""
    everything = list(everything)
    whole = b"\0".join(data for _, data in everything)  # nearly always there is nothing: looked through once
    rest: dict[str, list[str]] = {}
    for surface, secret in planted.items():
        ways = {form for form in forms(secret) if len(form) > 8}
        if any(way in whole for way in ways):
            rest[surface] = [name for name, data in everything if any(way in data for way in ways)]
    return rest


def records(house: House, kind: str = "") -> list[dict[str, Any]]:
    """The bodies on the record, all or those of a kind, oldest first."""
    with closing(sqlite3.connect(house.state / "record.db")) as db:
        found = db.execute("SELECT body FROM record WHERE kind = ? OR ? = '' ORDER BY seq", (kind, kind)).fetchall()
    return [json.loads(body) for (body,) in found]


class Planted(dict[str, str]):
    """The secrets of one test by surface; a new one for each that is asked for."""

    def __missing__(self, surface: str) -> str:
        made = self[surface] = fake_token()
        return made


def leaking(house: House, planted: Planted, **more: Any) -> House:
    """The house before an upstream that leaks on every surface; `more` is for `House.configure`."""
    plan = (
        house.world / f"secrets-{secrets.token_hex(4)}.json"
    )  # what this upstream offers is another thing in each test
    plan.write_text(json.dumps({surface: planted[surface] for surface in PLANTED}), encoding="utf-8")
    own: dict[str, Any] = {"per": "client", "elicit": "form", "instructions": True}
    table = upstream_table("leaky", [sys.executable, str(LEAKY), str(plan)], **own)
    broken = [upstream_table(mode, [sys.executable, str(LEAKY), str(plan), mode]) for mode in ("gone", "mute")]
    record = "[record]\nsearch = true\n"
    policies = {"leaky": LABELS}
    return house.configure(
        *(table, *broken, record),
        **{"policies": policies, "limits": 'hold = "100ms"', "trust": ["session", "prompt"], "locked": True, **more},
    )


def answering(planted: Planted) -> dict[str, Any]:
    """The callbacks of a client that gives secrets away in whatever it is asked for."""

    async def person(context: ClientRequestContext, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        return ElicitResult(action="accept", content={"x": planted["elicit-answer"]})

    async def model(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
        said = TextContent(type="text", text=f"use {planted['sample-answer']}")
        return CreateMessageResult(role="assistant", content=said, model="m")

    async def folders(context: ClientRequestContext) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=f"file:///home/{planted['roots-answer']}")])

    async def hear(params: Any) -> None:
        pass

    asked = {"elicitation_callback": person, "sampling_callback": model, "list_roots_callback": folders}
    return {**asked, "logging_callback": hear}
