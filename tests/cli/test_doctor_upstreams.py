"""`doctor` on upstreams: what a gateway tells of each, the owners, and the sandbox, broken and mended."""

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.doctor import upstreams
from gateway.cli.doctor.finding import Check, Line
from gateway.people import user_name
from tests.cli.consulting import CONFIG, case_of, configure, told, upstream, write, wrong

SOME = {"count": 7, "names": ["files__a", "files__b"]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configure(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("check", "broken", "line"),
    [
        (upstreams.states, {"state": "failed", "detail": "it ended"}, Line.UPSTREAM),
        (upstreams.states, {"state": "starting"}, Line.UPSTREAM),
        (upstreams.labels, {"unlabelled": SOME}, Line.LABELS),
        (upstreams.held, {"held": SOME}, Line.HELD),
        (upstreams.colliding, {"collided": SOME}, Line.COLLIDING),
    ],
    ids=["failed", "starting", "labels", "held", "colliding"],
)
def test_what_is_wrong_with_an_upstream_is_told_until_it_is_not(
    check: Check, broken: dict[str, Any], line: Line, home: Path
) -> None:
    assert wrong(check, case_of(home, {"items": [upstream(**broken)]})) == [(line, "files")]
    assert wrong(check, case_of(home, {"items": [upstream()]})) == []


def test_a_ready_one_tells_its_tools_its_era_and_how_long_it_took(home: Path) -> None:
    (found,) = told(upstreams.states, case_of(home, {"items": [upstream(seconds=1.25)]}))
    assert (found.found, found.do) == ("ready, 3 tools, revision 2025-11-25, started in 1.2 s", "")
    (found,) = told(upstreams.states, case_of(home, {"items": [upstream(seconds=11.0, tools=1, era="")]}))
    assert (found.found, "many clients" in found.do) == ("ready, 1 tool, started in 11.0 s", True)


def test_an_older_gateway_that_tells_less_is_understood(home: Path) -> None:
    row = {"upstream": "files", "state": "ready", "detail": "", "screened": "all", "coverage": []}
    for check in upstreams.GROUP.checks:
        assert wrong(check, case_of(home, {"items": [row]})) == []


def test_names_are_told_with_how_many_more_there_are(home: Path) -> None:
    (found,) = told(upstreams.labels, case_of(home, {"items": [upstream(unlabelled=SOME)]}))
    assert found.found == "7 tools without a label: `files__a`, `files__b` and 5 more"


def test_upstreams_that_nobody_could_look_at_are_told(home: Path) -> None:
    (found,) = told(upstreams.unlooked, case_of(home))
    assert (found.line, found.wrong) == (Line.UPSTREAM, False)
    case = case_of(home, start=True)
    case.unreachable = "another gateway holds the state folder"
    assert wrong(upstreams.unlooked, case) == [(Line.UPSTREAM, "files")]
    assert told(upstreams.unlooked, case_of(home, {})) == []


def test_what_is_screened_less_is_noted(home: Path) -> None:
    part = {"sight": "passes", "names": ["files__a"], "more": 1, "note": "lets secrets pass"}
    full = {"sight": "screened", "names": ["files__b"], "more": 0, "note": "all"}
    (found,) = told(upstreams.screening, case_of(home, {"items": [upstream(coverage=[part, full])]}))
    assert (found.wrong, found.do) == (False, "`files__a` and 1 more: lets secrets pass")


def test_an_owner_whom_nobody_reaches_is_told_until_there_is_one(home: Path) -> None:
    configure(home, CONFIG.replace("ada@acme.io", "nobody@example.com"))
    assert wrong(upstreams.owners, case_of(home)) == [(Line.OWNER, "files")]
    configure(home, CONFIG.replace('"ada@acme.io"', '{ business = "ada@acme.io", technical = "the team" }'))
    assert wrong(upstreams.owners, case_of(home)) == [(Line.OWNER, "files (technical)")]
    configure(home)
    assert [(each.of, each.wrong) for each in told(upstreams.owners, case_of(home))] == [("files", False)]
    configure(home, CONFIG + '[notify]\nto = ["env:MAIL"]\n')
    assert told(upstreams.owners, case_of(home)) == []
    configure(home, CONFIG.replace("ada@acme.io", user_name(os.getuid())))
    assert told(upstreams.owners, case_of(home)) == []


LONG = "files__" + "n" * 48


@pytest.mark.parametrize(
    ("path", "key"),
    [(".claude.json", "mcpServers"), (".gemini/settings.json", "mcpServers")],
    ids=["claude-code", "gemini"],
)
def test_a_name_too_long_for_a_client_that_has_wardgate_is_told(path: str, key: str, home: Path) -> None:
    row = {"items": [upstream(longest=[LONG, "files__read"])]}
    entry = {"command": "wardgate", "args": ["stdio"]}
    write(home / path, {key: {"wardgate": entry}})
    assert wrong(upstreams.long, case_of(home, row)) == [(Line.LONG, "files")]
    assert wrong(upstreams.long, case_of(home, {"items": [upstream()]})) == []
    write(home / path, {key: {"other": {"command": "x"}}})
    assert wrong(upstreams.long, case_of(home, row)) == []


ASKS = CONFIG + 'sandbox = "bwrap"\n'


def test_a_sandbox_that_is_asked_for_and_can_not_be_had_is_told(home: Path) -> None:
    configure(home, ASKS)
    empty = home / "bin"
    empty.mkdir(mode=0o700)
    case = case_of(home, environ={"PATH": str(empty)})
    assert wrong(upstreams.sandbox, case) == [(Line.SANDBOX, "")]
    bwrap = write(empty / "bwrap", "#!/bin/sh\necho no permissions >&2\nexit 1\n", mode=0o700)
    (found,) = told(upstreams.sandbox, case)
    assert "no permissions" in found.found
    bwrap.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    (found,) = told(upstreams.sandbox, case)
    assert (found.wrong, found.found) == (False, "bwrap works, for files")
    bwrap.chmod(0o777)
    assert wrong(upstreams.sandbox, case) == [(Line.SANDBOX, "")]
    bwrap.chmod(0o700)
    bwrap.write_text("not a program", encoding="utf-8")
    assert wrong(upstreams.sandbox, case) == [(Line.SANDBOX, "")]


def test_a_sandbox_that_nobody_asks_for_is_not_tried(home: Path) -> None:
    (found,) = told(upstreams.sandbox, case_of(home, environ={"PATH": str(home)}))
    assert (found.wrong, found.found) == (False, "no upstream asks for one")
