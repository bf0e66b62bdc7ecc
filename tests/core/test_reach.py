"""Reach: what would pass unasked of a hijacked agent. Never less than `decide` lets pass, and told in a number."""

from datetime import date, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.flow import ARGUMENT, PROMPT, TRUSTED
from gateway.core.model import Choice, Effect, Tier
from gateway.core.openings import (
    ANY,
    CONDITION,
    GRANTED,
    LIST,
    ORIGIN,
    REST,
    VOUCHED,
    WHOLE,
    Change,
    item,
    lines,
    of_grant,
    route_item,
)
from gateway.core.reach import reach, told_change, tools_of
from tests.core.attacked import CLIENTS, EVERYBODY, LABELS, granted, mail, reached, rule, told
from tests.core.cases import NOW, policy_of


@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        pytest.param("", {("fetch", "url"): {ANY}}, id="no rule: reads, and with them what fetches"),
        pytest.param(rule('"*"', "block"), {}, id="everything is blocked"),
        pytest.param(rule('"*"', "ask"), {}, id="everything is asked about"),
        pytest.param(
            rule('["drop", "fetch"]', "allow"),
            {("drop", "name"): {ANY}, ("fetch", "url"): {ANY}},
            id="allowed outright",
        ),
        pytest.param(
            rule('"send"', "allow", 'has(args.to) && args.to == "x" && args.cc == "y"')
            + rule('"fetch"', "ask", id="f"),
            {("send", "to"): {CONDITION}, ("send", "cc"): {CONDITION}, ("send", WHOLE): {CONDITION}},
            id="allowed while a condition holds",
        ),
        pytest.param(
            rule('["send", "fetch"]', "allow", 'size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))'),
            {("send", "to"): {LIST}, ("send", "cc"): {LIST}, ("fetch", "url"): {ANY}},
            id="allowed to those of a list",
        ),
        pytest.param(
            rule('"send"', "allow", 'size(sinks) > 0 && sinks.all(s, listed(s, "nobody"))')
            + rule('"fetch"', "ask", id="f"),
            {},
            id="allowed to those of an empty list",
        ),
        pytest.param(
            rule('"send"', "allow", 'size(args.to) > 0 && args.to.all(t, listed(t, "colleagues")) && !has(args.cc)')
            + rule('"fetch"', "ask", id="f"),
            {("send", "to"): {LIST}, ("send", "cc"): {CONDITION}, ("send", WHOLE): {CONDITION}},
            id="each value of one sink is listed",
        ),
        pytest.param(
            rule('["send", "drop", "fetch"]', "allow", "!session.tainted") + rule('"fetch"', "ask", id="f"),
            {},
            id="allowed in clean sessions only",
        ),
        pytest.param(
            rule('"*"', "ask-unless-proven"),
            {
                ("send", "to"): {ORIGIN},
                ("send", "cc"): {ORIGIN, LIST},
                ("put", "path"): {ORIGIN},
                ("put", WHOLE): {ANY},
                ("put_two", "path"): {ORIGIN},
                ("put_two", WHOLE): {ANY},
                ("fetch", "url"): {ORIGIN},
            },
            id="proven: what lists hold, and what a trusted source can be made to say",
        ),
        pytest.param(
            rule('["drop", "fetch"]', "block", "size(args) > 9") + rule('["drop", "fetch"]', "allow", id="a"),
            {("drop", "name"): {ANY}, ("fetch", "url"): {ANY}},
            id="a block that can be gone round",
        ),
        pytest.param(
            rule('"odd"', "allow") + rule('"fetch"', "ask", id="f"), {("odd", REST): {ANY}}, id="a tool without a label"
        ),
    ],
)
def test_what_passes_is_told_by_tool_and_sink(rules: str, passes: dict[tuple[str, str], set[str]]) -> None:
    assert told(reached(mail(rules))) == passes


def test_the_strictest_file_decides() -> None:
    allow, ask = rule('"mail/drop"', "allow", id="a"), rule('"mail/*"', "ask", id="b")
    labels = 'upstream = "mail"\n' + LABELS
    assert ("drop", "name") in told(reached(policy_of(labels, allow)))
    assert told(reached(policy_of(labels, allow, ask))) == {}
    narrow = rule('"mail/drop"', "allow", 'args.name == "x"', id="c")
    assert told(reached(policy_of(labels, allow, narrow)))["drop", "name"] == {
        ANY
    }  # where it doesn't hold, it is silent
    assert told(reached(policy_of(labels, allow, narrow + ask)))["drop", "name"] == {CONDITION}


def test_what_is_due_for_review_is_asked_and_what_observes_passes() -> None:
    allow, ask = rule('"put"', "allow"), rule('"put"', "ask")
    labels = 'upstream = "mail"\n'
    overdue = policy_of(f"review_by = {date(2026, 11, 21)}\n" + labels + LABELS + allow)
    assert ("put", "path") not in told(reached(overdue))
    observing = policy_of(f"observe_until = {date(2026, 11, 23)}\n" + labels + LABELS + ask)
    found = reached(observing)
    assert told(found)["put", "path"] == {ANY}
    assert any("recorded instead of asked" in line for line in lines(found))
    later = replace(EVERYBODY, now=NOW + timedelta(days=2))
    assert ("put", "path") not in told(reached(observing, later))


