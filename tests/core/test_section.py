"""Reading tables: types, ranges, places and near names."""

import enum
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from gateway.core.problems import Problem, Severity, nearest
from gateway.core.section import MAX_TEXT, Document, Section, named, seconds


class Fruit(enum.Enum):
    APPLE = "apple"
    PEAR = "pear"


def section_of(text: str) -> Section:
    return Document("f.toml", text).section()


READS: dict[str, Callable[[Section], object]] = {
    "text": lambda s: s.text("k", "default", "[a-z]+"),
    "texts": lambda s: s.texts("k"),
    "single": lambda s: s.texts("k", single=True),
    "choice": lambda s: s.choice("k", Fruit, Fruit.PEAR),
    "word": lambda s: s.word("k", ("yes", "no"), "no"),
    "flag": lambda s: s.flag("k", True),
    "number": lambda s: s.number("k", 5, 1, 10),
    "duration": lambda s: s.duration("k", 5.0, 1, 100),
    "size": lambda s: s.size("k", 5, 1, 10_000),
    "day": lambda s: s.day("k"),
    "mapping": lambda s: s.mapping("k", "a table of texts"),
    "each": lambda s: [child.path for child in s.each("k")],
    "section": lambda s: s.section("k").keys,
}


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        ("text", '"abc"', "abc"),
        ("texts", '["a", "b"]', ("a", "b")),
        ("single", '"a"', ("a",)),
        ("choice", '"apple"', Fruit.APPLE),
        ("word", '"yes"', "yes"),
        ("flag", "false", False),
        ("number", "7", 7),
        ("duration", '"1.5m"', 90.0),
        ("duration", '"2000ms"', 2.0),
        ("size", '"2KiB"', 2048),
        ("size", '"77"', 77),
        ("day", "2027-02-01", date(2027, 2, 1)),
        ("mapping", '{ a = "b" }', {"a": "b"}),
        ("section", "{ a = 1 }", ("a",)),
        ("each", "[{}, {}]", [("k", 0), ("k", 1)]),
    ],
)
def test_a_right_value_is_read(read: str, value: str, expected: object) -> None:
    section = section_of(f"k = {value}")
    assert READS[read](section) == expected
    section.close()
    assert section.document.problems == []


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        ("text", "1", "default"),
        ("text", '""', "default"),
        ("text", '"A"', "default"),
        ("texts", '"a"', ()),
        ("texts", "[1]", ()),
        ("texts", '[""]', ()),
        ("choice", '"aple"', Fruit.PEAR),
        ("choice", "1", Fruit.PEAR),
        ("word", '"yess"', "no"),
        ("word", "{}", "no"),
        ("flag", '"true"', True),
        ("number", "11", 5),
        ("number", "true", 5),
        ("number", '"7"', 5),
        ("duration", '"1"', 5.0),
        ("duration", "60", 5.0),
        ("duration", '"2h"', 5.0),
        ("size", '"1GB"', 5),
        ("size", "16", 5),
        ("size", '"1MiB"', 5),
        ("day", '"2027-02-01"', None),
        ("day", "2027-02-01T10:00:00Z", None),
        ("mapping", "{ a = 1 }", {}),
        ("mapping", "[]", {}),
        ("section", "1", ()),
        ("each", "{}", []),
        ("each", "[1]", []),
    ],
)
def test_a_wrong_value_is_one_problem_and_the_default(read: str, value: str, expected: object) -> None:
    section = section_of(f"\nk = {value}")
    assert READS[read](section) == expected
    assert [(problem.line, problem.key) for problem in section.document.problems] == [(2, "k")]


@pytest.mark.parametrize("read", READS)
def test_a_missing_key_is_the_default(read: str) -> None:
    section = section_of("")
    READS[read](section)
    assert section.document.problems == []


def test_an_unknown_key_names_the_nearest_right_one() -> None:
    section = section_of('[upstreams.files]\ncomand = "npx"')
    child = section.section("upstreams").section("files")
    child.text("command")
    child.close()
    assert [str(problem) for problem in section.document.problems] == [
        "f.toml:2 [upstreams.files] `comand`: unknown key; did you mean `command`?"
    ]


def test_children_are_tables() -> None:
    section = section_of("a = 1\n[b]\nc = 1")
    assert [name for name, _ in section.children()] == ["b"]
    assert [problem.line for problem in section.document.problems] == [1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb =\n", 2),
        ("a = 1\na = 2", 2),
        ("x" * (MAX_TEXT + 1), 1),
        ("a = " + "[" * 5000 + "]" * 5000, 1),
        ("a = 1\nb = " + "9" * 5000, 2),
        ("a = 1\n\nb = 1_" + "0_" * 5000 + "0", 3),
        ("a = 1\n[b]\nc = [1, 0x" + "f" * 5000 + "]", 3),
        (f"a = 1\nb = {{ c = [{{ d = {2**63} }}] }}", 2),
        (f"a = 1\nb = {-(2**63) - 1}", 2),
    ],
    ids=[
        *("no value", "twice", "too long", "too deep", "too many digits", "and signs between them"),
        *("more digits than can be shown", "above 64 bits", "below 64 bits"),
    ],
)
def test_what_is_no_toml_is_one_problem_with_its_line(text: str, line: int) -> None:
    document = Document("f.toml", text)
    assert not document.readable
    assert [problem.line for problem in document.problems] == [line]


def test_whole_numbers_have_64_bits() -> None:
    document = Document("f.toml", f'a = {2**63 - 1}\nb = {-(2**63)}\nc = {{ d = [1.5, true, "{"9" * 5000}"] }}')
    assert document.readable
    assert document.problems == []


def test_a_problem_reads_as_one_line() -> None:
    whole = Problem("f.toml", 3, "a.b", "key", "x", "expected more", "keys", Severity.WARNING)
    assert str(whole) == "f.toml:3 [a.b] `key`: expected more; did you mean `keys`?"
    assert str(Problem("f.toml", 0, "", "", "", "is gone")) == "f.toml: is gone"


def test_paths_and_durations_and_near_names() -> None:
    assert named(("rule", 1, "approve")) == "rule 2.approve"
    assert seconds("1d") == 86400
    assert seconds("1 d") is None
    assert nearest("comand", ["command", "args"]) == "command"
    assert nearest("zzz", ["command"]) == ""


def test_a_long_value_is_told_short() -> None:
    section = section_of(f'k = "{"z" * 500}"\nb = true')
    section.number("k", 0, 0, 1)
    section.text("b")
    assert max(len(str(problem)) for problem in section.document.problems) < 160
    assert section.place.line == 1
    assert Path(section.place.file).name == "f.toml"
