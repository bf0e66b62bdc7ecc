"""What an upstream asks people and models in the middle of a call: which of it may be put to them, and how it is shown.

Pure: it asks nobody and decides nothing about policy. What it shows is never taken for the gateway's own words.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from gateway.core.model import ELICIT, QUESTIONS, ROOTS, SAMPLE, Question
from gateway.core.visible import visible

MESSAGE_LIMIT = 2_000  # characters of an upstream's own words
FIELD_LIMIT = 300  # characters of a title, a description, a choice
MOST_FIELDS = 32
MOST_CHOICES = 200
URL_LIMIT = 2_000
_PRIMITIVE = ("string", "number", "integer", "boolean", "array")
# The words of a field that asks for a credential; names are split at case, digits and signs before they are compared.
_SECRET_WORDS = frozenset(
    (
        *("password", "passwd", "passphrase", "passcode", "pwd", "pin", "otp", "totp", "mfa", "secret", "secrets"),
        *("credential", "credentials", "token", "tokens", "apikey", "cvv", "cvc", "csc", "ssn", "iban", "mnemonic"),
        *("cookie", "bearer", "jwt"),
    )
)
_SECRET_PAIRS = re.compile(
    r"\b(api|access|private|secret|ssh|signing|recovery|security|auth(entication|orization)?|one[- ]time|verification"
    r"|login|card|seed|master)[ _-]*(key|keys|code|codes|number|phrase|credentials?|data|token)\b"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def declarable(capabilities: Mapping[str, Any], elicit: str, admits: Callable[[str], bool]) -> Mapping[str, Any]:
    """What of a client's capabilities an upstream may hear of: only what could be put to that client.

    `elicit` is the upstream's key, `admits` says whether policy might let a method through.
    """
    declared: dict[str, Any] = {}
    asked = capabilities.get("elicitation")
    if isinstance(asked, Mapping) and elicit != "block" and admits(ELICIT):
        modes: dict[str, Any] = {"form": {}} if _has_mode(asked, "form") else {}
        if elicit == "url" and _has_mode(asked, "url"):
            modes["url"] = {}
        if modes:
            declared["elicitation"] = modes
    if isinstance(capabilities.get("sampling"), Mapping) and admits(SAMPLE):
        declared["sampling"] = dict(capabilities["sampling"])
    if isinstance(capabilities.get("roots"), Mapping) and admits(ROOTS):
        declared["roots"] = {}
    return declared


def lacking(question: Question, capabilities: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The capabilities that a client would have to declare to be asked this, or None if it has."""
    if question.method == ELICIT:
        mode = str(question.params.get("mode", "form"))
        asked = capabilities.get("elicitation")
        return None if isinstance(asked, Mapping) and _has_mode(asked, mode) else {"elicitation": {mode: {}}}
    name = question.method.partition("/")[0]
    return None if isinstance(capabilities.get(name), Mapping) else {name: {}}


def _has_mode(elicitation: Mapping[str, Any], mode: str) -> bool:
    """Whether a declared elicitation has a mode; without any it means form."""
    return mode in elicitation or (mode == "form" and "url" not in elicitation)


def present(question: Question, upstream: str, elicit: str) -> Question | str:
    """The question as it may be shown, or why it may not be.

    An elicitation stands under our title and over our last line, its own words quoted and bounded; forms that ask for
    credentials or for nothing, and pages that are not https, are not shown. Others pass as they are.
    """
    if question.method != ELICIT:
        return question if question.method in QUESTIONS else "a method that is not relayed"
    params = question.params
    message, mode = params.get("message"), params.get("mode", "form")
    if not isinstance(message, str):
        return "no message"
    if mode == "url":
        return _page(question, message, upstream) if elicit == "url" else "it may ask by forms only"
    if mode != "form":
        return "a mode that is not known"
    schema = params.get("requestedSchema")
    flaw = _unfit(schema)
    if flaw or not isinstance(schema, Mapping):
        return flaw or "no form"
    known = {"mode": "form", "message": _framed(message, upstream), "requestedSchema": schema}
    return Question(question.key, ELICIT, known)


def _page(question: Question, message: str, upstream: str) -> Question | str:
    url = question.params.get("url")
    host = _host(url)
    if not host:
        return "a page that is not plain https"
    shown = {
        "mode": "url",
        "message": _framed(message, upstream, f"It wants to open a page of {host}."),
        "url": url,
        "elicitationId": str(question.params.get("elicitationId", ""))[:FIELD_LIMIT],
    }
    return Question(question.key, ELICIT, shown)


def _host(url: object) -> str:
    """The host of an https address, in ASCII; empty for anything else."""
    if not isinstance(url, str) or len(url) > URL_LIMIT or not url.isascii() or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or "\\" in url:
        return ""
    return parts.hostname if port in (None, 443) else f"{parts.hostname}:{port}"


def _framed(message: str, upstream: str, fact: str = "") -> str:
    """An upstream's words, each line quoted, between a title and a last line of ours."""
    words = message if len(message) <= MESSAGE_LIMIT else message[:MESSAGE_LIMIT] + "…"
    quoted = [f"> {visible(line)}" for line in words.splitlines()]
    title = f"[Wardgate] The server `{upstream}` asks this, not Wardgate and not your client:"
    last = f"— Wardgate: what you answer is sent to `{upstream}`. Never enter passwords, codes or keys here."
    return "\n".join([title, *quoted, *([fact] if fact else []), last])


def _unfit(schema: object) -> str:
    """Why a form may not be shown; empty if it may."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return "no form"
    fields = schema.get("properties")
    if not isinstance(fields, Mapping) or not fields:
        return "a form without fields"
    if len(fields) > MOST_FIELDS:
        return f"a form with more than {MOST_FIELDS} fields"
    for name, field in fields.items():
        if not isinstance(field, Mapping) or field.get("type", "string") not in _PRIMITIVE:
            return "a field that is no text, number, choice or yes and no"
        choices = [item for key in ("enum", "enumNames", "oneOf") if isinstance(item := field.get(key), Sequence)]
        if any(len(item) > MOST_CHOICES for item in choices):
            return f"a field with more than {MOST_CHOICES} choices"
        texts = [name, *(field.get(key) for key in ("title", "description", "format", "pattern"))]
        if any(isinstance(text, str) and (len(text) > FIELD_LIMIT) for text in texts):
            return f"a field with a text over {FIELD_LIMIT} characters"
        if any(isinstance(text, str) and asks_for_secret(text) for text in texts):
            return "a field that looks like one for a credential"
    return ""


def asks_for_secret(text: str) -> bool:
    """Whether a field's name or text looks as if a credential belonged there."""
    words = [word.lower() for word in _WORDS.findall(text)]
    together = " ".join(words)
    return not _SECRET_WORDS.isdisjoint(words) or _SECRET_PAIRS.search(together) is not None
