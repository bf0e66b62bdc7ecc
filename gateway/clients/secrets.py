"""Secrets that are written out in a client's file, in an entry or anywhere in its text. Tells where, and never what."""

import json
import re
import tomllib
from collections.abc import Container, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.clients.read import Server
from gateway.config.references import looks_secret, names_secret
from gateway.core.clients import Format

HIDDEN = '"[hidden]"'
_PATHS = ("/", "./", "~")
_REFERENCE = re.compile(r"\$\{[^{}]*\}|(?<!\S)\$[A-Za-z_]\w*(?!\S)")  # what a client replaces by a variable
_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/@:]*:[^\s/@]+@", re.IGNORECASE)
_SECRET_NAME = re.compile(r"passw|pass_?phrase|secret|token|api_?key|credential", re.IGNORECASE)
_HARMLESS_ENDS = frozenset(("dir", "file", "id", "limit", "name", "path", "type", "url"))
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SCHEME = re.compile(r"(?:bearer|basic|token)\s*", re.IGNORECASE)

# What is no secret though a name says so: settings, and ways to sign in under names that end in `auth` or `bearer`.
_SETTINGS = frozenset(("auto", "default", "disabled", "enabled", "false", "latest", "no", "none", "null", "off", "on"))
_SETTINGS |= {"optional", "required", "true", "yes"}
_WAYS = _SETTINGS | {"anonymous", "api", "apikey", "basic", "bearer", "certificate", "cookie", "cram", "digest", "hmac"}
_WAYS |= {"header", "http", "iam", "jwt", "kerberos", "key", "ldap", "login", "md5", "mtls", "negotiate", "ntlm"}
_WAYS |= {"oauth", "oauth1", "oauth2", "oidc", "password", "plain", "saml", "scram", "session", "sha256", "sso", "tls"}
_WAYS |= {"token", "user", "xoauth2"}
_SWITCHES = frozenset(("allow", "disable", "enable", "no", "require", "skip", "use", "with", "without"))

# Names with values inside of one text: `Password=x;`, `?token=x`, `"token": "x"`, `X-Api-Key:x`. A colon also stands in
# prose, so what follows it goes to the end of a line or part. In a value names are looked for, too. All is bounded, as
# below.
_INSIDE = r"""(?:(?:bearer|basic|token)[ \t]+)?(?:"[^"]{0,300}"|'[^']{0,300}'|[^\s;&,"'}]{1,300})"""
_PAIR = re.compile(
    rf"""(?<![\w./@])(?P<name>[a-z_][\w.-]{{0,60}})["']?[ \t]?"""
    rf"""(?:=[ \t]?(?=(?P<equal>{_INSIDE}))|:[ \t]?(?=(?P<told>{_INSIDE})[ \t]*(?:[\r\n,;}}]|\Z)))""",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"[\w.-]+:v?\d+(?:\.\d+)+(?:-[\w.-]+)?")
_FLAG = re.compile(r"--?\w[\w.:-]*")

# What a text consists of: strings and bare words, each a key if its sign follows, comments, and where a list ends. A
# string or comment without an end goes to the end of the text; what is looked for behind a word is bounded, so that
# no text takes the square of its length.
_STRING = r'"[^"\\]*(?:\\(?:.|\Z)[^"\\]*)*(?:"|\Z)'
_BETWEEN = r"(?:\s|/\*[^*]{0,200}\*/|//[^\r\n]{0,200}[\r\n]){0,200}"
_IN_JSON = rf'(?:(?P<text>{_STRING})|(?P<bare>[^\s"{{}}\[\]:,/]+))(?P<key>{_BETWEEN}:)?|(?P<end>\])'
_STRINGS = (
    r'"""[^"\\]*(?:(?:\\(?:.|\Z)|"(?!""))[^"\\]*)*(?:"{3,5}|\Z)',
    r"'''.*?(?:'{3,5}|\Z)",
    r'"[^"\\\n]*(?:\\(?:.|\Z)[^"\\\n]*)*(?:"|(?=\n)|\Z)',
    r"'[^'\n]*(?:'|(?=\n)|\Z)",
)
_IN_TOML = rf"""(?:(?P<text>{"|".join(_STRINGS)})|(?P<bare>[^\s"'{{}}\[\]=,\#]+))(?P<key>[ \t]*=)?|(?P<end>\]|\n)"""
_JSON, _TOML = (re.compile(each, re.DOTALL) for each in (_IN_JSON, _IN_TOML))
_JSON_COMMENTED = re.compile(rf"(?P<comment>//[^\r\n]*|/\*.*?(?:\*/|\Z))|{_IN_JSON}", re.DOTALL)
_TOML_COMMENTED = re.compile(rf"(?P<comment>\#[^\n]*)|{_IN_TOML}", re.DOTALL)


def written_secrets(server: Server) -> Iterator[tuple[str, str]]:
    """Where they are: `env` or `headers` with the name, `args` with the argument's number, from 1, or `url`."""
    for place, values in (("env", server.env), ("headers", server.headers)):
        yield from ((place, name) for name, value in values.items() if seems_secret(value, name))
    for number, (_, name, value) in enumerate(arguments(server.args), 1):
        if seems_secret(value, name):
            yield "args", str(number)
    if _address(server.url):
        yield "url", ""


