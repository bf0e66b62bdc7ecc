"""The gateway's own secrets where they turn up: what is exact blocks whatever carries it, and markers are seen."""

import pytest

from gateway.core.canon import canonical
from gateway.core.model import Act, Finding, Grade, Reason, Release, Screened
from gateway.core.own import HONEYTOKEN, argued, barred, exact, holds_marker, honeytokens, told

OWN = Finding("gateway-secret", "text", "0" * 16, True, Grade.EXACT)
HONEY = Finding(HONEYTOKEN, "", "1" * 16, True, Grade.EXACT)
OTHER = Finding("github-pat", "text", "2" * 16)
NAMESAKE = Finding(HONEYTOKEN, "text", "3" * 16)  # a rule of a scanner's by that name


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("[REDACTED:github-pat:1]", True),
        ("password = [REDACTED:x:12], and more", True),
        ("session [REDACTED:name:0a1b2c]", True),
        ("[REDACTED:]", False),
        ("[REDACTED: by hand]", False),
        ("[REDACTED]", False),
        ("nothing", False),
    ],
)
def test_a_marker_is_seen_wherever_it_stands_in_arguments(text: str, held: bool) -> None:
    assert holds_marker(canonical({"a": [{"b": text}]})) is held
    assert holds_marker(canonical({text: 1})) is held


def test_a_decision_names_kinds_and_places_and_is_bounded() -> None:
    assert told([OWN, OWN, HONEY]) == "gateway-secret in arguments.text, honeytoken in arguments"
    many = [Finding("k", f"a[{number}]", "0" * 16, True) for number in range(100)]
    assert told(many).count("arguments") == 8


def test_of_findings_in_arguments_the_exact_ones_block() -> None:
    assert [(one.kind, one.act) for one in exact([OWN, OTHER])] == [("gateway-secret", Act.BLOCKED)]
    assert argued([OTHER], ()) == (OTHER,)
    assert argued([OWN, OTHER], exact([OWN])) == (*exact([OWN]), OTHER)


def test_what_is_exact_withholds_the_whole_output() -> None:
    whole = Screened(Release.FULL, {"a": 1}, (OTHER,), data=b"{}")
    assert barred(whole) is whole
    for held in (barred(whole, (OWN,)), barred(Screened(Release.REDACTED, {"a": 1}, (OWN, OTHER), data=b"{}"))):
        assert (held.release, held.value, held.data, held.reason) == (
            Release.WITHHELD,
            None,
            b"",
            Reason.EXACT_SECRET,
        )
        assert {one.act for one in held.findings} == {Act.WITHHELD}
        assert {one.kind for one in held.findings} == {"github-pat", "gateway-secret"}


def test_only_an_exact_finding_is_a_honeytoken() -> None:
    assert honeytokens([OWN, HONEY, NAMESAKE, OTHER]) == (HONEY,)