def test_the_origins_of_a_session_count_as_far_as_they_are_good_enough() -> None:
    policy = mail(
        rule('["send", "drop"]', "ask-unless-proven"), rule('"fetch"', "ask", id="f"), rule('"ask"', "block", id="b")
    )
    assert told(reached(policy)) == {("send", "cc"): {LIST}}
    trusted = reached(policy, replace(EVERYBODY, held=frozenset({TRUSTED})))
    assert told(trusted) == {("send", "to"): {ORIGIN}, ("send", "cc"): {LIST, ORIGIN}}
    both = told(reached(policy, replace(EVERYBODY, held=frozenset({PROMPT, ARGUMENT}))))
    assert both["drop", "name"] == {ORIGIN}


def test_each_scope_of_a_grant_opens_what_it_says() -> None:
    policy = mail(rule('"fetch"', "ask"))
    arguments = {"to": "eve@evil.example", "body": "b"}

    def with_(scope: Choice, name: str = "send", **more: Any) -> dict[tuple[str, str], set[str]]:
        given_ = granted(policy, name, scope, arguments if name == "send" else {"path": "/a"}, **more)
        return told(reached(policy, replace(EVERYBODY, grants=(given_,))))

    assert with_(Choice.ARGUMENTS) == with_(Choice.PATTERN) == {("send", "to"): {GRANTED}, ("send", WHOLE): {GRANTED}}
    assert with_(Choice.SESSION, "put") == {("put", "path"): {ANY}, ("put", WHOLE): {ANY}}
    assert with_(Choice.VOUCH, value="eve@evil.example") == {}  # there is no rule that a proof could settle
    for other in ({"ended": "revoked"}, {"used": 100}, {"client": "zed"}, {"labels": "x"}, {"expires_at": NOW}):
        assert with_(Choice.PATTERN, **other) == {}
    elsewhere = granted(policy, "put", Choice.SESSION, {"path": "/a"})
    assert told(reached(policy, replace(EVERYBODY, grants=(elsewhere,), session="s_2"))) == {}
    assert told(reached(policy, replace(EVERYBODY, grants=(elsewhere,), session="s_1"))) != {}


def test_a_value_that_was_vouched_for_counts_for_its_effect_and_a_block_holds_against_every_grant() -> None:
    policy = mail(rule('["send", "put"]', "ask-unless-proven"), rule('["ask", "fetch"]', "block", id="b"))
    vouch = granted(policy, "send", Choice.VOUCH, {}, value="eve@evil.example")
    found = reached(policy, replace(EVERYBODY, grants=(vouch,)))
    assert told(found)["send", "to"] == {VOUCHED}
    assert ("put", "path") not in told(found)
    assert any("'eve@evil.example'" in line and "grant g_1" in line for line in lines(found))
    blocked = mail(rule('"send"', "block"), rule('"fetch"', "ask", id="f"))
    pattern = granted(blocked, "send", Choice.PATTERN, {"to": "x"})
    assert told(reached(blocked, replace(EVERYBODY, grants=(pattern,)))) == {}


def test_the_number_counts_places_and_the_tools_by_which_what_is_private_leaves() -> None:
    closed = reached(mail(rule('["send", "fetch"]', "ask")))
    assert (closed.number, lines(closed)) == (0, ())
    found = reached(mail(rule('"send"', "allow", more='clients = ["cursor"]'), rule('"fetch"', "ask", id="f")))
    assert found.number == 4  # to, cc, the call itself, and what it can carry
    assert [(str(route.tool.ref), route.clients, route.reads) for route in found.routes] == [
        ("mail/send", ("cursor",), ("mail/look",))
    ]
    assert lines(found)[-1] == "mail/send can send out mail/look"
    assert route_item(found.routes[0])["reads"] == ["mail/look"]
    listed = reached(
        mail(
            rule('"send"', "allow", 'size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))'),
            rule('"fetch"', "ask", id="f"),
        )
    )
    assert listed.routes == ()  # colleagues get it, and nobody whom an attacker chooses


def test_without_accepted_definitions_the_names_and_patterns_of_the_policy_are_looked_at() -> None:
    policy = mail(
        rule('["send_*", "put_*"]', "allow"),
        rule('"fetch"', "ask", id="f"),
        rule('"*"', "block", "size(args) > 9", id="b"),
    )
    found = told(reached(policy, accepted=False))
    assert found["put_*", "path"] == {ANY}
    assert found["send_*", REST] == {ANY}  # no label covers it
    assert not [tool for tool, _ in found if tool == "*"]