def seems_secret(value: str, name: str = "") -> bool:
    """Whether a text that stands under a name is a secret that is written out, and no variable that is replaced."""
    rest, referred = _REFERENCE.subn("", value) if "$" in value else (value, 0)
    if not referred:
        return bool(why_secret(value, name))
    return not _SCHEME.fullmatch(rest) and bool(why_secret(rest))


def why_secret(value: str, name: str = "") -> str:
    """Why a text is taken for a secret, in words: by itself, or by the name that it stands under; empty for another."""
    if looks_secret(value, name) or ("://" in value and _PASSWORD.search(value)):
        return "it looks like a secret"
    if _says(name, value):
        return "its name says that it is a secret"
    inside = not _IMAGE.fullmatch(value) and any(_holds(*pair) for pair in _pairs(value))
    return "a name in it says that it is a secret" if inside else ""


def _says(name: str, value: str) -> bool:
    """Whether a name says that what stands under it is a secret, and that is no mere setting."""
    words = [word.casefold() for word in _WORD.findall(name)]
    if not words or words[-1] in _HARMLESS_ENDS:
        return False
    if _SECRET_NAME.search(name) and len(value) > 3 and not value.isdigit():
        return True
    if words[0] in _SWITCHES:
        return False
    if words[-1] in ("auth", "bearer"):
        return "://" not in value and not value.startswith(_PATHS) and not _is_setting(value, _WAYS)
    return not {"pass", "pw"}.isdisjoint((*words[1:], words[-1])) and not _is_setting(value, _SETTINGS)


def _is_setting(value: str, known: Container[str]) -> bool:
    """Whether a value is made of known words and short numbers."""
    words = [word for word in re.split(r"[\W_]+", value.casefold()) if word]
    return all(word in known or (word.isdigit() and len(word) < 3) for word in words) and bool(words or not value)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """The names and values inside of a text."""
    for found in _PAIR.finditer(text) if "=" in text or ":" in text else ():
        yield found["name"], (found["equal"] or found["told"]).strip("\"'")


def _holds(name: str, value: str) -> bool:
    """Whether a value inside of a text is a secret by its name; a `key` alone says nothing there."""
    if name.casefold() == "key" or not (names_secret(name) or _says(name, value)):
        return False
    return not _SCHEME.fullmatch(value) and not _is_setting(value, _SETTINGS)


def arguments(words: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Arguments, each as what stands there in any case (`--flag=`), the name that its value stands under, if any, and
    the value; a path is none by its flag.
    """
    before = ""
    for word in words:
        yield _parted(word, before)
        before = _flag(word)


def _parted(word: str, before: str) -> tuple[str, str, str]:
    flag, equals, rest = word.partition("=")
    if not word.startswith("-"):
        head, name, value = "", before, word
    elif equals and _FLAG.fullmatch(flag):
        head, name, value = f"{flag}=", flag, rest
    else:
        head, name, value = "", "", word
    return head, "" if value.startswith(_PATHS) else name.lstrip("-"), value


def masked(text: str, format: Format) -> str:
    """A client's file with every text hidden that is a secret by itself, by its key, or by the flag before it."""
    return _masked(text, format, _TOML_COMMENTED if format is Format.TOML else _JSON_COMMENTED)


def _masked(text: str, format: Format, signs: "re.Pattern[str]") -> str:
    pieces, at, name, flag = list[str](), 0, "", ""
    for found in signs.finditer(text):
        kind, said = found.lastgroup, found[0]
        pieces.append(text[at : found.start()])
        at = found.end()
        if kind == "end":
            name, flag = ("" if said == "\n" else name), ("" if said == "]" else flag)
        elif kind == "comment":
            said = _masked(said, format, _TOML if format is Format.TOML else _JSON)
        elif kind == "key":
            name, flag = _read(found["text"] or found["bare"], format).rpartition(".")[2], ""
        else:
            value = _read(said, format)
            said = HIDDEN if _hides(value, name, flag, bare=kind == "bare") else said
            flag = _flag(value)
        pieces.append(said)
    return "".join([*pieces, text[at:]])


def _hides(value: str, name: str, flag: str, *, bare: bool) -> bool:
    if bare:  # a number, a word of a comment, or one of a table's name
        return seems_secret(value) or (value.isdigit() and bool(why_secret(value, name)))
    _, called, rest = _parted(value, flag)
    return seems_secret(rest, called) or seems_secret(value, name) or _address(value)


def _flag(word: str) -> str:
    return word if word.startswith("-") and "=" not in word else ""


def _address(url: str) -> bool:
    if "://" not in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    steps = (unquote(step) for step in parts.path.split("/"))
    fields = parse_qsl(parts.query)
    return bool(parts.password) or any(map(seems_secret, steps)) or any(seems_secret(each, key) for key, each in fields)


def without_secrets(url: str) -> str:
    """An address with nothing but where it leads."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


def _read(said: str, format: Format) -> str:
    """The value of a string as it is written, or a bare word."""
    if said[:1] not in ("'", '"'):
        return said
    if "\\" not in said and not said.startswith(('"""', "'''")):
        return said.strip(said[0])
    try:
        read: Any = tomllib.loads(f"x = {said}")["x"] if format is Format.TOML else json.loads(said, strict=False)
        return str(read)
    except (ValueError, RecursionError):
        return said.strip("\"'")
