"""Versions: of the program, of what it runs on, and of the packages that it needs.

It reads what is installed here, and asks no registry what there is.
"""

import re
import sqlite3
import sys
from collections.abc import Iterator

from gateway import __version__
from gateway.cli.doctor.case import Case
from gateway.cli.doctor.finding import Finding, Group, Line, warning

OLDEST_SQLITE = (3, 24, 0)  # the first one with the upserts of the store
NAMED = {"mcp": Line.SDK, "kingfisher-secret-scanner": Line.SCANNER}  # told also where nothing is wrong
REINSTALL = "install it anew: `pip install --upgrade wardgate`"
_PART = re.compile(r"(>=|<=|==|<|>)\s*([0-9][\w.]*)")


def program(case: Case) -> Iterator[Finding]:
    """The program that is installed, and the one that runs."""
    runs = case.status["version"] if case.status is not None else __version__
    if runs == __version__:
        yield Finding(Line.WARDGATE, __version__)
        return
    do = "end it and start it anew; one that a client started hands over to the next `wardgate stdio`"
    yield warning(Line.WARDGATE, f"{__version__} is installed, and {runs} runs", do)


def python(case: Case) -> Iterator[Finding]:
    """The interpreter."""
    found, newest = ".".join(map(str, sys.version_info[:3])), _tested()
    more = (
        f", newer than the newest that it is tested with ({newest})"
        if newest and _key(found)[:2] > _key(newest)
        else ""
    )
    yield Finding(Line.PYTHON, f"{found}{more}", where=sys.executable)


def sqlite(case: Case) -> Iterator[Finding]:
    """The database library of the interpreter."""
    found = case.installed("sqlite") or sqlite3.sqlite_version
    if _key(found) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        yield warning(Line.SQLITE, f"{found}, older than {oldest}", "take a Python that carries a newer one")
    else:
        yield Finding(Line.SQLITE, found)


def packages(case: Case) -> Iterator[Finding]:
    """The packages that the program says it needs."""
    for name, wanted in _required():
        found = case.installed(name)
        line = NAMED.get(name, Line.PACKAGE)
        of = "" if name in NAMED else name
        if not found:
            yield warning(line, f"not installed, {wanted} is needed", REINSTALL, of)
        elif not fits(found, wanted):
            yield warning(line, f"{found}, {wanted} is needed", REINSTALL, of)
        elif name in NAMED:
            yield Finding(line, f"{found} ({wanted})")


def fits(found: str, wanted: str) -> bool:
    """Whether a version is one of those that a requirement allows, by its numbers alone."""
    version = _key(found)
    for sign, bound in _PART.findall(wanted):
        limit = _key(bound)
        size = max(len(version), len(limit))
        mine, other = (part + (0,) * (size - len(part)) for part in (version, limit))
        if not {">=": mine >= other, "<=": mine <= other, "==": mine == other, "<": mine < other, ">": mine > other}[
            sign
        ]:
            return False
    return True


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.match(r"[0-9.]*", version)[0].split(".") if part)  # type: ignore[index]  # it always matches


def _required() -> Iterator[tuple[str, str]]:
    """Each package that is always needed, and which versions of it."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = requires("wardgate") or []
    except PackageNotFoundError:  # run from its sources alone
        wanted = []
    for text in wanted:
        if "extra ==" not in text and (found := re.match(r"[\w.-]+", text)):
            yield found[0], text[found.end() :].partition(";")[0].strip()


def _tested() -> str:
    """The newest Python that the package names; empty where that isn't known."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        named = metadata("wardgate").get_all("Classifier") or []
    except PackageNotFoundError:
        return ""
    found = [one.rpartition(" :: ")[2] for one in named if re.search(r"Python :: 3\.\d+$", one)]
    return max(found, key=_key, default="")


GROUP = Group("versions", (program, python, packages, sqlite))
