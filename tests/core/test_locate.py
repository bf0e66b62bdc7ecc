"""Lines of keys in TOML texts."""

from collections.abc import Iterator

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.locate import Path, locate

TEXT = '''# a comment with = and [brackets]
schema = 1
"quoted \\u0061" = 2

[upstreams.files]   # header
command = "npx"
args = [
  "a", # first
  "]",
  { deep = 1 },
]
env = { TOKEN = "x", "LANG" = 'y' }
text = """
[not.a.table]
key = 1
"""
at = 2027-02-01 10:00:00
after = 1
[[rule]]
id = "a"
set.priority = "low"
[[rule]]
id = "b"
[rule.approve]
by = "x"
'literal' = true
[a.'b.c']
d = 1'''

EXPECTED = {
    ("schema",): 2,
    ("quoted a",): 3,
    ("upstreams",): 5,
    ("upstreams", "files"): 5,
    ("upstreams", "files", "command"): 6,
    ("upstreams", "files", "args"): 7,
    ("upstreams", "files", "args", 0): 8,
    ("upstreams", "files", "args", 1): 9,
    ("upstreams", "files", "args", 2, "deep"): 10,
    ("upstreams", "files", "env", "TOKEN"): 12,
    ("upstreams", "files", "env", "LANG"): 12,
    ("upstreams", "files", "text"): 13,
    ("upstreams", "files", "at"): 17,
    ("upstreams", "files", "after"): 18,
    ("rule", 0): 19,
    ("rule", 0, "id"): 20,
    ("rule", 0, "set", "priority"): 21,
    ("rule", 1): 22,
    ("rule", 1, "id"): 23,
    ("rule", 1, "approve"): 24,
    ("rule", 1, "approve", "by"): 25,
    ("rule", 1, "approve", "literal"): 26,
    ("a", "b.c", "d"): 28,
}


def test_every_key_is_found_on_its_line() -> None:
    lines = locate(TEXT)
    tomli.loads(TEXT)
    assert {path: lines.get(path) for path in EXPECTED} == EXPECTED


def test_a_key_inside_a_text_is_no_key() -> None:
    assert ("upstreams", "files", "key") not in locate(TEXT)
    assert ("not",) not in locate(TEXT)


def paths_of(value: object, path: Path = ()) -> Iterator[Path]:
    """Every path of a parsed text."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from paths_of(child, (*path, key))


PIECES = ["[a]", "[[b]]", "[b.c]", "[a.d]", "k = 1", "a.b = 'x'", '"q" = "]"', "l = [1, [2, 'x'], {y = 1}]", "m = ["]
PIECES += ["1,", "]", "t = {a.b = 1, c = []}", 's = """', "x = 1", '"""', "# k = [", "", "d = 2027-01-01 10:00:00"]
LINES = st.lists(st.sampled_from([*PIECES, "[[b.e]]"]), max_size=8)


@given(LINES)
def test_every_key_of_any_text_is_found(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    found = locate(text)
    assert set(paths_of(data)) <= set(found)
    assert all(1 <= line <= len(lines) + 1 for line in found.values())


@pytest.mark.parametrize("text", ["]", "k = {]}", "a. = 1", "[", "[[a", 'k = "open'])
def test_what_is_no_toml_is_scanned_to_its_end(text: str) -> None:
    assert locate(text)[()] == 1
