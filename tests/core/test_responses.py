"""`[signals]` of policy files: what is read, what is an error, and what several files say together."""

import pytest

from gateway.core.loosening import differences, only_tightens
from gateway.core.policy import Policy, parse
from gateway.core.signals import Response, Signal


def policy(**texts: str) -> Policy:
    """Files by name; each has an owner."""
    found, problems = parse({f"{name}.toml": f'owner = "a"\n{text}' for name, text in texts.items()})
    assert problems == ()
    return found


def problems(text: str) -> list[tuple[str, str, str]]:
    _, found = parse({"a.toml": f'owner = "a"\n[signals]\n{text}'})
    return [(problem.key, problem.message.split(",")[0], problem.nearest) for problem in found]


def test_a_file_says_what_is_done_about_signals() -> None:
    said = policy(a='[signals]\nnew-sink = "notify"\ntool-drift = "raise"').responses("mail")
    assert said == {Signal.NEW_SINK: Response.NOTIFY, Signal.TOOL_DRIFT: Response.RAISE}
    assert policy(a="").responses("mail") == {}


def test_of_several_files_the_most_counts_in_whatever_order() -> None:
    first, second = '[signals]\nnew-sink = "raise"\nnew-tool = "note"', '[signals]\nnew-sink = "note"'
    expected = {Signal.NEW_SINK: Response.RAISE, Signal.NEW_TOOL: Response.NOTE}
    assert policy(a=first, b=second).responses("x") == policy(a=second, b=first).responses("x") == expected


def test_a_file_of_an_upstream_speaks_of_that_one_only() -> None:
    both = policy(a='upstream = "mail"\n[signals]\nnew-sink = "raise"', b='[signals]\nnew-sink = "notify"')
    assert both.responses("mail") == {Signal.NEW_SINK: Response.RAISE}
    assert both.responses("files") == {Signal.NEW_SINK: Response.NOTIFY}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('new-snk = "note"', ("new-snk", "unknown signal `new-snk`", "new-sink")),
        ('new-sink = "block"', ("new-sink", "expected one of note", "")),
        ("new-sink = 1", ("new-sink", "expected one of note", "")),
        ('honeytoken = "note"', ("honeytoken", "everybody is told of it and its session is held", "")),
    ],
    ids=["an unknown signal", "an unknown word", "a number", "one that policy says nothing of"],
)
def test_what_can_not_be_meant_is_an_error(text: str, expected: tuple[str, str, str]) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("before", "after", "loosens"),
    [
        ("", 'new-sink = "raise"', [False]),
        ('new-sink = "notify"', 'new-sink = "raise"', [False]),
        ('new-sink = "raise"', 'new-sink = "notify"', [True]),
        ('new-sink = "raise"', "", [True]),
        ('new-sink = "note"', "", [False]),
        ("", 'fast-approval = "note"', [True]),
        ('fast-approval = "note"', "", [False]),
        ('new-sink = "raise"\nnew-tool = "note"', 'new-sink = "note"\nnew-tool = "raise"', [True, False]),
        ('new-sink = "raise"', 'new-sink = "raise"', []),
    ],
)
def test_less_that_is_done_about_a_signal_loosens(before: str, after: str, loosens: list[bool]) -> None:
    files = [policy(a=f"[signals]\n{text}") for text in (before, after)]
    assert [one.loosens for one in differences(*files)] == loosens


def test_a_file_that_comes_or_goes_is_compared_with_one_that_says_nothing() -> None:
    loud, quiet = policy(a="", b='[signals]\nnew-sink = "raise"'), policy(a="")
    assert only_tightens(quiet, loud)
    assert not only_tightens(loud, quiet)
    assert str(differences(loud, quiet)[0]) == "b.toml: [signals] new-sink: raise -> (not said)"
