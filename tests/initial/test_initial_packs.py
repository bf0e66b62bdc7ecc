"""Packs: which fits, and that each is valid for an upstream of another name, beside itself."""

from datetime import date
from pathlib import Path

import pytest

from gateway.core.policy import Known, parse
from gateway.core.problems import Severity
from gateway.initial.packs import Pack, fitting, folder, packs
from tests.packs.kit import PACKS

ALL = {pack.name: pack for pack in packs()}
FILES = ALL["filesystem"]


def test_every_pack_is_found_with_the_package_that_it_was_written_from() -> None:
    assert tuple(sorted(ALL)) == PACKS
    assert [pack.name for pack in ALL.values() if not pack.package or not pack.tools or not pack.tests] == []


def test_packs_are_looked_for_in_the_package_first(tmp_path: Path) -> None:
    assert folder().name == "packs"
    assert packs(tmp_path) == ()


@pytest.mark.parametrize("pack", ALL.values(), ids=list(ALL))
def test_a_pack_is_valid_twice_for_upstreams_of_other_names(pack: Pack) -> None:
    names = (pack.name, "one", f"{pack.name}-2")
    texts = {f"policies/{name}.toml": pack.for_upstream(name, 'ada "x" <a@example.com>') for name in names}
    policy, problems = parse(texts, Known(frozenset(names)), date(2026, 12, 1))
    assert [problem for problem in problems if problem.severity is Severity.ERROR] == []
    assert {file.upstream for file in policy.files} == set(names)
    assert {file.owner.business for file in policy.files} == {'ada "x" <a@example.com>'}


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("npx", ("-y", "@modelcontextprotocol/server-filesystem", "/data")),
        ("npx", ("-y", "@modelcontextprotocol/server-filesystem@2026.8.31", "/data")),
        ("node", ("/x/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js", "/data")),
    ],
)
def test_a_pack_fits_its_package_with_more_tools_than_it_knows(command: str, args: tuple[str, ...]) -> None:
    assert fitting(ALL.values(), command, args, [*FILES.tools, "new_tool"]) is FILES


def test_a_pack_fits_exactly_its_tools_whatever_the_package() -> None:
    assert fitting(ALL.values(), "mine", (), FILES.tools) is FILES
    assert fitting(ALL.values(), "mine", (), [*FILES.tools, "new_tool"]) is None
    assert fitting(ALL.values(), "mine", (), ALL["fetch"].tools) is None  # one tool is no likeness


def test_a_pack_that_names_tools_which_are_not_there_fits_nothing() -> None:
    args = ("-y", "@modelcontextprotocol/server-filesystem")
    assert fitting(ALL.values(), "npx", args, [name for name in FILES.tools if name != "move_file"]) is None


@pytest.mark.parametrize("program", ["mcp-server-git", "/venv/bin/mcp-server-git"])
def test_a_program_of_a_package_is_known_by_its_name(program: str) -> None:
    assert fitting(ALL.values(), program, (), ALL["git"].tools) is ALL["git"]
    assert fitting(ALL.values(), "uvx", ("mcp-server-git==1.0",), ALL["git"].tools) is ALL["git"]
