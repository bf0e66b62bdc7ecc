"""What of the secrets in a call's arguments a decision is told: those that leave, and no others."""

import pytest
from msgspec.structs import replace

from gateway.core.model import Act, Effect, Finding, Grade, Surface, Tool
from gateway.core.outward import MOST, excused, leaving, sends, spared
from tests.core.cases import tool_of

FOUND = Finding("github-pat", "text", "f" * 16)


@pytest.mark.parametrize(
    ("tool", "so"),
    [
        (tool_of(Effect.EGRESS), True),
        (tool_of(Effect.READ, fetches=True), True),
        (tool_of(Effect.READ), False),
        (tool_of(Effect.WRITE), False),
        (tool_of(Effect.DESTRUCTIVE), False),
        (replace(tool_of(Effect.EGRESS), surface=Surface.METHODS), False),
        (None, False),
    ],
    ids=["egress", "fetches", "read", "write", "destructive", "what an upstream asks", "unknown"],
)
def test_what_is_sent_outwards_follows_from_the_label(tool: Tool | None, so: bool) -> None:
    assert sends(tool) is so
    assert leaving(tool, [FOUND]) == (("github-pat in arguments.text",) if so else ())


def test_guesses_and_what_a_person_allowed_do_not_count() -> None:
    found = [replace(FOUND, grade=Grade.GENERIC), replace(FOUND, act=Act.ALLOWED), replace(FOUND, grade=Grade.EXACT)]
    assert leaving(tool_of(Effect.EGRESS), found) == ("github-pat in arguments.text",)
    assert leaving(tool_of(Effect.EGRESS), found[:2]) == ()


def test_each_is_told_once_and_no_more_than_a_card_holds() -> None:
    many = [replace(FOUND, place=f"list[{number}]") for number in range(MOST + 5)]
    told = leaving(tool_of(Effect.EGRESS), [FOUND, FOUND, *many])
    assert len(told) == MOST
    assert told[:2] == ("github-pat in arguments.text", "github-pat in arguments.list[0]")


def test_what_a_person_allowed_is_told_as_such_and_a_secret_of_our_own_never_is() -> None:
    own, other = replace(FOUND, exact=True), replace(FOUND, fingerprint="0" * 16)
    told = excused([FOUND, own, other], lambda fingerprint: fingerprint == "f" * 16)
    assert told == (replace(FOUND, act=Act.ALLOWED), own, other)
    assert [spared(each) for each in ((), told[:1], told)] == [True, True, False]
