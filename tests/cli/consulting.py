"""A case of `doctor` for tests: a home of the test's own, a configuration in it, and what a gateway would tell.

What is broken is broken for real in these files; only the gateway's own answers are made up.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.cli.doctor.case import Case
from gateway.cli.doctor.finding import Check, Finding, Line

CONFIG = """\
schema = 1
[gateway]
listen = "127.0.0.1:0"
state = "state"
[upstreams.files]
command = "/bin/echo"
args = ["files"]
owner = "ada@acme.io"
"""


def configure(home: Path, text: str = CONFIG) -> Path:
    """Write a configuration with its policies, and return its file."""
    folder = home / "config"
    for each in (home, folder, folder / "policies"):
        each.mkdir(mode=0o700, exist_ok=True)
    return write(folder / "upstreams.toml", text)


def write(path: Path, content: str | Mapping[str, Any], mode: int = 0o600) -> Path:
    """Write one file, a mapping as JSON, with the folders above it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    path.chmod(mode)
    return path


def case_of(home: Path, status: Mapping[str, Any] | None = None, **more: Any) -> Case:
    """A case in a home; `status` is what the gateway that runs tells, None where none does."""
    environ = {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", **more.pop("environ", {})}
    more = {"platform": "linux", **more}
    made = Case(str(home / "config"), environ, home / "project", **more)
    made.__dict__["status"] = {"version": "0", "items": [], **status} if status is not None else None
    return made


def upstream(**more: Any) -> Mapping[str, Any]:
    """What a gateway tells of one upstream with which nothing is wrong."""
    nothing = {"count": 0, "names": []}
    return {
        "upstream": "files",
        "state": "ready",
        "detail": "",
        "screened": "all",
        "coverage": [],
        "era": "2025-11-25",
        "seconds": 0.2,
        "tools": 3,
        "longest": ["files__read"],
        "unlabelled": nothing,
        "held": nothing,
        "collided": nothing,
        **more,
    }


def told(check: Check, case: Case, line: Line | None = None) -> list[Finding]:
    """What a check finds, or only what it says in one line."""
    return [each for each in check(case) if line in (None, each.line)]


def wrong(check: Check, case: Case) -> list[tuple[Line, str]]:
    """What is wrong by a check: the lines, and which one each is about. Each says what mends it."""
    found = [each for each in check(case) if each.wrong]
    assert all(each.do for each in found), found
    return [(each.line, each.of) for each in found]


def lines(findings: Iterable[Finding]) -> set[Line]:
    """The lines of findings."""
    return {each.line for each in findings}
