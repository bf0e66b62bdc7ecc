"""The encodings and places in which a fake credential is played: each makes a result of a tool that holds it.

Knows nothing of the gateway. `needles` are the pieces of the result none of which may be left.
"""

import base64
import gzip
import html
import json
import random
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

from tests.evaluation.kinds import Fake

PROSE = (
    "The deployment of the night went through in four minutes.",
    "Two checks were slow; nobody has looked at them since Monday.",
    "See the notes of the last meeting for the open questions.",
    "It was started by hand, since the timer was off.",
)
ZERO_WIDTH = "\u200b"
LEAST = 6  # characters of a piece that counts as one


@dataclass(frozen=True, slots=True)
class Played:
    """A result that holds a secret, and the pieces by which one sees that it still does."""

    result: Mapping[str, Any] = field(repr=False)
    needles: tuple[str, ...] = field(repr=False)


Place = Callable[[Fake, random.Random], Played]


def said(text: str) -> dict[str, Any]:
    """A result of one text."""
    return {"content": [{"type": "text", "text": text}]}


def structured(value: object) -> dict[str, Any]:
    """A result of structured content."""
    return {"content": [], "structuredContent": value}


def _lines(rng: random.Random) -> tuple[str, str]:
    return rng.choice(PROSE), rng.choice(PROSE)


def _around(text: str, rng: random.Random) -> str:
    before, after = _lines(rng)
    return f"{before}\n{text}\n{after}\n"


def _plain(fake: Fake, rng: random.Random) -> Played:
    return Played(said(_around(fake.text, rng)), fake.secrets)


def _frame(shape: str) -> Place:
    """Text in which `KEY` is the key and `VALUE` the value."""

    def place(fake: Fake, rng: random.Random) -> Played:
        text = shape.replace("KEY", fake.key).replace("VALUE", fake.value)
        return Played(said(_around(text, rng)), fake.secrets)

    return place


def _sentence(fake: Fake, rng: random.Random) -> Played:
    before, after = _lines(rng)
    return Played(said(f"{before} It is ({fake.text}), as they said. {after}"), fake.secrets)


def _yaml(fake: Fake, rng: random.Random) -> Played:
    value = json.dumps(fake.value) if "\n" not in fake.value else "|\n" + textwrap.indent(fake.value, "      ")
    text = f"spec:\n  env:\n    {fake.key}: {value}\n    replicas: 3\n"
    return Played(said(text), fake.secrets if "\n" in fake.value else escaped(fake))


def escaped(fake: Fake) -> tuple[str, ...]:
    """The secrets as they stand in a JSON text."""
    return tuple(json.dumps(secret)[1:-1] for secret in fake.secrets)


def _json_value(fake: Fake, rng: random.Random) -> Played:
    value = {"name": "acme", "settings": {fake.key: fake.value, "region": "eu-west-1"}, "notes": rng.choice(PROSE)}
    return Played(structured(value), fake.secrets)


def _json_text(fake: Fake, rng: random.Random) -> Played:
    value = {"name": "acme", "settings": {fake.key: fake.value, "region": "eu-west-1"}}
    return Played(said(json.dumps(value, indent=2)), escaped(fake))


def _json_in_json(fake: Fake, rng: random.Random) -> Played:
    inner = json.dumps({fake.key: fake.value, "region": "eu-west-1"})
    twice = tuple(json.dumps(secret)[1:-1] for secret in escaped(fake))
    return Played(said(json.dumps({"body": inner, "status": 200})), twice)


def _deep(fake: Fake, rng: random.Random) -> Played:
    value: object = {fake.key: fake.value}
    for depth in range(40):
        value = {f"level{depth}": value} if depth % 3 else [value, depth]
    return Played(structured({"root": value}), fake.secrets)


def _list_item(fake: Fake, rng: random.Random) -> Played:
    return Played(structured({"env": [f"{fake.key}={fake.value}", "HOME=/home/app"]}), fake.secrets)


def _name_value(fake: Fake, rng: random.Random) -> Played:
    return Played(structured({"env": [{"name": fake.key, "value": fake.value}]}), fake.secrets)


def _coded(code: Callable[[str, random.Random], str], *, keyed: bool = False) -> Place:
    """The least text, encoded; what the code makes of it must be gone. `keyed`: under its key, structured."""

    def place(fake: Fake, rng: random.Random) -> Played:
        text = code(fake.text, rng)
        needles = (text[LEAST:-LEAST],) if len(text) > 3 * LEAST else (text,)
        if keyed:
            return Played(structured({"settings": {fake.key: text}}), needles)
        return Played(said(_around(f"data {text} end", rng)), needles)

    return place


def _each(code: Callable[[str], str], frame: str = "data {} end") -> Place:
    """Each character encoded alone: the code of each secret must be gone."""

    def place(fake: Fake, rng: random.Random) -> Played:
        text = frame.format(code(fake.text))
        return Played(said(_around(text, rng)), tuple(code(secret) for secret in fake.secrets))

    return place


def _shifted(text: str, rng: random.Random) -> str:
    return base64.b64encode((rng.choice(["- ", "at ", "user=bob ", "x: "]) + text + " and so on").encode()).decode()


def _wrapped(text: str, rng: random.Random) -> str:
    return "\n".join(textwrap.wrap(base64.b64encode(f"{PROSE[1]} {text} {PROSE[2]}".encode()).decode(), 64))


