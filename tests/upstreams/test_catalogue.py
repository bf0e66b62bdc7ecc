"""Names, definitions and the catalogue made of them."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Tool, ToolRef
from gateway.upstreams.catalogue import Catalogue
from gateway.upstreams.definitions import DEEPEST, LARGEST, read_listing
from gateway.upstreams.names import LONGEST, expose, is_legal
from tests.upstreams.fleet import classify

LEGAL = st.from_regex(re.compile(r"[A-Za-z0-9._/-]{1,128}", re.ASCII), fullmatch=True)


def define(name: object, **more: object) -> dict[str, Any]:
    """A definition."""
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def catalogue(*upstreams: str, bare: bool = False) -> Catalogue:
    """An empty catalogue."""
    return Catalogue([(name, bare) for name in upstreams], classify)


def fill(into: Catalogue, upstream: str, *names: str) -> None:
    """Let an upstream list tools."""
    into.replace(upstream, read_listing([define(name) for name in names]).definitions)


@given(st.lists(LEGAL, unique=True, max_size=20))
def test_exposed_names_are_short_plain_and_distinct(names: list[str]) -> None:
    exposed = expose("files", names)
    assert set(exposed) == set(names)
    assert len(set(exposed.values())) == len(names)
    assert all(re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST}}}", text, re.ASCII) for text in exposed.values())
    assert exposed == expose("files", names[::-1])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["read"], {"read": "up__read"}),
        (["a.b"], {"a.b": "up__a_b"}),
        (["a.b", "a_b"], {"a_b": "up__a_b", "a.b": r"up__a_b_[0-9a-f]{8}"}),
        (["a.b", "a/b"], {"a.b": r"up__a_b_[0-9a-f]{8}", "a/b": r"up__a_b_[0-9a-f]{8}"}),
        (["x" * 46], {"x" * 46: "up__" + "x" * 46}),
        (["x" * 47], {"x" * 47: "up__" + "x" * 37 + r"_[0-9a-f]{8}"}),
    ],
)
def test_names_get_a_hash_only_when_cut_or_made_equal(names: list[str], expected: Mapping[str, str]) -> None:
    exposed = expose("up", names)
    assert set(exposed) == set(expected)
    for name, pattern in expected.items():
        assert re.fullmatch(pattern, exposed[name])


@pytest.mark.parametrize("name", ["", "a b", "a\u200bb", "\u0430", "a\n", "x" * 129, None, 7, "a:b"])
def test_names_that_could_mislead_are_illegal(name: object) -> None:
    assert not is_legal(name)


def nested(depth: int) -> dict[str, Any]:
    """An input schema of this depth."""
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"x": schema}
    return schema


def test_each_broken_definition_is_left_out_for_its_own_reason() -> None:
    header = {"type": "object", "properties": {"x": {"type": "array", "x-mcp-header": "X"}}}
    items = [
        define("good"),
        define("twin"),
        define("twin", title="other"),
        define("bad name"),
        define("no-schema", inputSchema=None),
        define("bad-meta", _meta=[]),
        define("bad-output", outputSchema=1),
        define("deep", inputSchema=nested(DEEPEST + 1)),
        define("large", description="x" * LARGEST),
        define("header", inputSchema=header),
        "no object",
    ]
    listing = read_listing(items)
    assert [one.name for one in listing.definitions] == ["good"]
    assert [note.rpartition("(")[2] for note in listing.left_out] == [
        "name used twice)",
        "illegal name)",
        "no input schema)",
        "wrong types)",
        "wrong types)",
        f"nested deeper than {DEEPEST})",
        f"over {LARGEST // 1024} KiB)",
        "invalid x-mcp-header)",
        "no object)",
    ]
    assert listing.note.startswith("9 tools left out: `twin` (name used twice); ")
    assert listing.note.endswith("and 4 more")


def test_what_is_meant_for_one_hop_is_taken_off_a_definition() -> None:
    meta = {"anthropic/searchHint": "use me", "vendor/x": 1}
    (one,) = read_listing([define("t", _meta=meta, execution={"taskSupport": "required"})]).definitions
    assert one.value == {**define("t"), "_meta": {"vendor/x": 1}}
    (other,) = read_listing([define("t", _meta={"anthropic/x": 1})]).definitions
    assert other.value == define("t")


@pytest.mark.parametrize(
    "part", ["title", "description", "inputSchema", "outputSchema", "annotations", "_meta", "icons"]
)
def test_every_part_that_a_model_sees_is_in_the_digest(part: str) -> None:
    (one,) = read_listing([define("t")]).definitions
    (other,) = read_listing([{**define("t"), part: {"changed": True}}]).definitions
    assert one.digest != other.digest


def test_tools_are_listed_in_the_order_of_the_configuration_and_then_by_name() -> None:
    tools = catalogue("b", "a")
    fill(tools, "a", "z", "y")
    fill(tools, "b", "y", "x")
    assert [one["name"] for one in tools.listing()] == ["b__x", "b__y", "a__y", "a__z"]
    assert [tool.ref.name for tool in tools.of("a")] == ["y", "z"]
    found = tools.find("a__z")
    assert found is not None
    assert found.ref == ToolRef("a", "z")
    assert tools.find("a__x") is None
    assert tools.nearest("a__zz") == "a__z"
    assert tools.nearest("nothing like it at all") is None


def test_names_of_two_upstreams_that_run_together_stay_apart() -> None:
    tools = catalogue("a", "a__b")
    fill(tools, "a__b", "c")
    fill(tools, "a", "b__c")
    refs = {name: tool.ref for name, tool in tools.snapshot.tools.items()}
    assert refs.pop("a__b__c") == ToolRef("a", "b__c")
    assert list(refs.values()) == [ToolRef("a__b", "c")]


def test_a_collision_of_bare_names_takes_the_later_upstream_out_whoever_came_first() -> None:
    tools = catalogue("first", "second", bare=True)
    fill(tools, "second", "read", "other")
    assert [one["name"] for one in tools.listing()] == ["other", "read"]
    fill(tools, "first", "read")
    assert [(name, tool.ref.upstream) for name, tool in tools.snapshot.tools.items()] == [("read", "first")]
    assert tools.snapshot.clashes == {"second": "tool `read` is already offered by `first`"}
    fill(tools, "first", "write")
    assert tools.snapshot.clashes == {}
    assert [one["name"] for one in tools.listing()] == ["write", "other", "read"]


def test_watchers_hear_of_changes_only() -> None:
    tools = catalogue("a")
    heard: list[int] = []
    tools.on_change(lambda: heard.append(tools.revision))
    fill(tools, "a", "x")
    fill(tools, "a", "x")
    tools.reclassify()
    assert heard == [1]
    fill(tools, "a", "x", "y")
    assert heard == [1, 2]


def test_a_tool_is_classified_again_only_when_its_definition_or_the_policy_changed() -> None:
    asked: list[str] = []

    def note(ref: ToolRef, exposed: str, definition: Mapping[str, Any], digest: str) -> Tool:
        asked.append(exposed)
        return classify(ref, exposed, definition, digest)

    tools = Catalogue([("a", False), ("b", False)], note)
    fill(tools, "a", "x")
    fill(tools, "b", "x")
    tools.replace("a", read_listing([define("x", title="new")]).definitions)
    assert asked == ["a__x", "b__x", "a__x"]
    tools.reclassify()
    assert asked[3:] == ["a__x", "b__x"]


def test_a_classification_that_fails_changes_nothing() -> None:
    def fail(ref: ToolRef, exposed: str, definition: Mapping[str, Any], digest: str) -> Tool:
        raise ValueError(exposed)

    tools = Catalogue([("a", False)], fail)
    with pytest.raises(ValueError):
        fill(tools, "a", "x")
    assert tools.listing() == ()
    with pytest.raises(ValueError):
        fill(tools, "a", "x")
