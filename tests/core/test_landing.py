"""Where calls land and what they read, from records that hold redacted arguments or digests."""

from typing import Any

import pytest

from gateway.core.landing import LONGEST, MOST, MOST_LEAVES, Thing, mark, scopes_of, sinks_of
from gateway.core.model import Effect, Labels, Record, SinkKind
from tests.fakes import a_record

MAIL = Labels(
    Effect.EGRESS,
    sinks={
        "to": SinkKind.EMAIL,
        "hook": SinkKind.URL,
        "host": SinkKind.HOST,
        "file": SinkKind.PATH,
        "iban": SinkKind.ACCOUNT,
        "channel": SinkKind.ID,
        "amount": SinkKind.AMOUNT,
    },
    payload=("body",),
    inert=("priority",),
)


def sent(effect: str = "egress", **arguments: Any) -> Record:
    return a_record(effect=effect, arguments=arguments)


def read(tool: str = "read", **arguments: Any) -> Record:
    return a_record(tier="read", effect="read", tool=tool, arguments=arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"to": ["Bob@X.example", "bob@x.example"]}, [("email", "bob@x.example")]),
        ({"hook": "https://Hooks.x.example/a?b=c"}, [("host", "hooks.x.example")]),
        ({"host": "X.example."}, [("host", "x.example")]),
        ({"file": "/srv/pay/2026/11/29/all.csv"}, [("folder", "/srv/pay/2026/11")]),
        ({"file": "notes/a.txt"}, [("folder", "notes")]),
        ({"file": "a.txt"}, [("folder", ".")]),
        ({"file": "/a.txt"}, [("folder", "/")]),
        ({"iban": "de12 3456"}, [("account", "DE123456")]),
        ({"channel": "C042"}, [("recipient", "C042")]),
        ({"amount": 5, "priority": "a@x.example", "body": "b@x.example"}, []),
        ({"to": "nobody", "hook": "nowhere", "file": "../up"}, []),
        ({"other": "c@x.example"}, [("email", "c@x.example")]),
        ({"other": {"deep": ["ftp://x.example", "http://y.example/", 7, None, True, 1.5]}}, [("host", "y.example")]),
        ({"other": "~/work/notes"}, [("folder", "~/work/notes")]),
        ({"other": "/../etc"}, []),
        ({"to": "a@[REDACTED:pii:1].example"}, []),
        ({"to": f"a@{'x' * LONGEST}.example"}, []),
    ],
)
def test_sinks_are_canonical_by_their_kind(arguments: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert sinks_of(sent(**arguments), MAIL) == tuple(Thing(*each) for each in expected)


def test_an_id_is_a_recipient_only_where_something_is_sent_to_it() -> None:
    assert sinks_of(sent("destructive", channel="C042"), MAIL) == ()


def test_of_a_tool_without_labels_what_reads_as_an_address_counts() -> None:
    told = sinks_of(sent(to="a@x.example", text="see a@x.example/b", at="/srv/a/b.txt"), Labels())
    assert told == (Thing("email", "a@x.example"), Thing("folder", "/srv/a"))


def test_where_only_digests_are_recorded_those_are_compared() -> None:
    leaves = {"to[0]": "ab" * 16, "body": "cd" * 16, "amount": "ef" * 16, "#3": "01" * 16, "x.to": "23" * 16}
    found = sinks_of(a_record(leaves=leaves), MAIL)
    assert found == (Thing("email", "ab" * 16, secret=True),)


def test_so_many_things_and_values_of_one_call_are_looked_at() -> None:
    many = [f"a{number}@x.example" for number in range(5 * MOST_LEAVES)]
    assert len(sinks_of(sent(to=many), MAIL)) == MOST
    late = {"host": [1] * (MOST_LEAVES + 1), "to": "a@x.example"}
    assert Thing("email", "a@x.example") not in sinks_of(sent(**late), MAIL)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"path": "/srv/pay/roll.csv"}, [("folder", "/srv/pay")]),
        ({"directory": "/srv/pay"}, [("folder", "/srv/pay")]),
        ({"path": "../x"}, []),
        ({"owner": "ada", "repo": "engine"}, [("repository", "ada/engine")]),
        ({"repository": "ada/engine"}, [("repository", "ada/engine")]),
        ({"repo": "engine"}, [("repository", "engine")]),
        ({"sql": 'select * from Pay.Roll join "people" on 1=1'}, [("table", "pay.roll"), ("table", "people")]),
        ({"query": "lunch"}, []),
        ({"table": "Staff"}, [("table", "staff")]),
        ({"mailbox": "Inbox"}, [("mailbox", "inbox")]),
        ({"url": "https://x.example/a", "about": "a@x.example"}, [("host", "x.example")]),
        ({"text": "anything"}, []),
    ],
)
def test_reads_name_folders_repositories_tables_and_mailboxes(
    arguments: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert scopes_of(read(**arguments)) == tuple(Thing(*each) for each in expected)


def test_only_reads_have_scopes_and_only_what_the_record_holds() -> None:
    assert scopes_of(sent(path="/srv/a.txt")) == ()
    assert scopes_of(a_record(tier="read", arguments=None)) == ()
    assert scopes_of(a_record(tier="read", method="prompts/get", arguments={"path": "/srv/a.txt"})) == ()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mail://inbox/42", "mail://inbox"),
        ("mail://inbox", "mail://inbox"),
        ("file:///srv/pay/2026/11/29/x.csv?a=b", "file://srv/pay/2026/11"),
    ],
)
def test_a_resource_is_of_what_it_lies_in(uri: str, expected: str) -> None:
    assert scopes_of(a_record(tier="read", method="resources/read", tool=uri)) == (Thing("folder", expected),)


@pytest.mark.parametrize("uri", ["", "mail://[REDACTED:name:ab]", "mail://" + "x" * LONGEST])
def test_a_resource_that_is_not_told_is_of_nothing(uri: str) -> None:
    assert scopes_of(a_record(tier="read", method="resources/read", tool=uri)) == ()


def test_no_two_things_have_the_same_mark() -> None:
    assert len({mark("a", "b", "c"), mark("a", "bc"), mark("ab", "c"), mark("a", "b\x00c"), mark("a", '","')}) == 5