def _split(fake: Fake, rng: random.Random) -> Played:
    secret = fake.secrets[len(fake.secrets) // 2]
    at = fake.text.index(secret) + len(secret) // 2
    before, after = fake.text[:at], fake.text[at:]
    blocks = [{"type": "text", "text": f"{PROSE[0]} {before}"}, {"type": "text", "text": f"{after} {PROSE[1]}"}]
    half = len(secret) // 2
    return Played({"content": blocks}, (secret[:half], secret[half:]))


def _json_coded(code: Callable[[str], str]) -> Place:
    """A JSON object with the key and the value, all of it encoded: the code of each secret must be gone."""

    def place(fake: Fake, rng: random.Random) -> Played:
        text = code(json.dumps({fake.key: fake.value, "region": "eu-west-1"}))
        return Played(said(_around(f"data '{text}' end", rng)), tuple(map(code, escaped(fake))))

    return place


def _resource(fake: Fake, rng: random.Random) -> Played:
    resource = {"uri": "file:///app/.env", "mimeType": "text/plain", "text": f"A=1\n{fake.key}={fake.value}\nB=2\n"}
    return Played({"content": [{"type": "resource", "resource": resource}]}, fake.secrets)


def _blob(fake: Fake, rng: random.Random) -> Played:
    text = f"{PROSE[0]}\n{fake.key}={fake.value}\n"
    blob = base64.b64encode(text.encode()).decode()
    resource = {"uri": "file:///app/.env", "mimeType": "application/octet-stream", "blob": blob}
    needle = base64.b64encode(text.encode()[63:]).decode()[LEAST:-LEAST]
    return Played({"content": [{"type": "resource", "resource": resource}]}, (needle,))


def _error(fake: Fake, rng: random.Random) -> Played:
    return Played({**said(f"connection refused: {fake.text}: permission denied"), "isError": True}, fake.secrets)


def _key(fake: Fake, rng: random.Random) -> Played:
    return Played(structured({"owners": {fake.text: {"count": 3}}}), fake.secrets)


def _meta(fake: Fake, rng: random.Random) -> Played:
    return Played({**said(PROSE[0]), "_meta": {"acme/trace": {fake.key: fake.value}}}, fake.secrets)


def _full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def _hidden(text: str) -> str:
    return ZERO_WIDTH.join(text)


PLAIN: Mapping[str, Place] = {
    "plain in text": _plain,
    "in a sentence": _sentence,
    "env file": _frame("A=1\nKEY=VALUE\nB=2"),
    "quoted assignment": _frame("x = 1\nKEY = 'VALUE'\n"),
    "shell export": _frame('export KEY="VALUE"'),
    "YAML": _yaml,
    "HTTP header": _frame("GET / HTTP/1.1\nHost: example.org\nX-KEY: VALUE\nAccept: */*"),
    "log line": _frame("2026-11-22T14:00:00Z WARN [worker-3] retry with KEY=VALUE, attempt 2"),
    "markdown code": _frame("Run this:\n\n```sh\nKEY=VALUE ./deploy.sh\n```\nThen `KEY=VALUE`, again."),
    "markup": _frame('<li data-n="1"><b>KEY</b>: <code>VALUE</code></li>'),
    "JSON value": _json_value,
    "JSON text": _json_text,
    "JSON in JSON": _json_in_json,
    "deep in structured content": _deep,
    "item of a list": _list_item,
    "name and value": _name_value,
    "text of a resource": _resource,
    "error text": _error,
    "key of an object": _key,
    "_meta": _meta,
}

ENCODED: Mapping[str, Place] = {
    "blob": _blob,
    "split over two blocks": _split,
    "percent": _each(partial(quote, safe=""), "https://example.org/cb?state=1&v={}&z=2"),
    "percent, twice": _each(lambda text: quote(quote(text, safe=""), safe=""), "q={}"),
    "percent, every character": _each(lambda text: "".join(f"%{byte:02X}" for byte in text.encode())),
    "HTML entities": _each(lambda text: "".join(f"&#{ord(char)};" for char in text)),
    "HTML entities in hex": _each(lambda text: "".join(f"&#x{ord(char):x};" for char in text)),
    "named HTML entities": _each(lambda text: html.escape(text).replace("=", "&equals;").replace("_", "&lowbar;")),
    "JSON in an HTML attribute": _json_coded(html.escape),
    "JSON, form-encoded": _json_coded(quote_plus),
    "\\u": _each(lambda text: "".join(f"\\u{ord(char):04x}" for char in text)),
    "\\x": _each(lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode())),
    "base64": _coded(lambda text, rng: base64.b64encode(text.encode()).decode()),
    "base64 under its key": _coded(lambda text, rng: base64.b64encode(text.encode()).decode(), keyed=True),
    "base64url": _coded(lambda text, rng: base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")),
    "base64, other alignment": _coded(_shifted),
    "base64, twice": _coded(lambda text, rng: base64.b64encode(base64.b64encode(text.encode())).decode()),
    "base64, in lines": _coded(_wrapped),
    "hex": _coded(lambda text, rng: text.encode().hex()),
    "hex in capitals": _coded(lambda text, rng: text.encode().hex().upper()),
    "gzip and base64": _coded(
        lambda text, rng: base64.b64encode(gzip.compress(f"{PROSE[0]} {text}".encode(), mtime=0)).decode()
    ),
    "base64 of percent": _coded(lambda text, rng: base64.b64encode(("v=" + quote(text, safe="")).encode()).decode()),
    "zero-width characters": _each(_hidden),
    "full-width characters": _each(_full_width),
}

PLACES = {**PLAIN, **ENCODED}
