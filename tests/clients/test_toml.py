"""TOML is edited where it stands, or not at all: laws over the ways in which tables can be written."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clients.toml import TomlDocument
from gateway.errors import ConfigurationError

ENTRY = {"command": "/bin/wardgate", "args": ["stdio"], "tool_timeout_sec": 660}
NAMES = st.sampled_from(["a", "b", "x-y", '"a.b"', '"é"', "'lit'"])
NOTES = st.sampled_from(["", "# note\n", "\n", "\n# [mcp_servers.no]\n\n"])


@st.composite
def written(draw: st.DrawFn) -> str:
    """A text with servers, in one of the ways to write them."""
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    way = draw(st.sampled_from(["tables", "dotted", "inline", "whole", "super"]))
    parts = [draw(NOTES), draw(st.sampled_from(["", 'model = "m" # which\n', "[tui]\na = 1\n"]))]
    if way == "whole":
        inside = ", ".join(f'{name} = {{ command = "x" }}' for name in names)
        parts = [draw(NOTES), f"mcp_servers = {{ {inside} }} # mine\n"]
    elif way == "inline":
        parts.append("[mcp_servers]\n")
        parts += [f'{name} = {{ command = "x", env = {{ A = "b" }} }} # {{\n{draw(NOTES)}' for name in names]
    elif way == "dotted":
        parts = [f'{draw(NOTES)}mcp_servers.{name}.command = "x" # d\n' for name in names]
    else:
        parts += ["[mcp_servers]\n"] if way == "super" else []
        for name in names:
            parts.append(f'[mcp_servers.{name}] # t\ncommand = "x"\n{draw(NOTES)}')
            parts.append(draw(st.sampled_from(["", f'[mcp_servers.{name}.env]\nA = "b"\n', "[[other]]\nb = 1\n"])))
    text = "".join([*parts, draw(st.sampled_from(["", "\n", "# end", "[last]\nc = [\n  1, # one\n]\n"]))])
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def survives(old: str, new: str) -> bool:
    """Whether every line of the old text that says something is in the new one, in order."""
    rest = iter("".join(line.split()) for line in new.splitlines())
    return all(any("".join(line.split()) == other for other in rest) for line in old.splitlines() if line.strip())


@given(written())
def test_a_text_says_what_it_says_and_stays(text: str) -> None:
    document = TomlDocument(text, "f")
    assert document.get(()) == tomllib.loads(text)
    assert document.text == text


@given(written())
def test_what_is_added_is_all_that_differs_and_goes_again(text: str) -> None:
    document = TomlDocument(text, "f")
    before: dict[str, Any] = document.get(())
    try:
        document.set(("mcp_servers", "wardgate"), ENTRY)
    except ConfigurationError as told:
        raise AssertionError(str(told)) from None
    expected = {**before, "mcp_servers": {**before.get("mcp_servers", {}), "wardgate": ENTRY}}
    assert tomllib.loads(document.text) == expected
    if "mcp_servers = {" not in text:
        assert survives(text, document.text)
    document = TomlDocument(document.text, "f")
    document.remove(("mcp_servers", "wardgate"))
    found = tomllib.loads(document.text)
    assert found.pop("mcp_servers", {}) == before.get("mcp_servers", {})
    assert found == {key: value for key, value in before.items() if key != "mcp_servers"}


@given(written(), st.data())
def test_a_server_is_disabled_and_enabled(text: str, data: st.DataObject) -> None:
    document = TomlDocument(text, "f")
    before = document.get(())
    names = list(before.get("mcp_servers", {}))
    if not names:
        return
    path = ("mcp_servers", data.draw(st.sampled_from(names)), "enabled")
    document.set(path, False)
    assert tomllib.loads(document.text)["mcp_servers"][path[1]]["enabled"] is False
    document = TomlDocument(document.text, "f")
    document.remove(path)
    assert tomllib.loads(document.text) == before


def test_what_is_no_toml_is_told_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match=r"`the file`.*line 2"):
        TomlDocument("a = 1\nb = \n", "the file")


def test_a_table_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError, match="expected a table as `mcp_servers`"):
        TomlDocument("mcp_servers = 1\n", "f").set(("mcp_servers", "w"), ENTRY)


def test_what_was_copied_comes_back() -> None:
    document = TomlDocument('[mcp_servers.a]\ncommand = "x"\nenabled = true\n', "f")
    kept = document.copy(("mcp_servers", "a", "enabled"))
    document.remove(("mcp_servers", "a", "enabled"))
    document.put_back(("mcp_servers", "a", "enabled"), kept)
    assert tomllib.loads(document.text) == {"mcp_servers": {"a": {"command": "x", "enabled": True}}}