def test_more_than_can_be_told_apart_counts_as_anything() -> None:
    def file(one: int) -> str:
        rules = [rule('"mail/drop"', "allow", f'args.name == "{one}-{two}"', id=f"r{one}.{two}") for two in range(7)]
        return "".join(rules) + rule('"mail/drop"', "ask", id=f"r{one}")

    labels = 'upstream = "mail"\n' + LABELS
    assert told(reached(policy_of(labels, file(0), file(1))))["drop", "name"] == {CONDITION}
    assert told(reached(policy_of(labels, *map(file, range(3)))))["drop", "name"] == {ANY}


def test_a_call_that_names_nothing_is_no_place_where_the_server_needs_a_name() -> None:
    policy = mail(rule('"put"', "ask-unless-proven"))
    kinds = {"path": {"type": "string"}, "content": {"type": "string"}, "mode": {"type": "string"}}

    def places(**schema: Any) -> set[str]:
        definition = {"name": "put", "inputSchema": {"type": "object", **schema}}
        tools = tools_of(policy, ("mail",), {"mail": {"put": definition}})
        return {opening.sink for opening in reach(policy, tools, replace(EVERYBODY, held=frozenset({PROMPT}))).openings}

    assert places(properties=kinds) == {"path", "mode", WHOLE}  # and what no label names is a place
    assert places(properties=kinds, required=["path"]) == {"path", "mode"}
    assert places(properties={**kinds, "path": {"type": "array"}}, required=["path"]) == {"path", "mode", WHOLE}
    assert places(required=["path"]) == {"path", WHOLE}


def test_a_change_tells_what_it_opens_and_closes() -> None:
    before, after = reached(mail(rule('"drop"', "allow"))), reached(mail(rule('"put"', "allow")))
    change = Change(before, after)
    assert any("mail/put (write)" in line for line in change.opened)
    assert [line.split(" ")[0] for line in change.closed] == ["mail/drop"]
    assert Change(after, after).opened == Change(after, after).closed == ()


def test_a_change_of_policy_tells_how_it_changes_the_number() -> None:
    before, after = (
        mail(rule('["fetch", "drop"]', "ask")),
        mail(rule('"fetch"', "ask"), rule('"drop"', "allow", id="a")),
    )
    number, *opened = told_change(before, after, NOW)
    assert number == "reach 0 -> 1"
    assert opened == ["reach: + mail/drop (destructive): `name` with any value (by a), for unknown"]
    assert told_change(after, before, NOW) == ("reach 1 -> 0",)
    assert told_change(after, after, NOW) == ()
    some = mail(rule('"fetch"', "ask"), rule('"drop"', "allow", more='clients = ["c*"]', id="a"))
    assert told_change(before, some, NOW)[1].endswith("for c*")
    everywhere = policy_of(rule('"mail/*"', "block"), rule('"*/odd"', "ask", id="b"))
    assert told_change(everywhere, everywhere, NOW) == ()


@pytest.mark.parametrize(
    ("choice", "arguments", "told_as"),
    [
        (Choice.ARGUMENTS, ("to", "body"), "the same call again, with `to`, `body` as on the card"),
        (Choice.ARGUMENTS, (), "the same call again, with no arguments as on the card"),
        (Choice.PATTERN, ("to", "body"), "`to` as on the card, with any value of `body`, `mood`"),
        (Choice.PATTERN, ("body",), "the tool as on the card, with any value of `body`, `mood`"),
        (Choice.SESSION, ("to",), "any call of this tool in this session, whatever its arguments"),
        (Choice.ONCE, ("to",), ""),
        (Choice.DENY, ("to",), ""),
    ],
)
def test_what_a_grant_would_open_is_told_before_it_is_given(
    choice: Choice, arguments: tuple[str, ...], told_as: str
) -> None:
    assert of_grant(choice, arguments, ("body", "mood")) == told_as


def test_a_vouch_is_told_by_its_effect() -> None:
    assert "wherever calls of this effect land" in of_grant(Choice.VOUCH, ("to",), ())


def test_an_opening_is_told_as_json() -> None:
    found = reached(mail(rule('"send"', "allow", more='rate = "30/hour"')))
    opening = next(one for one in found.openings if one.key == ("mail/send", "to"))
    assert item(opening) == {
        "of": "opening",
        "upstream": "mail",
        "tool": "send",
        "effect": "egress",
        "tier": "high",
        "sink": "to",
        "kind": "email",
        "passes": [{"values": "any", "detail": "", "by": "r", "rate": "30/hour", "clients": list(CLIENTS)}],
    }


@pytest.mark.parametrize("effect", [Effect.READ, Effect.WRITE])
def test_what_an_upstream_says_of_itself_raises_what_is_looked_at(effect: Effect) -> None:
    policy = mail(rule('"look"', "allow"))
    hints = {"readOnlyHint": effect is Effect.READ}
    tools = tools_of(policy, ("mail",), {"mail": {"look": {"name": "look", "annotations": hints}}})
    assert tools[0].tier is (Tier.READ if effect is Effect.READ else Tier.WRITE)
    assert bool(reach(policy, tools, EVERYBODY).openings) is (effect is Effect.WRITE)
