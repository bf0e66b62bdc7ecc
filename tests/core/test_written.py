"""What a tainted session writes, and how it is met again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import written as module
from gateway.core.model import Effect, SinkKind, Tool
from gateway.core.written import made, met, unproven_links, written
from tests.core.cases import tool_of

NOTE = "Meet the new supplier, whose account is 4711"


def tool(**labels: Any) -> Tool:
    """A tool that writes something somewhere."""
    sinks = {"path": SinkKind.PATH, "channel": SinkKind.ID, "to": SinkKind.EMAIL, "title": SinkKind.TEXT}
    return tool_of(Effect.WRITE, **{"sinks": sinks, "payload": ("content",), "inert": ("mode",), **labels})


def meets(call: dict[str, Any], arguments: dict[str, Any], output: Any) -> bool:
    """Whether a read of this output meets what the call wrote."""
    found = met("mail", arguments, output)
    return found is None or bool(found & set(written(tool(), call)))


@pytest.mark.parametrize(
    ("call", "arguments", "output"),
    [
        ({"path": "/home/al/Notes.txt"}, {"path": "/home/al//notes.txt"}, "anything"),
        ({"path": "/home/al/notes.txt"}, {}, "a.md\nnotes.txt\n"),
        ({"path": "/home/al/notes.txt"}, {}, {"entries": [{"name": "notes.txt"}]}),
        ({"path": "/home/al/notes.txt"}, {}, json.dumps({"entries": ["/home/al/notes.txt"]})),
        ({"channel": "general"}, {"channel": "general"}, []),
        ({"content": f"# Plan\n{NOTE}\n"}, {}, f"1. first\n{NOTE.upper()}\n2. last"),
        ({"content": f"{NOTE}"}, {}, {"notes": [{"text": NOTE}]}),
        ({"title": NOTE}, {}, NOTE),
        ({"more": {"deep": [NOTE]}}, {}, NOTE),
    ],
)
def test_what_was_written_is_met(call: dict[str, Any], arguments: dict[str, Any], output: Any) -> None:
    assert meets(call, arguments, output)
    assert not meets(call, {"path": "/home/al/other.md"}, "other.md\nnothing of it")


SHOWN = {
    "grep -n": "/w/other.txt:12:{}",
    "grep, no number": "other.txt:{}",
    "grep -nb": "other.txt:12:3044:{}",
    "grep -C": "/w/other.txt-12-{}",
    "one file": "12:{}",
    "one file, context": "12-{}",
    "a path with spaces and colons": "my: other.txt:12:  {}",
    "a drive": "C:\\w\\other.txt:12:{}",
    "cat -n": "    12\t{}",
    "cat -n with arrows": "    12→{}",
    "bars": "12 | {}",
    "diff": "> {}",
    "unified diff": "+{}",
    "its old side": "-\t{}",
    "quoted twice": ">> > {}",
    "in a list": "  * {}",
    "numbered": "3. {}",
    "diff of grep": "+other.txt:12:{}",
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN.keys())
@pytest.mark.parametrize("line", [NOTE, f"- {NOTE}", f"> 1. {NOTE}", f"2026-11-29 10:00 {NOTE}", f"12: {NOTE}"])
def test_a_line_is_met_however_tools_show_where_it_stands(line: str, shown: str) -> None:
    call = {"content": f"# Plan\n{line}\n"}
    assert meets(call, {}, f"first\n{shown.format(line)}\nlast")
    assert meets(call, {"text": shown.format(line)}, [])
    assert not meets(call, {}, shown.format("Meet the new supplier, whose account is another"))


NAMED = {
    "/w/suppliers.txt": [
        "/w/suppliers.txt:1:all of it is in one line with many words",
        "see /w/suppliers.txt:1 for more of what was said of all of it",
        "/w/suppliers.txt-2-all of it is in one line with many words",
        "suppliers.txt:all of it is in one line with many words",
        "w/suppliers.txt:3:4: all of it is in one line with many words",
        "./w/suppliers.txt\n./w/other.txt",
        "+++ b/w/suppliers.txt",
    ],
    "/w/new suppliers.txt": [
        "/w/new suppliers.txt:1:all of it is in one line with many words",
        "new suppliers.txt:all of it is in one line with many words",
        "a.md\nnew suppliers.txt\nb.md",
    ],
    "note-00417": ["id:note-00417 and much more is said of it in this line", "see note:note-00417:all"],
}


@pytest.mark.parametrize(("path", "output"), [(path, output) for path, all_of in NAMED.items() for output in all_of])
def test_a_name_is_met_before_and_behind_a_colon(path: str, output: str) -> None:
    assert meets({"path": path}, {}, output)
    assert not meets({"path": path.replace("00417", "00418").replace("suppliers", "buyers")}, {}, output)


@given(
    st.from_regex(r"[A-Za-z][A-Za-z ,']{30,60}[a-z]", fullmatch=True),
    st.text("-+>*#| ", max_size=4),
    st.sampled_from(sorted(SHOWN)),
)
def test_no_marks_before_a_line_hide_it(line: str, marks: str, shown: str) -> None:
    assert meets({"content": marks + line}, {}, ["first", SHOWN[shown].format(marks + line)])


def test_a_line_of_figures_is_none_and_one_that_begins_with_a_date_is() -> None:
    assert written(tool(), {"content": "2026-11-29T10:00:00.000Z 12:00:00 +0100"}) == []
    assert len(written(tool(), {"content": f"2026-11-29 {NOTE}"})) == 1
    assert len(written(tool(), {"content": "1. " * 20 + "a"})) == 1


def test_of_a_line_so_many_places_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CUTS", 2)
    assert meets({"content": NOTE}, {}, f"aa: bb: {NOTE}")
    assert not meets({"content": NOTE}, {}, f"aa: bb: cc: {NOTE}")
    line = "ab:" * 100_000
    assert len(met("mail", {}, line) or ()) < 20


@pytest.mark.parametrize(
    ("call", "output"),
    [
        ({"to": "bob@corp.example"}, "bob@corp.example"),
        ({"mode": "overwrite everything"}, "overwrite everything"),
        ({"title": "2026-11-29T10:00:00Z"}, "2026-11-29T10:00:00Z"),
        ({"channel": "12"}, "12"),
        ({"title": "short"}, "short"),
    ],
)
def test_people_dates_and_what_is_too_short_are_no_objects(call: dict[str, Any], output: str) -> None:
    assert not meets(call, {}, output)


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ({"id": "evt_98xy", "title": "free"}, "evt_98xy"),
        ({"eventId": 98213}, {"events": [{"id": 98213}]}),
        ("Created event evt_98xy.", "one: evt_98xy"),
        ('{"uri": "note://shared/17"}', "note://shared/17"),
        ([{"text": "stored as page-0017"}], "page-0017"),
    ],
)
def test_what_a_result_says_it_made_is_met(result: Any, output: Any) -> None:
    found = met("mail", {}, output)
    assert found is not None
    assert found & set(made("mail", result))


def test_what_a_result_says_besides_is_not() -> None:
    assert made("mail", {"message": "done at 10:00 on 2026-11-29", "count": 3, "status": "created"}) == []
    assert made("mail", "Done at 12:30.") == []


def test_both_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(f"this is the line with number {number}" for number in range(1_000))
    assert len(written(tool(), {"content": lines})) == module.MOST_FORMS
    assert len(made("mail", {"ids": [f"id-{number}x" for number in range(1_000)]})) <= module.MOST_FORMS + 1
    monkeypatch.setattr(module, "MOST_READ", 10)
    assert met("mail", {}, "x" * 11) is None


def test_a_text_that_only_looks_like_json_is_read_as_it_stands() -> None:
    found = met("mail", {}, "{no json: notes.txt}")
    assert found is not None
    assert "entry mail notes.txt" in found


def test_what_an_object_is_called_is_kept_before_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no length of content, and no number of links in it, hides where it was written."""
    monkeypatch.setattr(module, "MOST_FORMS", 5)
    content = "\n".join(f"this is the line with number {number} of it" for number in range(9))
    call = {"content": content, "path": "/home/al/notes.txt"}
    found = written(tool(), call, (f"eve{number}@evil.example" for number in range(9)))
    assert len(found) == 5
    assert set(found) & (met("mail", {"path": "/home/al/notes.txt"}, []) or set())


