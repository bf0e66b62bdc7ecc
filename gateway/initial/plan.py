"""From servers to a plan: the same server of several clients is one upstream, names are unique, what is one already is
known. No I/O but the values of references that are looked up, to tell one account from another.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from tomlkit.exceptions import TOMLKitError

from gateway.clients import Server
from gateway.config import Upstream, settings_of
from gateway.config.references import split_reference
from gateway.core.launch import package_of
from gateway.errors import ConfigurationError
from gateway.initial.document import begin, extended
from gateway.initial.nouns import Hidden, Launch, Plan, Planned, Skipped, Source, Value
from gateway.initial.translate import translate

LONGEST = 24  # characters of an upstream's name
Resolve = Callable[[str], str | None]
"""The value of a reference of the configuration that is there; None where it has none now."""


def plan(
    servers: Iterable[Server],
    present: Mapping[str, Upstream],
    environ: Mapping[str, str],
    project: str,
    resolved: Resolve,
) -> Plan:
    """What becomes of these servers, in their order; `present` are the upstreams that there are."""
    new: list[Planned] = []
    known: list[tuple[str, Source]] = []
    skipped: list[Skipped] = []
    names = {*present}
    for server in servers:
        source = Source(server.client, server.scope, server.file, server.name)
        launch = translate(server, environ, project)
        if why := _why_not(server, launch) or unfit(launch):
            skipped.append(Skipped(source, why))
        elif same := next((name for name, one in present.items() if _is(launch, one, resolved)), ""):
            known.append((same, source))
        elif same := _alike(server.name, launch, present):
            skipped.append(
                Skipped(source, f"the upstream `{same}` runs it already, with other values: compare the two")
            )
        elif (place := next((at for at, one in enumerate(new) if _same(one.launch, launch)), -1)) >= 0:
            new[place] = Planned(new[place].name, new[place].launch, (*new[place].sources, source))
        else:
            name = unique(name_of(server.name), names)
            names.add(name)
            new.append(Planned(name, launch, (source,)))
    return Plan(tuple(new), tuple(known), tuple(skipped))


def _why_not(server: Server, launch: Launch) -> str:
    if server.wardgate:
        return "it is Wardgate itself"
    return "it is disabled there" if server.disabled else launch.refused


def unfit(launch: Launch) -> str:
    """Why upstreams.toml can't hold a server, which is no reason to leave the others: read alone, as it would stand."""
    names = {("x", hidden.slot): "file:x" for hidden in launch.hidden}
    try:
        text = extended(begin(""), [Planned("x", launch, ())], names, "x", {})
        "".join([text, *(hidden.value for hidden in launch.hidden)]).encode()
        settings_of(text, Path("/upstreams.toml"))
    except (ConfigurationError, ValueError, TOMLKitError) as problem:
        return (
            f"upstreams.toml can't hold it: {problem}" if isinstance(problem, ConfigurationError) else "it is no text"
        )
    return ""


def name_of(text: str) -> str:
    """A name for an upstream: at most 24 letters, digits, `_` and `-`, without `__`."""
    plain = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_-]+", "-", text)).strip("-_")[:LONGEST].strip("-_")
    return plain or "server"


def unique(name: str, taken: Iterable[str]) -> str:
    """The name, with a number where there is one already (case counts for nothing: names become those of files)."""
    used = {each.casefold() for each in taken}
    if name.casefold() not in used:
        return name
    numbered = (f"{name[: LONGEST - len(str(number)) - 1]}-{number}" for number in count(2))
    return next(each for each in numbered if each.casefold() not in used)


def _same(one: Launch, other: Launch) -> bool:
    """Whether two servers are one: everything that shapes them is equal, secrets too."""
    return _shape(one) == _shape(other) and _texts(one) == _texts(other)


def _shape(launch: Launch) -> tuple[str, Sequence[str], str, str]:
    return launch.command, launch.args, launch.cwd, launch.url


def _texts(launch: Launch) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return {name: _text(value) for name, value in launch.env.items()}, {
        name.casefold(): _text(value) for name, value in launch.headers.items()
    }


def _text(value: Value) -> str:
    return value.value if isinstance(value, Hidden) else value


def _is(launch: Launch, upstream: Upstream, resolved: Resolve) -> bool:
    """Whether a server is an upstream that is there already, with the same account."""
    if not _starts_as(launch, upstream):
        return False
    return _equal(launch.env, upstream.env, resolved) and _equal(launch.headers, upstream.headers, resolved)


def _starts_as(launch: Launch, upstream: Upstream) -> bool:
    there = (upstream.command, upstream.args, str(upstream.cwd or ""), upstream.url)
    return _shape(launch) == there and launch.env.keys() == upstream.env.keys()


def _equal(mine: Mapping[str, Value], there: Mapping[str, str], resolved: Resolve) -> bool:
    if {name.casefold() for name in mine} != {name.casefold() for name in there}:
        return False
    values = {name.casefold(): value for name, value in there.items()}
    return all(_agrees(value, values[name.casefold()], resolved) for name, value in mine.items())


def _agrees(mine: Value, there: str, resolved: Resolve) -> bool:
    if isinstance(mine, str):
        return mine == there
    if not split_reference(there)[0]:
        return mine.value == there
    return not mine.known or resolved(there) in (mine.value, None)


def _alike(name: str, launch: Launch, present: Mapping[str, Upstream]) -> str:
    """The upstream of the same name that runs the same program otherwise: since then one of the two was edited."""
    mine = name_of(name)
    there = present.get(mine)
    if there is None:
        return ""
    same = _program(launch.command, launch.args, launch.url) == _program(there.command, there.args, there.url)
    return mine if same else ""


def _program(command: str, args: Sequence[str], url: str) -> tuple[str, str, str]:
    """What is run, without its version; or the host."""
    package = re.sub(r"(?<=.)(@|==)[^@/]*$", "", package_of(command, args))
    return command.rpartition("/")[2], package, urlsplit(url).netloc
