"""Definitions are checked piece by piece: what could mislead a person or break a client's list is left out."""

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.canon import canonical
from gateway.upstreams.definitions import (
    DEEPEST,
    PROMPTS,
    RESOURCES,
    TEMPLATES,
    TOOLS,
    Offering,
    read_instructions,
    read_items,
)
from gateway.upstreams.names import LONGEST_URI, hides, is_legal, is_uri
from tests.upstreams.offers import ALL, LARGEST, make, prompt, read, resource, template, tool

LEGAL = st.from_regex(re.compile(r"[A-Za-z0-9._/-]{1,128}", re.ASCII), fullmatch=True)
KINDS = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.kind)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", ["", "a b", "a\u200bb", "\u0430", "a\n", "x" * 129, None, 7, "a:b"])
def test_names_that_could_mislead_are_illegal(name: object) -> None:
    assert not is_legal(name)
    assert is_legal("x" * 128)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "no-scheme",
        "/path",
        "1x://a",
        "{scheme}://a",
        "x://\n",
        "x://a\x00",
        "x://a\u200bb",
        "x://\u202e",
        None,
        7,
        [],
    ],
)
def test_uris_without_a_scheme_or_with_what_does_not_show_are_illegal(uri: object) -> None:
    assert not is_uri(uri)


