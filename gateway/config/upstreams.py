"""Read the tables `[upstreams.*]` of upstreams.toml, noting every problem. Resolves no reference and starts nothing."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.nouns import ActsAs, Upstream
from gateway.config.references import flaw, looks_secret, split_reference
from gateway.core.policy.read import read_owner
from gateway.core.section import Section

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ERAS = ("auto", "2026-07-28", "2025-11-25")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,24}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LATER = {  # what would be weaker than it reads if it were let through
    "per": ("gateway", "one process serves every client"),
    "sandbox": ("none", "the upstream would run without one"),
}


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
        acts_as=_acts_as(section),
        per=section.word("per", ("gateway", "client", "workspace"), "gateway"),
        expose=section.word("expose", ("prefixed", "bare"), "prefixed"),
        elicit=section.word("elicit", ("block", "form", "url"), "block"),
        sandbox=section.word("sandbox", ("none", "bwrap"), "none"),
        era=section.word("era", ERAS, "auto"),
    )
    for key, (available, instead) in _LATER.items():
        chosen = getattr(upstream, key)
        if chosen != available:
            section.problem(key, f"`{chosen}` is not available in this version, and without it {instead}", chosen)
    if upstream.elicit != "block":
        section.warn("elicit", "not in this version: what the upstream asks people is blocked", upstream.elicit)
    section.close()
    return upstream


def _which(section: Section) -> None:
    """Exactly one of `command` and `url`, and only the keys that belong to it."""
    if ("command" in section) == ("url" in section):
        what = "both" if "url" in section else "neither"
        section.problem("", f"expected exactly one of `command` and `url`, found {what}")
        return
    stranger = ("headers",) if "command" in section else ("args", "env", "inherit_env", "cwd", "sandbox")
    for key in stranger:
        if key in section:
            section.problem(key, f"expected only with `{'url' if key == 'headers' else 'command'}`", key)


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
        section.problem("url", "looks as if it held a secret: use `headers` with a reference")
    elif parts.scheme == "http" and host not in LOOPBACK:
        section.warn("url", "http is not encrypted: anybody on the way can read and change what is sent")
    return url


def _acts_as(section: Section) -> ActsAs | None:
    if "acts_as" not in section:
        section.raw("acts_as")
        return None
    table = section.section("acts_as")
    acts_as = ActsAs(
        identity=table.text("identity", expected="whose authority a call uses"),
        kind=table.word("kind", ("human", "service", "agent"), "human"),
        scopes=table.texts("scopes"),
    )
    for key in ("identity", "kind"):
        if key not in table:
            table.required(key, "whose authority a call uses" if key == "identity" else "human, service or agent")
    table.close()
    return acts_as
