"""Which servers become upstreams: one for the same of several clients, unique names, and nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from gateway.clients import Server
from gateway.config import Upstream, settings_of
from gateway.core.visible import visible
from gateway.initial.document import begin, extended
from gateway.initial.nouns import Plan
from gateway.initial.plan import name_of, plan, unique
from tests.initial.made import FILE, HOME, PROJECT, a_server, a_token

ONE, TWO = a_token(1), a_token(2)
VALUES = {"file:secrets/hub-API_TOKEN": ONE}


def planned(*servers: Server, present: dict[str, Upstream] | None = None) -> Plan:
    return plan(servers, present or {}, HOME, PROJECT, VALUES.get)


def written(made: Plan) -> dict[str, Upstream]:
    """The upstreams as they are read back, once their secrets were put in files."""
    references = {
        (one.name, each.slot): f"file:secrets/{one.name}-{each.slot}" for one in made.new for each in one.launch.hidden
    }
    text = extended(begin(""), made.new, references, "ada@example.com", {})
    return dict(settings_of(text, FILE.with_name("upstreams.toml")).upstreams)


def names(made: Plan) -> list[str]:
    return [one.name for one in made.new]


def test_the_same_server_of_two_clients_is_one_upstream() -> None:
    made = planned(a_server(args=("x",)), a_server("other", client="cursor", args=("x",)))
    assert names(made) == ["files"]
    assert [source.client for source in made.new[0].sources] == ["claude-code", "cursor"]


@pytest.mark.parametrize(
    "other",
    [{"args": ("y",)}, {"command": "uvx"}, {"env": {"LANG": "C"}}, {"cwd": "/data"}, {"url": "https://mcp.example/x"}],
    ids=lambda other: "".join(other),
)
def test_another_server_of_the_same_name_gets_a_name_of_its_own(other: dict[str, Any]) -> None:
    assert names(
        planned(a_server(args=("x",)), a_server(**{"args": ("x",), **other} if "url" not in other else other))
    ) == ["files", "files-2"]


def test_two_accounts_of_one_server_are_two_upstreams() -> None:
    mine, work = (a_server("hub", env={"API_TOKEN": token}) for token in (ONE, TWO))
    assert names(planned(mine, work)) == ["hub", "hub-2"]


def test_wardgate_and_what_is_disabled_are_left_and_told() -> None:
    made = planned(
        a_server("gate", wardgate=True),
        a_server("off", disabled=True),
        a_server("old", url="http://x/", transport="sse"),
    )
    assert made.new == ()
    assert [skipped.source.name for skipped in made.skipped] == ["gate", "off", "old"]


@pytest.mark.parametrize(
    "server",
    [
        {"args": ("-y", "pkg@1.2", "/data"), "env": {"LANG": "C"}},
        {"args": ("--token", ONE)},
        {"command": "~/bin/x", "cwd": "sub"},
        {"client": "vscode", "args": ("${workspaceFolder}",)},
        {"client": "vscode", "env": {"API_TOKEN": "${input:x}", "B": "${env:B}"}},
        {"url": "https://mcp.example/x", "headers": {"X-Api-Key": ONE}},
        {"scope": "project", "command": "./x"},
    ],
)
def test_what_is_an_upstream_already_is_not_taken_again(server: dict[str, Any]) -> None:
    servers = (a_server("hub", **server), a_server("more"))
    first = planned(*servers)
    again = plan(servers, written(first), HOME, PROJECT, lambda reference: ONE)
    assert names(first) == ["hub", "more"]
    assert (again.new, [name for name, _ in again.known], again.skipped) == ((), ["hub", "more"], ())


def test_another_account_than_the_one_that_is_there_is_told_and_not_taken_over() -> None:
    there = written(planned(a_server("hub", env={"API_TOKEN": ONE})))
    made = planned(a_server("hub", env={"API_TOKEN": TWO}), present=there)
    assert made.new == ()
    assert "`hub`" in made.skipped[0].why
    assert TWO not in made.skipped[0].why


@pytest.mark.parametrize("edited", [("-y", "pkg@2.0", "/data"), ("-y", "pkg@1.2", "/elsewhere")])
def test_an_upstream_that_its_owner_edited_is_not_added_beside_itself(edited: tuple[str, ...]) -> None:
    there = written(planned(a_server("hub", args=edited)))
    made = planned(a_server("hub", args=("-y", "pkg", "/data")), present=there)
    assert (made.new, len(made.skipped)) == ((), 1)


def test_a_name_that_another_program_has_is_not_taken() -> None:
    there = written(planned(a_server("hub", args=("-y", "one"))))
    assert names(planned(a_server("hub", args=("-y", "two")), present=there)) == ["hub-2"]


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ("files", "files"),
        ("My Files (work)", "My-Files-work"),
        ("a__b", "a_b"),
        ("../../etc/passwd", "etc-passwd"),
        ("", "server"),
        ("日本", "server"),
        ("x" * 40, "x" * 24),
        ("\u202ea", "a"),
    ],
)
def test_names_are_ones_that_an_upstream_may_have(found: str, name: str) -> None:
    assert name_of(found) == name


def test_a_name_is_unique_whatever_its_case() -> None:
    assert unique("Files", ["files", "files-2"]) == "Files-3"
    assert unique("x" * 24, ["x" * 24]) == "x" * 22 + "-2"


def test_only_files_of_a_project_are_told_apart() -> None:
    made = planned(a_server("a", scope="project"), a_server("b"), a_server("b", scope="project", cwd="/", args=("x",)))
    assert [one.project for one in made.new] == [True, False, True]
    assert Path(made.new[0].launch.cwd) == Path(PROJECT)


@pytest.mark.parametrize(
    "server",
    [
        {"args": ("a\x00b",)},
        {"env": {"A": "a\x00b"}},
        {"args": ("\ud800",)},
        {"command": "\ud800"},
        {"url": "https://mcp.example/\ud800"},
        {"env": {"A": "\ud800"}, "cwd": "\x00"},
        {"env": {"API_TOKEN": "sword-\ud800"}},
    ],
    ids=[
        "nul",
        "nul in a variable",
        "surrogate",
        "surrogate as a program",
        "surrogate in an address",
        "both",
        "in a secret",
    ],
)
def test_a_server_that_no_file_can_hold_is_left_and_the_others_are_taken(server: dict[str, Any]) -> None:
    made = planned(a_server("bad", **server), a_server("good"))
    assert (names(made), len(made.skipped)) == (["good"], 1)
    assert visible(made.skipped[0].why).isprintable()