@pytest.mark.parametrize("letter", ["a", "\u00e9"], ids=["ascii", "two-bytes"])
def test_a_uri_has_at_most_8_kib(letter: str) -> None:
    room = LONGEST_URI - len("x:")
    longest = "x:" + letter * (room // len(letter.encode()))
    assert is_uri(longest)
    assert not is_uri(longest + "a")


def test_scripts_and_emoji_that_need_joiners_are_not_hidden_where_people_read() -> None:
    assert hides("\U0001f468\u200d\U0001f469")
    assert not hides("\U0001f468\u200d\U0001f469", joiners=True)
    assert not hides("Screenshot 1.02.03\u202fPM.png")
    assert hides("a\u200bb", joiners=True)


def nested(depth: int) -> dict[str, Any]:
    """Something of this depth."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"x": value}
    return value


HEADER = {"type": "object", "properties": {"x": {"type": "array", "x-mcp-header": "X"}}}


@pytest.mark.parametrize(
    ("kind", "item", "why"),
    [
        (TOOLS, "no object", "no object"),
        (TOOLS, tool("bad name"), "illegal name"),
        (TOOLS, tool(None), "illegal name"),
        (TOOLS, tool("x", description="\ud800"), "can't be encoded"),
        (TOOLS, {"name": "x"}, "no inputSchema"),
        (TOOLS, tool("x", inputSchema=None), "wrong type: inputSchema"),
        (TOOLS, tool("x", inputSchema={}), "no inputSchema.type"),
        (TOOLS, tool("x", inputSchema={"type": "array"}), "wrong type: inputSchema.type"),
        (TOOLS, tool("x", inputSchema={"type": "object", "required": "y"}), "wrong type: inputSchema.required"),
        (TOOLS, tool("x", inputSchema=HEADER), "invalid x-mcp-header"),
        (TOOLS, tool("x", outputSchema=1), "wrong type: outputSchema"),
        (TOOLS, tool("x", annotations={"readOnlyHint": "yes"}), "wrong type: annotations.readOnlyHint"),
        (TOOLS, tool("x", icons=[{"src": "a"}, {"src": 1}]), "wrong type: icons[1].src"),
        (TOOLS, tool("x", icons=[{"src": "a", "theme": "` - at `$.x`"}]), "wrong type: icons[0].theme"),
        (RESOURCES, resource("no-scheme"), "illegal URI"),
        (RESOURCES, resource("x://\x1b"), "illegal URI"),
        (RESOURCES, resource(7), "illegal URI"),
        (RESOURCES, {"uri": "x://a"}, "no name"),
        (RESOURCES, resource("x://a", name=""), "illegal name"),
        (RESOURCES, resource("x://a", name="a\u202eb"), "illegal name"),
        (RESOURCES, resource("x://a", size="1"), "wrong type: size"),
        (RESOURCES, resource("x://a", mimeType=1), "wrong type: mimeType"),
        (RESOURCES, resource("x://a", annotations={"priority": 2}), "wrong type: annotations.priority"),
        (RESOURCES, resource("x://a", annotations={"audience": ["me"]}), "wrong type: annotations.audience[...]"),
        (TEMPLATES, template("{any}"), "illegal URI"),
        (TEMPLATES, template("x://{"), "no URI template that can be matched"),
        (TEMPLATES, template("x://{a}{b}"), "no URI template that can be matched"),
        (TEMPLATES, template("x://{+a}/{+b}"), "no URI template that can be matched"),
        (TEMPLATES, template("x://" + "{a}/" * 300), "no URI template that can be matched"),
        (TEMPLATES, template("x://{a}", name=" \x00"), "illegal name"),
        (PROMPTS, prompt("bad name"), "illegal name"),
        (PROMPTS, prompt("q", arguments={}), "wrong type: arguments"),
        (PROMPTS, prompt("q", arguments=[{}]), "no arguments[...].name"),
        (PROMPTS, prompt("q", arguments=[{"name": ""}]), "illegal name of an argument"),
        (PROMPTS, prompt("q", arguments=[{"name": "a\u200bb"}]), "illegal name of an argument"),
        (PROMPTS, prompt("q", arguments=[{"name": "a"}, {"name": "a"}]), "two arguments of one name"),
        (PROMPTS, prompt("q", arguments=[{"name": "a", "required": 1}]), "wrong type: arguments[...].required"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else getattr(value, "kind", str(value)),
)
def test_each_broken_definition_is_left_out_for_its_own_reason(kind: Offering, item: object, why: str) -> None:
    kept, note = read_items(kind, [make(kind), item], LARGEST)
    assert [one.value for one in kept] == [make(kind)]
    noun, _, told = note.partition(" left out: ")
    assert noun == f"1 {kind.noun[:-1]}"
    assert re.sub(r"\[\d+\]", "[...]", told.rpartition(" (")[2]) == re.sub(r"\[\d+\]", "[...]", why) + ")"
    assert told.isprintable()


@KINDS
def test_what_is_of_every_kind_is_checked_for_every_kind(kind: Offering) -> None:
    for part in ({"title": 1}, {"description": []}, {"_meta": []}, {"icons": {}}, {"icons": [{}]}):
        assert read(kind, make(kind, **part)) == ()


@KINDS
def test_neither_of_two_with_one_name_is_offered(kind: Offering) -> None:
    kept, note = read_items(kind, [make(kind, title="a"), make(kind, title="b")], LARGEST)
    assert kept == ()
    assert note.startswith(f"1 {kind.noun[:-1]} left out: `")
    assert note.endswith(" used twice)")


@KINDS
def test_depth_and_size_end_at_their_limits(kind: Offering) -> None:
    assert read(kind, make(kind, vendor=nested(DEEPEST - 1)))
    assert not read(kind, make(kind, vendor=nested(DEEPEST)))
    assert not read(kind, make(kind, vendor=nested(5_000)))
    room = LARGEST - len(canonical(make(kind, description="")))
    assert read(kind, make(kind, description="x" * room))
    assert not read(kind, make(kind, description="x" * (room + 1)))


def test_a_list_with_much_to_leave_out_is_told_in_one_short_line() -> None:
    kept, note = read_items(TOOLS, [tool("\n" * 10_000 + str(number)) for number in range(9)] + [tool("x\x1b")] * 9, 10)
    assert kept == ()
    assert note.startswith("2 tools left out: ")
    assert len(note) < 600
    kept, note = read_items(TOOLS, [tool(f"bad {number}") for number in range(9)], LARGEST)
    assert note.endswith("`bad 4` (illegal name); and 4 more")


@KINDS
def test_everything_that_a_client_can_use_is_kept(kind: Offering) -> None:
    icons = [{"src": "https://x.example/i.png", "mimeType": "image/png", "sizes": ["1x1"], "theme": "dark", "x": None}]
    more = {"title": "T", "description": "D", "icons": icons, "_meta": {"vendor/x": None}, "vendor": {"a": [None]}}
    (one,) = read(kind, make(kind, **more))
    assert one.value == make(kind, **more)
    assert one.name == one.value[kind.key]


def test_everything_of_its_own_kind_is_kept_too() -> None:
    hints = {"title": "x", "readOnlyHint": True, "vendor": 1}
    schema = {
        "type": "object",
        "properties": {"a": True, "b": {"x-mcp-header": "B", "type": "string"}},
        "required": ["a"],
    }
    full = tool("t", inputSchema=schema, outputSchema={"type": "array"}, annotations=hints)
    assert read(TOOLS, full)[0].value == full
    annotations = {"audience": ["user"], "priority": 1, "lastModified": "2026-08-31T10:00:00+02:00", "vendor": 1}
    for kind in (RESOURCES, TEMPLATES):
        whole = make(kind, annotations=annotations, mimeType="text/plain")
        assert read(kind, whole)[0].value == whole
    asks = prompt("p", arguments=[{"name": "a b", "title": "A", "description": "d", "required": True, "vendor": 1}])
    assert read(PROMPTS, asks)[0].value == asks


@KINDS
def test_null_means_that_it_is_not_there(kind: Offering) -> None:
    nulls = {"title": None, "description": None, "icons": None, "_meta": None}
    assert read(kind, make(kind, **nulls)) == read(kind, make(kind))
    (one,) = read(kind, make(kind, icons=[{"src": "data:,", "mimeType": None}]))
    assert one.value["icons"] == [{"src": "data:,"}]


def test_null_inside_what_is_of_one_kind_is_taken_off_too() -> None:
    sent = tool("t", annotations={"title": None}, outputSchema=None, inputSchema={"type": "object", "required": None})
    assert read(TOOLS, sent)[0].value == tool("t", annotations={})
    assert read(PROMPTS, prompt("q", arguments=[{"name": "a", "title": None}]))[0].value["arguments"] == [{"name": "a"}]
    assert read(RESOURCES, resource("x:a", annotations=None, size=None))[0].value == resource("x:a")


@pytest.mark.parametrize("moment", ["2026-08-31", "2026-08-31T10:00:00", "yesterday", ""])
def test_a_moment_for_which_clients_refuse_the_list_is_taken_off(moment: str) -> None:
    (one,) = read(RESOURCES, resource("x:a", annotations={"lastModified": moment, "priority": 0.5}))
    assert one.value["annotations"] == {"priority": 0.5}


@KINDS
def test_what_is_meant_for_one_hop_or_could_pose_as_ours_is_taken_off(kind: Offering) -> None:
    meta = {"anthropic/searchHint": "use me", "dev.wardgate/hidden": 1, "vendor/x": 1}
    assert read(kind, make(kind, _meta=meta))[0].value == make(kind, _meta={"vendor/x": 1})
    assert read(kind, make(kind, _meta={"anthropic/x": 1}))[0].value == make(kind)


def test_it_is_taken_off_what_stands_in_a_definition_too_but_not_off_schemas() -> None:
    theirs = {"_meta": {"anthropic/x": 1, "vendor/x": 1}, "dev.wardgate/y": 1}
    left = {"_meta": {"vendor/x": 1}}

    def asks(part: dict[str, Any]) -> dict[str, Any]:
        return prompt("p", arguments=[{"name": "a", **part}], icons=[{"src": "data:,", **part}], **part)

    assert read(PROMPTS, asks(copy.deepcopy(theirs)))[0].value == asks(left)
    schemas = {"inputSchema": {"type": "object", "properties": {"dev.wardgate/y": {}, "_meta": {}}}}
    assert read(TOOLS, tool("t", outputSchema=theirs, **schemas))[0].value == tool("t", outputSchema=theirs, **schemas)


def test_an_extension_that_nobody_relays_is_taken_off_a_tool() -> None:
    assert read(TOOLS, tool("t", execution={"taskSupport": "required"}))[0].value == tool("t")


CHANGES: dict[str, Any] = {
    "title": "changed",
    "description": "changed",
    "icons": [{"src": "changed"}],
    "_meta": {"changed": 1},
    "inputSchema": {"type": "object", "changed": 1},
    "outputSchema": {"changed": 1},
    "annotations": {"readOnlyHint": False},
    "arguments": [{"name": "changed"}],
    "mimeType": "changed/changed",
}


@KINDS
def test_every_part_that_a_model_or_a_person_sees_is_in_the_digest(kind: Offering) -> None:
    (one,) = read(kind, make(kind))
    for part in (*kind.pinned, "vendor", "size"):
        if part in ("name", "uri", "uriTemplate"):
            continue
        change = {"priority": 1} if (kind, part) == (TEMPLATES, "annotations") else CHANGES.get(part, 1)
        (other,) = read(kind, make(kind, **{part: change}))
        assert (one.digest != other.digest) is (part in kind.pinned), part


def test_a_resource_that_grew_is_still_the_same() -> None:
    (one,) = read(RESOURCES, resource("x:a", size=1, annotations={"priority": 0}))
    (other,) = read(RESOURCES, resource("x:a", size=2, annotations={"priority": 1}))
    assert one.digest == other.digest
    assert one != other


@given(
    st.lists(
        st.builds(
            lambda name, more: {**more, **name},
            st.dictionaries(st.just("name"), LEGAL),
            ANYTHING.filter(lambda value: isinstance(value, dict)),
        )
        | ANYTHING,
        max_size=6,
    )
)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.kind)
def test_whatever_is_listed_what_is_kept_is_legal_sorted_and_distinct(kind: Offering, items: list[Any]) -> None:
    kept, note = read_items(kind, items, LARGEST)
    names = [one.name for one in kept]
    assert names == sorted(set(names))
    assert all(is_legal(name) if kind.key == "name" else is_uri(name) for name in names)
    assert bool(note) is (len(kept) < len(items))
    assert read_items(kind, items[::-1], LARGEST)[0] == kept


@pytest.mark.parametrize(
    ("text", "kept", "why"),
    [
        (None, "", ""),
        ("", "", ""),
        ("Use\twith care.\r\n", "Use\twith care.\r\n", ""),
        ("x" * 20, "x" * 20, ""),
        ("x" * 21, "", "instructions left out (over 20 characters)"),
        ("a\u202eb", "", "instructions left out (hidden characters)"),
        ("a\x1b[0m", "", "instructions left out (hidden characters)"),
        (7, "", "instructions left out (no text)"),
    ],
)
def test_instructions_are_passed_on_whole_or_not_at_all(text: object, kept: str, why: str) -> None:
    assert read_instructions(text, 20) == (kept, why)