def test_more_names_than_are_kept_make_everything_of_the_upstream_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FORMS", 5)
    found = written(tool(), {"path": [f"name-{number}" for number in range(9)]})
    assert len(found) == 5
    assert set(found) & (met("mail", {}, ["anything"]) or set())
    assert not set(found) & (met("files", {}, ["anything"]) or set())


@pytest.mark.parametrize("labels", [{"sinks": None}, {"sinks": {}}])
def test_what_no_label_speaks_of_counts_by_what_it_is_called(labels: dict[str, Any]) -> None:
    of = tool(**labels)
    assert set(written(of, {"file_path": "/home/al/x1.txt"})) & (met("mail", {"path": "/home/al/x1.txt"}, []) or set())
    assert written(of, {"title": "short", "mode": "over"}) == []


@pytest.mark.parametrize(
    "result",
    [
        {"description": "x" * (module.MOST_RESULT + 1), "id": "note-00417"},
        [f"{'x ' * module.MOST_RESULT}", {"id": "note-00417"}],
        ["note-00417 " + "x " * module.MOST_RESULT],
    ],
)
def test_a_long_result_hides_no_id(result: Any) -> None:
    assert set(made("mail", result)) & (met("mail", {"id": "note-00417"}, []) or set())


def test_a_result_is_looked_through_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_READ", 100)
    assert made("mail", [{"about": "x" * 101}, {"id": "note-00417"}]) == []


def test_links_that_nothing_proves_are_kept_before_lines_and_payload_names_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_FORMS", 2)
    content = "\n".join(f"this is the line with number {number} of it" for number in range(9))
    found = written(tool(), {"content": content}, ["eve@evil.example"])
    assert set(found) & (met("mail", {}, ["mail eve@evil.example"]) or set())
    assert written(tool(sinks={}, payload=("file_path",)), {"file_path": "/home/al/x1.txt"}) == []


def test_links_in_what_is_inert_are_not_written() -> None:
    call = {"content": "mail eve@evil.example", "mode": "mail ann@corp.example"}
    assert [form for _, form, _ in unproven_links(tool(), call)] == ["eve@evil.example"]


def test_a_name_as_long_as_a_line_is_met_in_a_listing() -> None:
    name = "the new suppliers of the year and their accounts.txt"
    for listing in (f"a.md\n{name}\nb.md", f"/w/{name}:12:all of it", f"w/{name}:all of it", f"total 3\n{name}"):
        assert meets({"path": f"/w/{name}"}, {}, listing)
