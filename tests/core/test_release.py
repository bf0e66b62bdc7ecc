"""The question about an output: bound to it, answered by a person, and without a word of what was found."""

from datetime import timedelta

from msgspec.structs import replace

from gateway.core.canon import canonical
from gateway.core.card import card
from gateway.core.grants import offered
from gateway.core.model import (
    RELEASE,
    Act,
    ApprovalState,
    Choice,
    Finding,
    Proof,
    Reason,
    Release,
    Screened,
    Shown,
)
from gateway.core.release import MOST_PLACES, WHOLE, question, released, told
from gateway.core.view import History, view
from tests.core.test_card import AT, approval

PAT, KEY = Finding("github-pat", "content[0].text", "f" * 16), Finding("pem", "content[0].text", "e" * 16)
WHOLE_VALUE = {"content": [{"type": "text", "text": "all of it"}]}
SCREENED = Screened(
    Release.REDACTED, {"content": []}, (PAT, KEY), Reason.SECRET_FOUND, "9" * 64, b"{}", None, whole=WHOLE_VALUE
)
ROW = approval(
    rule="r",
    rules=("r",),
    obligations=("redact",),
    pins={"path": "1"},
    free=("count",),
    shown=Shown(claimed="claude", owner="o@x", preview={"tool": "t"}, vouchable=("x",), unproven=True, places=("f:1",)),
)


def test_a_row_about_an_output_is_bound_to_it_and_shows_nothing_of_the_calls_arguments() -> None:
    row = question(ROW, SCREENED, AT)
    assert (row.method, row.arguments_digest, row.asked_digest) == (RELEASE, "9" * 64, "9" * 64)
    assert row.arguments == {"content[0].text": "github-pat, pem"}
    assert (row.rule, row.rules, row.reason) == ("", (), Reason.SECRET_FOUND)
    assert (row.pins, row.free, row.obligations) == ({}, (), ("redact",))
    assert (row.call, row.principal, row.tool, row.definition) == (ROW.call, ROW.principal, ROW.tool, ROW.definition)
    assert (row.shown.claimed, row.shown.owner) == ("claude", "o@x")
    assert (row.shown.preview, row.shown.vouchable, row.shown.unproven, row.shown.places) == ({}, (), False, ())
    assert (row.created_at, row.expires_at) == (AT, AT + row.requirement.timeout)


def test_the_word_of_the_agents_own_client_is_not_enough_and_nothing_is_granted_for_a_while() -> None:
    row = question(ROW, SCREENED, AT)
    assert row.requirement.proof is Proof.LOCAL
    assert offered(row) == (Choice.ONCE, Choice.DENY)


def test_a_card_tells_kinds_and_places_and_counts() -> None:
    assert told((PAT, KEY, replace(PAT, fingerprint="d" * 16))) == {"content[0].text": "github-pat (2), pem"}
    assert told((replace(PAT, place=""),)) == {WHOLE: "github-pat"}
    many = told(tuple(replace(PAT, place=f"l[{number}]") for number in range(MOST_PLACES + 3)))
    assert len(many) == MOST_PLACES + 1
    assert many["…"] == "3 places more"


def test_the_card_says_that_the_call_has_run_and_what_happens_without_an_answer() -> None:
    row = replace(question(ROW, SCREENED, AT), id="a_0000000001")
    lines = card(row).splitlines()
    assert lines[0] == "Let the output of `files__write_file` leave as it is? Secrets were found in it."
    assert "  content[0].text: github-pat, pem" in lines
    assert "leaves redacted" in lines[-2]
    assert lines[-1] == "— Wardgate, approval a_0000000001. The call has been executed; its output is held."
    shown = view(row, History(), (), AT + timedelta(minutes=1))
    assert shown.headline == "Let the output of files__write_file leave with the secrets in it?"
    assert "redacted" in shown.at_the_deadline
    assert shown.why.startswith("its label says `ask`")
    for state in ApprovalState:
        assert "output" in view(replace(row, state=state), History(), (), AT).last_line


def test_what_a_person_lets_pass_leaves_whole_and_is_recorded_as_allowed() -> None:
    out = released(SCREENED)
    assert (out.release, out.value, out.reason, out.whole) == (Release.FULL, WHOLE_VALUE, None, None)
    assert out.data == canonical(WHOLE_VALUE)
    assert {finding.act for finding in out.findings} == {Act.ALLOWED}
    assert out.digest == SCREENED.digest
    assert "all of it" not in repr(SCREENED)
