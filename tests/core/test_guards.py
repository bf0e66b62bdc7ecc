"""Conditions that look values up in a list and would hold of none: by their form."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.conditions import compile_condition
from gateway.core.policy.guards import unguarded
from gateway.core.sinks import ValueList

LISTS = {"colleagues": ValueList.of(["*@corp.example"])}
ALL = 'sinks.all(s, listed(s, "colleagues"))'
PIECES = (
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "&&",
    "||",
    "!",
    "?",
    ":",
    ">",
    "0",
    "size",
    "sinks",
    "all",
    "exists",
    "listed",
    "s",
)
NONE = '!sinks.exists(s, !listed(s, "colleagues"))'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ALL, ["sinks"]),
        (NONE, ["sinks"]),
        (f"size(sinks) > 0 && {ALL}", []),
        (f"{ALL} && sinks.size() != 0", []),
        (f"size(sinks) >= 1 && ({NONE})", []),
        (f"size(sinks) == 2 && ({NONE} && session.tainted)", []),
        (f"(tool.effect == 'egress' && (size(sinks) > 0)) && {ALL}", []),
        (f"size(sinks) >= 0 && {ALL}", ["sinks"]),
        (f"!(size(sinks) > 0) && {ALL}", ["sinks"]),
        (f"tool.effect == 'egress' && {NONE}", ["sinks"]),
        (f"session.tainted && {NONE}", ["sinks"]),
        (f"args.subject == 'x' && {NONE}", ["sinks"]),
        (f"(size(sinks) > 0 || tool.tier == 'high') && {ALL}", ["sinks"]),
        (f"size(sinks) > 0 || {ALL}", ["sinks"]),
        (f"session.tainted || size(sinks) > 0 && {ALL}", []),
        (f"size(sinks) > 0 && (session.tainted || {ALL})", []),
        (f"session.tainted && (size(sinks) > 0 && {ALL} || {NONE})", ["sinks"]),
        (f"size(sinks) > 0 ? {ALL} : false", ["sinks"]),
        (f"(session.tainted ? {ALL} : true) && size(sinks) > 0", []),
        (f"session.tainted ? {ALL} : sinks.size() > 0", ["sinks"]),
        (f"{ALL} == sinks.size() > 0", ["sinks"]),
        (f"size(args.to) == 0 == {ALL} && size(args.to) > 0", ["sinks"]),
        (f"size(args.to) > 0 && {ALL}", ["sinks"]),
        ('!sinks.exists_one(s, !listed(s, "colleagues"))', ["sinks"]),
        ('sinks.filter(s, !listed(s, "colleagues")).size() == 0', ["sinks"]),
        ('size(sinks.filter(s, listed(s, "colleagues"))) > 0', []),
        ('!args.m.to.exists(s, !listed(s, "colleagues")) && size(sinks) > 0', ["args.m.to"]),
        ('args["to"].size() > 0 && args["to"].all(s, listed(s, "colleagues"))', []),
        ('size(args.to) > 0 && (args.to).all(s, listed(s, "colleagues"))', ["(args.to)"]),
        ('args.a.all(x, listed(x, "colleagues")) && args.b.all(x, listed(x, "colleagues"))', ["args.a", "args.b"]),
        ('sinks.exists(s, listed(s, "colleagues"))', []),
        ('(sinks.exists(s, listed(s, "colleagues")) && session.tainted)', []),
        ('sinks.exists(s, listed(s, "colleagues")) == false', ["sinks"]),
        ('true in [args.to.all(s, listed(s, "colleagues"))]', ["args.to"]),
        ('args.a.exists(x, x.to.all(t, listed(t, "colleagues")))', ["x.to"]),
        ('args.a.exists(x, size(x.to) > 0 && x.to.all(t, listed(t, "colleagues")))', []),
        ('size(args.a) > 0 && !args.a.exists(x, size(x.to) > 0 && !x.to.all(t, listed(t, "colleagues")))', ["x.to"]),
        ('[args.to, args.cc].all(t, listed(t, "colleagues"))', []),
        ('{"a": 1}.all(t, listed(t, "colleagues"))', []),
        ('[].all(t, listed(t, "colleagues"))', ["[]"]),
        ("sinks.all(s, s != '')", []),
        ('listed(args.to, "colleagues") && !listed(principal.id, "colleagues")', []),
        ("session.calls_10m < 9", []),
    ],
)
def test_what_is_looked_up_needs_a_size_beside_it(text: str, found: Sequence[str]) -> None:
    assert compile_condition(text, LISTS)[1] == []
    assert unguarded(text) == tuple(found)


@pytest.mark.parametrize(
    "text",
    [
        'sinks.all(s, listed(s, "colleagues"',
        '.all(s, listed(s, "colleagues"))',
        ").all(s, listed",
        "((",
        "&& ||",
        "? :",
        "",
    ],
)
def test_what_is_no_condition_breaks_nothing(text: str) -> None:
    assert isinstance(unguarded(text), tuple)


@given(st.lists(st.sampled_from(PIECES), max_size=24))
def test_nothing_that_can_be_written_breaks_it(pieces: list[str]) -> None:
    assert isinstance(unguarded(" ".join(pieces)), tuple)
