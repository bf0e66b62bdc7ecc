"""The inventory: who may call what, who answers for it, and what is wrong or due."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core import inventory
from gateway.core.inventory import (
    Callers,
    Due,
    Finding,
    Permission,
    Row,
    Use,
    Wanted,
    Ways,
    days_unused,
    due,
    findings,
    grant_row,
    placeholder,
    reachable,
    review_of,
    state_of,
    strict_first,
    unlabelled,
    usually,
    ways_to,
)
from gateway.core.model import Effect, Owner, ToolRef
from tests.core.cases import NOW, labelled, policy_of, tool_of
from tests.store.contract_people import a_grant

TODAY = NOW.date()
LABELS = '[lists]\nteam = ["*@corp.example"]\n[[tool]]\nmatch = "send"\neffect = "egress"\nsinks = { to = "email" }\n'
HEADED = f'upstream = "mail"\n{LABELS}[[tool]]\nmatch = "get"\neffect = "read"\n'


def rule(id: str, decide: str, more: str = "", tools: str = '"send"') -> str:
    return f'[[rule]]\nid = "{id}"\ntools = {tools}\ndecide = "{decide}"\n{more}\n'


def permission(name: str = "send", effect: Effect = Effect.EGRESS, **more: Any) -> Permission:
    owner = Owner("ada@corp.dev", "bob@corp.dev")
    tool = replace(tool_of(effect, name), owner=owner, acts_as="human ada")
    return replace(Permission(tool, inventory.ACCEPTED, {"claude-code": "ask", "unknown": "block"}), **more)


@pytest.mark.parametrize(
    ("rules", "tool", "word"),
    [
        pytest.param("", "send", "ask", id="no rule, above tier read"),
        pytest.param("", "get", "allow", id="no rule, a read"),
        pytest.param(rule("a", "allow"), "send", "allow", id="allowed outright"),
        pytest.param(rule("a", "allow", 'rate = "3/hour"'), "send", "allow", id="allowed, so many an hour"),
        pytest.param(rule("a", "ask"), "send", "ask", id="asked"),
        pytest.param(rule("a", "block"), "send", "block", id="blocked"),
        pytest.param(rule("a", "ask-unless-proven"), "send", "ask-unless-proven", id="proven"),
        pytest.param(rule("a", "allow", "when = 'args.n == 1'"), "send", "allow-some", id="under a condition"),
        pytest.param(
            rule("a", "allow", "when = 'size(sinks) > 0 && sinks.all(s, listed(s, \"team\"))'"),
            *("send", "allow-some"),
            id="for listed values",
        ),
        pytest.param(
            rule("a", "block", "when = 'args.n == 1'") + rule("b", "allow"), "send", "allow-some", id="blocked at times"
        ),
        pytest.param(
            rule("a", "allow", "when = 'args.n == 1'") + rule("b", "allow"),
            *("send", "allow-some"),
            id="allowed either way, where the condition doesn't err",
        ),
        pytest.param(rule("a", "allow", "when = 'has(args.n)'"), "send", "allow-some", id="for values that are there"),
        pytest.param(rule("a", "allow", 'clients = ["cursor"]'), "send", "ask", id="allowed for another client"),
        pytest.param(
            rule("a", "block", "clients = ['cursor']\nwhen = 'args.n == 1'") + rule("b", "allow"),
            *("send", "allow"),
            id="at times blocked for another client",
        ),
    ],
)
def test_who_may_call_is_read_from_the_rules(rules: str, tool: str, word: str) -> None:
    policy = policy_of(HEADED + rules)
    assert Callers(policy, ("claude-code",), TODAY).of(labelled(policy, tool)) == {"claude-code": word}


def test_a_policy_whose_review_is_overdue_asks() -> None:
    policy = policy_of('review_by = 2026-11-21\nupstream = "mail"\n' + LABELS + rule("a", "allow"))
    callers = Callers(policy, ("cursor", "unknown"), TODAY)
    assert callers.of(labelled(policy, "send")) == {"cursor": "ask", "unknown": "ask"}


def test_an_unknown_client_proves_nothing_to_a_rule_of_others() -> None:
    policy = policy_of(HEADED + rule("a", "ask-unless-proven", "clients = '*'"))
    callers = Callers(policy, ("cursor", "unknown"), TODAY)
    assert callers.of(labelled(policy, "send")) == {"cursor": "ask-unless-proven", "unknown": "ask"}


def test_tools_of_which_the_same_rules_speak_are_alike_but_for_their_tier() -> None:
    callers = Callers(policy := policy_of(HEADED), ("cursor",), TODAY)
    first = callers.of(labelled(policy, "send"))
    assert callers.of(labelled(policy, "other")) is first
    assert callers.of(labelled(policy, "get")) == {"cursor": "allow"}


@pytest.mark.parametrize(
    ("who", "usual", "others"),
    [({}, "", ()), ({"a": "ask", "b": "ask"}, "ask", ()), ({"a": "allow", "b": "ask", "c": "ask"}, "ask", ("a",))],
)
def test_what_most_clients_may_is_told_first(who: dict[str, str], usual: str, others: tuple[str, ...]) -> None:
    assert usually(who) == (usual, others)


@pytest.mark.parametrize(
    ("owner", "ways", "why"),
    [
        pytest.param("ada@corp.dev", Ways(), "", id="an address"),
        pytest.param("ada", Ways(frozenset({"ada"})), "", id="an approver"),
        pytest.param("os:ada", Ways(frozenset({"ada"}), mailbox=False), "", id="the user"),
        pytest.param("", Ways(), "nobody", id="nobody"),
        pytest.param("  ", Ways(frozenset({"  "})), "nobody", id="blanks"),
        pytest.param("the mail team", Ways(), "neither", id="no address"),
        pytest.param("ada@corp.dev, eve@x.dev", Ways(), "neither", id="two addresses"),
        pytest.param("ada@corp.dev", Ways(mailbox=False), "mailbox", id="no mailbox to write from"),
        pytest.param("ada@example.com", Ways(), "placeholder", id="a domain of documents"),
    ],
)
def test_an_owner_is_reached_by_the_console_or_by_mail(owner: str, ways: Ways, why: str) -> None:
    assert why in reachable(owner, ways)
    assert bool(reachable(owner, ways)) == bool(why)


@pytest.mark.parametrize(
    ("owner", "is_one"),
    [
        ("ada@example.com", True),
        ("ada@Mail.Example.ORG", True),
        ("it@corp.example", True),
        ("ada@x.test", True),
        ("ada@notexample.com", False),
        ("example.com", False),
    ],
)
def test_domains_of_documents_are_nobodys(owner: str, is_one: bool) -> None:
    assert placeholder(owner) == is_one


@pytest.mark.parametrize(
    ("targets", "mailbox"),
    [
        ((), False),
        (("ntfy://topic", "json://host"), False),
        (("mailtos://me@mail.corp.dev",), True),
        (("ntfy://topic", "keyring:mail/url"), True),
    ],
)
def test_mail_needs_a_mailbox_which_a_reference_may_be(targets: tuple[str, ...], mailbox: bool) -> None:
    assert ways_to({"ada": 1}, targets, "bob") == Ways(frozenset({"ada", "bob"}), mailbox)


def test_what_is_wrong_is_found_once_for_each_owner() -> None:
    found = findings(("", "ada", "ada", "eve@corp.dev"), "[upstreams.mail]", Ways(), date(2026, 11, 21), TODAY)
    assert [one.what for one in found] == ["unowned", "unreachable", "overdue"]
    assert "[upstreams.mail]" in found[0].do
    assert findings(("eve@corp.dev",), "x", Ways(), TODAY, TODAY) == ()
    assert findings(("eve@corp.dev",), "x", Ways(), None, TODAY) == ()


def test_a_tool_that_nobody_labelled_is_a_finding() -> None:
    policy = policy_of(HEADED)
    assert [one.what for one in unlabelled(labelled(policy, "other"))] == ["unlabelled"]
    assert unlabelled(labelled(policy, "send")) == ()


def test_the_first_review_of_the_files_that_speak_of_a_tool_counts() -> None:
    policy = policy_of(
        'review_by = 2027-03-01\nupstream = "mail"\n' + LABELS,
        'review_by = 2027-02-01\nupstream = "mail"\n' + rule("a", "ask"),
        'review_by = 2026-12-01\nupstream = "files"\n' + rule("b", "ask", tools='"*"'),
        'upstream = "mail"\n' + rule("c", "ask"),
    )
    assert review_of(policy, ToolRef("mail", "send")) == date(2027, 2, 1)
    assert review_of(policy, ToolRef("mail", "other")) is None


@pytest.mark.parametrize(
    ("lock", "held", "state"),
    [
        (None, "", "unlocked"),
        ({}, "why", "new"),
        ({"t": "d2"}, "why", "changed"),
        ({"t": "d1"}, "what is run changed", "held"),
        ({"t": "d1"}, "", "accepted"),
    ],
)
def test_a_tool_stands_to_the_lock_as_its_digest_does(lock: dict[str, str] | None, held: str, state: str) -> None:
    assert state_of(lock, "t", "d1", held) == state


@pytest.mark.parametrize(
    ("last", "since", "days"),
    [
        ("2026-11-20T12:00:00Z", (), 2),
        ("2026-11-23T12:00:00Z", (), 0),
        ("", (NOW - timedelta(days=9), NOW - timedelta(days=3), None), 3),
        ("", (None,), 0),
    ],
)
def test_days_are_counted_since_the_last_use_or_since_there_could_be_one(
    last: str, since: tuple[datetime | None, ...], days: int
) -> None:
    assert days_unused(last, since, NOW) == days


FINDING = Finding("unlabelled", "nobody said", "label it")


def test_a_row_has_all_that_the_contract_names() -> None:
    row = permission(use=Use("2026-11-20T12:00:00.000000Z", 3, 1), review_by=TODAY, findings=(FINDING,)).item()
    contract = {"upstream", "tool", "exposed_as", "effect", "tier", "owner", "acts_as", "state", "digest"}
    assert contract | {"last_used", "calls_30d"} <= set(row)
    assert (row["owner"], row["technical_owner"], row["approvals_30d"]) == ("ada@corp.dev", "bob@corp.dev", 1)
    assert (row["review_by"], row["findings"]) == ("2026-11-22", [{**row["findings"][0], "what": "unlabelled"}])
    bare = permission(tool=tool_of()).item()
    assert (bare["owner"], bare["business_owner"], bare["technical_owner"], bare["review_by"]) == ("", "", "", "")


def test_other_rows_have_an_owner_too() -> None:
    row = Row("list", "team", "ada", "*@corp.dev", review_by=TODAY, findings=(FINDING,))
    assert row.item() == {
        "kind": "list",
        "name": "team",
        "owner": "ada",
        "detail": "*@corp.dev",
        "client": "",
        "review_by": "2026-11-22",
        "findings": [{"what": "unlabelled", "found": "nobody said", "do": "label it"}],
    }
    assert Row("list", "team", "ada", "").item()["review_by"] == ""


def test_a_grant_is_owned_by_who_gave_it() -> None:
    grant = a_grant(owner="os:eve", client="cursor", upstream="mail", tool="send")
    row = grant_row(grant, Ways(frozenset({"ada"})))
    assert (row.kind, row.name, row.owner, row.client) == ("grant", grant.id, "os:eve", "cursor")
    assert "mail/send" in row.detail
    assert [one.what for one in row.findings] == ["unreachable"]
    assert grant_row(grant, Ways(frozenset({"eve"}))).findings == ()


LIST = Row("list", "team", "eve", "", client="cursor", review_by=TODAY + timedelta(days=10))
ALL = frozenset(inventory.KINDS)


@pytest.mark.parametrize(
    ("wanted", "tool", "row"),
    [
        pytest.param(Wanted(), True, False, id="tools where nothing is said"),
        pytest.param(Wanted(ALL), True, True, id="all"),
        pytest.param(Wanted(frozenset({"list"})), False, True, id="lists"),
        pytest.param(Wanted(ALL, upstream="mail"), True, False, id="upstream"),
        pytest.param(Wanted(upstream="files"), False, False, id="another upstream"),
        pytest.param(Wanted(tool="s?nd"), True, False, id="a pattern"),
        pytest.param(Wanted(tool="mail/*"), True, False, id="a pattern of the whole name"),
        pytest.param(Wanted(tool="mail__*"), True, False, id="a pattern of the name that clients see"),
        pytest.param(Wanted(tool="get*"), False, False, id="another pattern"),
        pytest.param(Wanted(ALL, effect="egress"), True, False, id="effect"),
        pytest.param(Wanted(effect="read"), False, False, id="another effect"),
        pytest.param(Wanted(ALL, tier="high"), True, False, id="tier"),
        pytest.param(Wanted(tier="read"), False, False, id="another tier"),
        pytest.param(Wanted(ALL, state="accepted"), True, False, id="state"),
        pytest.param(Wanted(state="new"), False, False, id="another state"),
        pytest.param(Wanted(state="held"), False, False, id="not held"),
        pytest.param(Wanted(ALL, owner="BOB"), True, False, id="a technical owner"),
        pytest.param(Wanted(ALL, owner="eve"), False, True, id="another owner"),
        pytest.param(Wanted(ALL, client="claude-code"), True, False, id="a client that may call"),
        pytest.param(Wanted(ALL, client="cursor"), False, True, id="a client that has something else"),
        pytest.param(Wanted(client="unknown"), False, False, id="a client that may not call"),
        pytest.param(Wanted(ALL, unused=5), True, False, id="unused"),
        pytest.param(Wanted(unused=6), False, False, id="used"),
        pytest.param(Wanted(ALL, due=10), True, True, id="due"),
        pytest.param(Wanted(ALL, due=9), True, False, id="due soon"),
        pytest.param(Wanted(due=2), False, False, id="not due"),
    ],
)
def test_rows_are_found_by_what_is_asked(wanted: Wanted, tool: bool, row: bool) -> None:
    one = permission(unused=5, review_by=TODAY + timedelta(days=3))
    assert (wanted.admits(one, TODAY), wanted.admits(LIST, TODAY)) == (tool, row)


def test_what_is_new_is_held_too() -> None:
    one = permission(state="new")
    assert not Wanted(state="held").admits(one, TODAY)
    assert Wanted(state="held").admits(replace(one, tool=replace(one.tool, held="new")), TODAY)


def test_what_is_due_is_told_by_owner() -> None:
    rows = [
        permission("old", unused=90),
        permission("used", unused=89),
        permission("new", state="new", review_by=TODAY + timedelta(days=14)),
        replace(permission("nobodys", state="changed"), tool=tool_of(name="nobodys")),
        LIST,
        Row("policy", "p.toml", "zoe", "", review_by=TODAY + timedelta(days=15)),
    ]
    assert due(rows, 14, 90, TODAY) == (
        Due("ada@corp.dev", (("mail/old", "unused for 90 days"), ("mail/new", "to be reviewed by 2026-12-06, new"))),
        Due("eve", (("team", "to be reviewed by 2026-12-02"),)),
    )


def test_what_can_do_most_harm_stands_first() -> None:
    rows = [permission("b", Effect.READ), permission("z"), permission("a"), permission("w", Effect.WRITE)]
    assert [one.tool.ref.name for one in sorted(rows, key=strict_first)] == ["a", "z", "w", "b"]


def test_times_of_the_record_are_read_in_utc() -> None:
    assert days_unused("2026-11-21T13:00:00.000000Z", (), datetime(2026, 11, 22, 12, tzinfo=UTC)) == 0
