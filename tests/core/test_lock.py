"""The lock: written and read again, compared with what is offered, and what it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import lock as locks
from gateway.core.lock import Difference, Locked, Runtime, State
from gateway.core.model import Tier

A, B, C = (letter * 64 for letter in "abc")
NPX = Runtime("/usr/bin/npx", "server@1.0", version="0.2")
FILES = Locked(NPX, C, {"read": A, "write": B}, {"greet": A}, {"file:///{path}": B})
LOCK = {"files": FILES, "web": Locked(Runtime(host="mcp.example:8443"))}
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
DIGESTS = st.sampled_from([A, B, C])
OFFERS = st.dictionaries(NAMES, DIGESTS, max_size=3)
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
LOCKED = st.builds(
    Locked, st.builds(Runtime, WORDS, WORDS, WORDS, WORDS), st.sampled_from(["", A]), OFFERS, OFFERS, OFFERS
)
ANY_LOCK = st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), LOCKED, max_size=3)


@given(ANY_LOCK)
def test_what_is_written_is_read_again_and_written_the_same(lock: dict[str, Locked]) -> None:
    text = locks.render(lock)
    found, problems = locks.parse(text)
    assert (found, problems) == (lock, ())
    assert locks.render(dict(reversed(list(found.items())))) == text
    assert locks.mark(found) == locks.mark(lock)


@given(ANY_LOCK, ANY_LOCK)
def test_a_renewed_lock_differs_in_nothing_and_holds_nothing(lock: dict[str, Locked], live: dict[str, Locked]) -> None:
    renewed = locks.renewed(lock, live, frozenset({*lock, *live}))
    assert list(locks.differences(renewed, live)) == []
    for upstream, now in live.items():
        for kind in locks.KINDS:
            for name, digest in now.of(kind).items():
                assert locks.held(renewed, upstream, kind, name, digest, Tier.HIGH, now.runtime) == ""


@given(ANY_LOCK, ANY_LOCK)
def test_what_differs_is_held_and_what_is_held_differs(lock: dict[str, Locked], live: dict[str, Locked]) -> None:
    told = {(one.upstream, one.kind, one.name) for one in locks.differences(lock, live)}
    for upstream, now in live.items():
        for kind in locks.KINDS:
            for name, digest in now.of(kind).items():
                held = bool(locks.held(lock, upstream, kind, name, digest, Tier.READ, now.runtime))
                assert held is ((upstream, kind, name) in told)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("schema = 2\n", "schema"),
        ("", "schema"),
        ("schema = 1\nmore = 1\n", "more"),
        ("schema = 1\n[upstreams.files]\ncomand = 'x'\n", "comand"),
        ("schema = 1\n[upstreams.files.tools]\nread = 'abc'\n", "read"),
        ("schema = 1\n[upstreams.files]\ninstructions = 'abc'\n", "instructions"),
        ("schema = 1\n<<<<<<< mine\n", ""),
    ],
    ids=[
        "another schema",
        "no schema",
        "unknown key",
        "unknown key of an upstream",
        "no digest",
        "instructions",
        "merge",
    ],
)
def test_a_lock_that_says_something_else_is_not_used(text: str, key: str) -> None:
    _, problems = locks.parse(text)
    assert [problem.key for problem in problems] == [key]
    assert problems[0].file == "tools.lock"


def test_every_difference_is_told_by_what_it_is() -> None:
    now = Locked(Runtime("/usr/bin/npx", "server@2.0", version="0.2"), A, {"read": B, "new": A}, {}, FILES.templates)
    assert list(locks.differences(LOCK, {"files": now})) == [
        Difference("files", "runtime", "files", State.CHANGED, NPX.digest, now.runtime.digest),
        Difference("files", "instructions", "files", State.CHANGED, C, A),
        Difference("files", "tools", "new", State.NEW, "", A),
        Difference("files", "tools", "read", State.CHANGED, A, B),
        Difference("files", "tools", "write", State.GONE, B, ""),
        Difference("files", "prompts", "greet", State.GONE, A, ""),
    ]
    assert list(locks.gone(LOCK, frozenset({"files"}))) == [
        Difference("web", "runtime", "web", State.GONE, LOCK["web"].runtime.digest)
    ]
    assert list(locks.gone(None, frozenset())) == []


def test_without_a_lock_everything_is_new() -> None:
    assert {one.state for one in locks.differences(None, LOCK)} == {State.NEW}
    assert len(list(locks.differences(None, LOCK))) == 7


def test_an_upstream_that_was_not_asked_stays_and_one_that_is_not_configured_goes() -> None:
    fresh = {"web": Locked(Runtime(host="other.example"))}
    assert locks.renewed(LOCK, fresh, frozenset({"files", "web"})) == {"files": FILES, **fresh}
    assert locks.renewed(LOCK, fresh, frozenset({"web"})) == fresh
    assert locks.renewed(None, fresh, frozenset({"web"})) == fresh


@pytest.mark.parametrize("kind", ["runtime", "instructions", "tools", "prompts", "templates"])
def test_one_thing_is_accepted_and_nothing_else(kind: str) -> None:
    now = Locked(Runtime("other"), A, {"read": C, "write": C}, {"greet": C}, {"file:///{path}": C})
    found = list(locks.differences(LOCK, {"files": now}))
    (one, *_) = [each for each in found if each.kind == kind]
    after = locks.accepted(LOCK, one, now)
    assert [each for each in found if each != one] == list(locks.differences(after, {"files": now}))
    assert after["web"] is LOCK["web"]


def test_a_tool_of_an_upstream_that_nobody_locked_is_accepted_without_what_is_run() -> None:
    (_, one) = locks.differences(LOCK, {"mail": Locked(NPX, tools={"send": A})})
    after = locks.accepted(LOCK, one, Locked(NPX, tools={"send": A}))
    assert locks.held(after, "mail", "tools", "send", A, Tier.READ, NPX) == ""
    assert "what is run" in locks.held(after, "mail", "tools", "send", A, Tier.WRITE, NPX)


@pytest.mark.parametrize("required", [True, False])
def test_without_a_lock_only_reads_pass(required: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "REQUIRED", required)
    assert locks.held(None, "files", "tools", "read", A, Tier.READ, NPX) == ""
    for tier in (Tier.WRITE, Tier.HIGH):
        assert locks.held(None, "files", "tools", "write", A, tier, NPX) == (locks.UNLOCKED if required else "")
    assert not locks.withheld(None, "files", A)


def test_with_a_lock_a_read_passes_only_as_it_was_accepted() -> None:
    other = Runtime("/usr/bin/npx", "server@2.0")
    assert locks.held(LOCK, "files", "tools", "read", A, Tier.READ, other) == ""
    assert locks.held(LOCK, "files", "tools", "read", B, Tier.READ, NPX).startswith("changed")
    assert locks.held(LOCK, "files", "tools", "more", A, Tier.READ, NPX).startswith("new")
    assert locks.held(LOCK, "mail", "tools", "read", A, Tier.READ, NPX).startswith("new")
    assert "server@2.0" in locks.held(LOCK, "files", "tools", "write", B, Tier.WRITE, other)
    assert locks.held(LOCK, "files", "tools", "write", B, Tier.WRITE, NPX) == ""


def test_instructions_are_shown_only_as_they_were_accepted() -> None:
    assert not locks.withheld(LOCK, "files", C)
    assert locks.withheld(LOCK, "files", A)
    assert locks.withheld(LOCK, "mail", A)
    assert not locks.withheld(LOCK, "mail", "")
