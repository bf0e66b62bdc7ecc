"""Read the tables `[upstreams.*]` of upstreams.toml, noting every problem. Resolves no reference and starts nothing."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.authority import SANDBOX_KEYS, check_sandbox, read_acts_as, read_oauth, read_shown
from gateway.config.hosts import is_loopback
from gateway.config.nouns import Upstream
from gateway.config.references import flaw, looks_secret, split_reference, variables
from gateway.core.policy.read import read_owner
from gateway.core.problems import nearest
from gateway.core.section import Section

ERAS = ("auto", "2026-07-28", "2025-11-25")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,24}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OF_PROGRAMS = ("args", "inherit_env", "cwd", "sandbox", *SANDBOX_KEYS)
_OF_ADDRESSES = ("headers", "oauth")


def read_upstreams(section: Section, base: Path, timeout: float) -> Mapping[str, Upstream]:
    """Every upstream by its name; `base` is the folder of the file, `timeout` the gateway's own in seconds."""
    table = section.section("upstreams")
    found: dict[str, Upstream] = {}
    for name, child in table.children():
        if not _NAME.fullmatch(name) or "__" in name:
            found_name = f"expected a name of at most 24 letters, digits, _ and -, without __, found `{name}`"
            table.problem(name, found_name, name)
        found[name] = _upstream(name, child, base, timeout)
    if not found:
        section.required("upstreams", "at least one table [upstreams.NAME]")
    return found


def _upstream(name: str, section: Section, base: Path, timeout: float) -> Upstream:
    _which(section)
    command = section.text("command", expected="a program")
    cwd = section.text("cwd", expected="a folder")
    upstream = Upstream(
        name=name,
        owner=read_owner(section),
        base=base,
        timeout=section.duration("timeout", timeout, 0.1, 86400),
        command=str(base / Path(command).expanduser()) if "/" in command else command,
        args=_args(section),
        env=_values(section, "env", _VARIABLE),
        inherit_env=_inherited(section),
        cwd=base / Path(cwd).expanduser() if cwd else None,
        url=_url(section),
        headers=_values(section, "headers", _HEADER),
        acts_as=read_acts_as(section),
        per=section.word("per", ("gateway", "client", "workspace"), "gateway"),
        expose=section.word("expose", ("prefixed", "bare"), "prefixed"),
        elicit=section.word("elicit", ("block", "form", "url"), "block"),
        sandbox=section.word("sandbox", ("none", "bwrap"), "none"),
        sandbox_read=read_shown(section, "sandbox_read", base),
        sandbox_write=read_shown(section, "sandbox_write", base),
        sandbox_network=section.flag("sandbox_network", False),
        era=section.word("era", ERAS, "auto"),
        instructions=section.flag("instructions", False),
        oauth=read_oauth(section),
    )
    check_sandbox(section, upstream)
    _check_questions(section, upstream)
    if upstream.url:
        with suppress(ValueError):  # no address at all was noted before
            _check_address(section, upstream)
    if upstream.oauth is not None and any(name.casefold() == "authorization" for name in upstream.headers):
        section.problem("oauth", "expected either `oauth` or a header `Authorization`, found both")
    section.close()
    return upstream


def _which(section: Section) -> None:
    """Exactly one of `command` and `url`, and only the keys that belong to it."""
    if ("command" in section) == ("url" in section):
        what = "both" if "url" in section else "neither"
        section.problem("", f"expected exactly one of `command` and `url`, found {what}")
        return
    strangers, friend = (_OF_ADDRESSES, "url") if "command" in section else (_OF_PROGRAMS, "command")
    for key in strangers:
        if key in section:
            section.problem(key, f"expected only with `{friend}`", key)


def _check_questions(section: Section, upstream: Upstream) -> None:
    """Warn where an upstream may ask people by its `elicit`, and yet nobody can be asked."""
    if upstream.elicit != "block" and upstream.per == "gateway" and upstream.era == "2025-11-25":
        section.warn(
            "elicit",
            "its questions are refused, since in this era nobody knows whose call they belong to on a connection that"
            ' all clients share: set `per = "client"`',
            upstream.elicit,
        )


def _check_address(section: Section, upstream: Upstream) -> None:
    """Variables of an address stand behind its host, and each of them is said in `env`, which holds no others."""
    named = variables(upstream.url)
    for name in named:
        if name not in upstream.env:
            section.problem("url", f"`${{{name}}}` is not in `env`", name, nearest(name, upstream.env))
    for name in upstream.env:
        if name not in named:
            section.problem("env", f"`{name}` is no variable of `url`, and there is no program to get it", name)
    if variables(urlsplit(upstream.url).netloc):
        section.problem("url", "expected no variable in the host: it is what is accepted")
    if named and upstream.oauth is not None:
        section.problem("oauth", "expected an address without variables: what OAuth gives is bound to it")


def _args(section: Section) -> tuple[str, ...]:
    value = section.raw("args")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        section.wrong("args", "a list of texts", value)
        return ()
    before = ""
    for place, arg in enumerate(value, 1):
        flag, equals, rest = arg.partition("=") if arg.startswith("-") else (before, "=", arg)
        if _secret_argument(flag, rest):
            section.problem("args", f"argument {place} looks like a secret: hand it over in `env` by a reference")
        elif "\x00" in arg:
            section.problem("args", f"expected no NUL in argument {place}")
        elif split_reference(arg)[0] in ("env", "keyring"):
            section.problem(
                "args", f"expected no reference in argument {place}: everybody can read arguments; use `env`"
            )
        for variable in re.findall(r"\$\{([^}]*)\}", arg):
            if variable != "WORKSPACE":
                section.problem("args", f"unknown variable `${{{variable}}}`", variable, "${WORKSPACE}")
        before = "" if equals else flag
    return tuple(value)


def _secret_argument(flag: str, value: str) -> bool:
    """Whether an argument looks like a secret, alone or by the flag that it belongs to; a path is none by its flag."""
    path = value.startswith(("/", "./", "~", "${"))
    return looks_secret(value, "" if path else flag)


def _values(section: Section, key: str, shape: re.Pattern[str]) -> Mapping[str, str]:
    """The texts of `env` or `headers`: references, or literals that are no secrets."""
    table = section.section(key)
    values: dict[str, str] = {}
    for name in table.keys:
        value = table.raw(name)
        if not isinstance(value, str) or any(char in value for char in "\x00\r\n"):
            table.problem(name, "expected a text on one line")
            continue
        wrong = flaw(value)
        if not shape.fullmatch(name):
            table.problem(name, f"expected the name of {'a variable' if key == 'env' else 'a header'}", name)
        elif wrong:
            table.problem(name, wrong)
        elif looks_secret(value, name):
            table.problem(name, "looks like a secret: expected a reference such as `env:NAME` or `file:PATH`")
        values[name] = value
    return values


def _inherited(section: Section) -> tuple[str, ...]:
    names = section.texts("inherit_env", "a list of variables")
    for name in names:
        if not _VARIABLE.fullmatch(name):
            section.problem("inherit_env", f"expected the name of a variable, found `{name}`", name)
    return names


def _url(section: Section) -> str:
    url = section.text("url", expected="an address such as https://example.com/mcp")
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or parts.fragment:
        section.problem("url", "expected an address such as https://example.com/mcp")
    elif "@" in parts.netloc or looks_secret(parts.query.replace("/", " ")):
        section.problem("url", "looks as if it held a secret: use `headers` or `env` with a reference")
    elif parts.scheme == "http" and not is_loopback(host):
        section.warn("url", "http is not encrypted: anybody on the way can read and change what is sent")
    return url
