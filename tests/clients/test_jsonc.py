"""JSON with comments is edited where it stands: laws over odd layouts, and layouts that people have."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clients.jsonc import JsonDocument
from gateway.errors import ConfigurationError

COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|(//[^\r\n]*|/\*.*?\*/)', re.DOTALL)
KEYS = st.sampled_from(["a", "b", "mcpServers", 'quo"te', "back\\slash", "é", "//no", "/*no*/", "", "{", "x,y"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["// no", "/* no", ",}", '"', "}"])
)
PLAIN = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
    ),
    max_size=4,
)
ENTRY = {"command": "/bin/wardgate", "args": ["stdio"], "env": {}}


@st.composite
def written(draw: st.DrawFn, comments: bool = True) -> tuple[str, Any]:
    """A text, with the value that it says."""
    plain, newline = draw(PLAIN), draw(st.sampled_from(["\n", "\r\n"]))
    blanks = ["", " ", "  ", "\t", newline, newline + "    "]
    if comments:
        blanks += [f"// c{newline}", "/* c */", f"/* {newline} */", f' // "c" {{,{newline}  ', '/*"*/']

    def gap() -> str:
        return "".join(draw(st.lists(st.sampled_from(blanks), max_size=2)))

    def say(value: Any) -> str:
        if isinstance(value, dict | list):
            parts = (
                [f"{gap()}{json.dumps(key)}{gap()}:{gap()}{say(each)}{gap()}" for key, each in value.items()]
                if isinstance(value, dict)
                else [f"{gap()}{say(each)}{gap()}" for each in value]
            )
            last = f",{gap()}" if parts and draw(st.booleans()) else ""
            left, right = ("{", "}") if isinstance(value, dict) else ("[", "]")
            return f"{left}{','.join(parts)}{last if parts else gap()}{right}"
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    bom = draw(st.sampled_from(["", "\ufeff"]))
    return f"{bom}{gap()}{say(plain)}{gap()}", plain


def comments_of(text: str) -> list[str]:
    return [found[1] for found in COMMENT.finditer(text) if found[1]]


def survives(old: str, new: str) -> bool:
    """Whether everything of the old text but blanks is in the new one, in order."""
    rest = iter(new)
    return all(sign in rest for sign in old if not sign.isspace())


@given(written())
def test_a_text_says_what_it_says(made: tuple[str, Any]) -> None:
    text, plain = made
    document = JsonDocument(text, "f")
    assert document.get(()) == plain
    assert document.text == text


@given(written(), KEYS.filter(lambda key: key != "new"), st.booleans())
def test_what_is_added_is_all_that_differs(made: tuple[str, Any], table: str, at_top: bool) -> None:
    text, plain = made
    path = ("new",) if at_top or not isinstance(plain.get(table, {}), dict) else (table, "new")
    document = JsonDocument(text, "f")
    document.set(path, ENTRY)
    expected = {**plain, "new": ENTRY} if len(path) == 1 else {**plain, table: {**plain.get(table, {}), "new": ENTRY}}
    assert document.get(()) == expected
    assert JsonDocument(document.text, "f").get(()) == expected
    assert comments_of(document.text) == comments_of(text)
    assert survives(text, document.text)


@given(written(), st.data())
def test_what_is_removed_is_all_that_differs_and_can_be_put_back(made: tuple[str, Any], data: st.DataObject) -> None:
    text, plain = made
    if not plain:
        return
    key = data.draw(st.sampled_from(list(plain)))
    inner = plain[key]
    path = (key, data.draw(st.sampled_from(list(inner)))) if isinstance(inner, dict) and inner else (key,)
    document = JsonDocument(text, "f")
    kept = document.copy(path)
    document.remove(path)
    less = {**plain, key: {name: each for name, each in inner.items() if name != path[1]}} if len(path) == 2 else None
    expected = less if less is not None else {name: each for name, each in plain.items() if name != key}
    assert document.get(()) == expected
    assert survives(document.text, text), "something was added"
    assert sorted(comments_of(document.text) + comments_of(kept)) == sorted(comments_of(text))
    document.put_back(path, kept)
    assert document.get(()) == plain
    assert sorted(comments_of(document.text)) == sorted(comments_of(text))


@given(written(), KEYS.filter(lambda key: key != "new"))
def test_what_was_added_and_removed_leaves_every_sign(made: tuple[str, Any], table: str) -> None:
    text, plain = made
    document = JsonDocument(text, "f")
    path = (table, "new") if isinstance(plain.get(table), dict) else ("new",)
    document.set(path, ENTRY)
    document.remove(path)
    assert document.get(()) == plain
    squeezed, was = ("".join(each.split()) for each in (document.text, text))
    assert squeezed.replace(",", "") == was.replace(",", "")


@given(written(), st.data())
def test_another_value_in_the_same_place(made: tuple[str, Any], data: st.DataObject) -> None:
    text, plain = made
    if not plain:
        return
    key = data.draw(st.sampled_from(list(plain)))
    document = JsonDocument(text, "f")
    document.set((key,), 7)
    assert document.get(()) == {**plain, key: 7}
    assert list(document.get(())) == list(plain)


LAYOUTS = {
    "two spaces": (
        '{\n  "servers": {\n    "a": {}\n  },\n  "x": 1\n}\n',
        '{\n  "servers": {\n    "a": {},\n    "w": {\n      "k": 1\n    }\n  },\n  "x": 1\n}\n',
    ),
    "tabs": (
        '{\n\t"servers": {\n\t\t"a": {}\n\t}\n}\n',
        '{\n\t"servers": {\n\t\t"a": {},\n\t\t"w": {\n\t\t\t"k": 1\n\t\t}\n\t}\n}\n',
    ),
    "one line": ('{"servers": {"a": {}}}', '{"servers": {"a": {}, "w": {"k": 1}}}'),
    "trailing comma": (
        '{\n  "servers": {\n    "a": {}, // note\n  },\n}\n',
        '{\n  "servers": {\n    "a": {}, // note\n    "w": {\n      "k": 1\n    },\n  },\n}\n',
    ),
    "a note at the end of the line": (
        '{\n  "servers": {\n    "a": {} // note\n  }\n}\n',
        '{\n  "servers": {\n    "a": {}, // note\n    "w": {\n      "k": 1\n    }\n  }\n}\n',
    ),
    "no table yet": ('{\n  "x": 1\n}\n', '{\n  "x": 1,\n  "servers": {\n    "w": {\n      "k": 1\n    }\n  }\n}\n'),
    "an empty table": ('{\n  "servers": {}\n}\n', '{\n  "servers": {\n    "w": {\n      "k": 1\n    }\n  }\n}\n'),
    "windows": (
        '{\r\n  "servers": {\r\n    "a": {}\r\n  }\r\n}\r\n',
        '{\r\n  "servers": {\r\n    "a": {},\r\n    "w": {\r\n      "k": 1\r\n    }\r\n  }\r\n}\r\n',
    ),
    "nothing": ("", '{\n  "servers": {\n    "w": {\n      "k": 1\n    }\n  }\n}\n'),
    "a comment alone": ("// mine\n", '// mine\n{\n  "servers": {\n    "w": {\n      "k": 1\n    }\n  }\n}\n'),
    "a comment alone on its line": ("// mine", '// mine\n{\n  "servers": {\n    "w": {\n      "k": 1\n    }\n  }\n}\n'),
    "four spaces": (
        '{\n    "servers": {\n        "a": {}\n    }\n}\n',
        '{\n    "servers": {\n        "a": {},\n        "w": {\n            "k": 1\n        }\n    }\n}\n',
    ),
}


@pytest.mark.parametrize(("before", "after"), LAYOUTS.values(), ids=list(LAYOUTS))
def test_an_entry_is_added_in_the_layout_of_its_file(before: str, after: str) -> None:
    document = JsonDocument(before, "f")
    document.set(("servers", "w"), {"k": 1})
    assert document.text == after
    if '"a"' in before:
        document.remove(("servers", "w"))
        assert document.text == before


def test_a_removed_entry_leaves_the_comments_beside_it() -> None:
    text = '{\n  // one\n  "a": 1, // after a\n  // two\n  "b": 2 // after b\n}\n'
    document = JsonDocument(text, "f")
    document.remove(("b",))
    assert document.text == '{\n  // one\n  "a": 1 // after a\n  // two\n  // after b\n}\n'
    document.remove(("a",))
    assert document.text == "{\n  // one\n  // after a\n  // two\n  // after b\n}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n  "a": }\n', 2),
        ('{\n  "a": 1\n  "b": 2\n}', 3),
        ("[1]", 1),
        ('{"a": 1} x', 1),
        ('{\n/* open "a": 1}', 2),
        ('{\n\n"a": "open\n}', 3),
        ("{'a': 1}", 1),
        ('{"a": 1}\n/*', 2),
        ('{"a": 1}\n/*/', 2),
        ("\n/* only", 2),
    ],
)
def test_what_is_no_json_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"^`the file` line {line}\b"):
        JsonDocument(text, "the file")


def test_a_name_that_stands_twice_is_read_as_clients_read_it_and_not_edited() -> None:
    document = JsonDocument('{"a": {"x": 1},\n"a": {"y": 2}}', "f")
    assert document.get(("a",)) == {"y": 2}
    with pytest.raises(ConfigurationError, match="line 2: `a` stands there twice"):
        document.set(("a", "w"), 1)


def test_a_table_that_is_none_is_told() -> None:
    document = JsonDocument('{\n"servers": [1]}', "f")
    with pytest.raises(ConfigurationError, match="line 2: expected an object"):
        document.set(("servers", "w"), 1)


def test_what_is_nested_too_deeply_is_told() -> None:
    with pytest.raises(ConfigurationError, match="nesting"):
        JsonDocument('{"a":' + "[" * 200_000 + "]" * 200_000 + "}", "f")


@pytest.mark.parametrize(
    "text",
    [
        "/*" * 500_000,
        '"' + '\\"' * 500_000,
        '"' + '\\"' * 500_000 + "\\",
        "{" + ",\n" * 500_000,
        '{"a": ' + "9" * 5_000 + "}",
    ],
)
def test_a_hostile_text_is_told_at_once(text: str) -> None:
    with pytest.raises(ConfigurationError):
        JsonDocument(text, "f")
