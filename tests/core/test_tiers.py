"""What becomes of a finding: a table of grades and labels, and what no label and no person lifts."""

import pytest

from gateway.core.model import Act, Finding, Grade, OutputLabel, PersonalAction, Reason, SecretAction, Trust
from gateway.core.tiers import judged, needs_scan, nobody, passed, redacted, withheld, withholds

REDACT, ASK, BLOCK, ALLOW = SecretAction.REDACT, SecretAction.ASK, SecretAction.BLOCK, SecretAction.ALLOW
TABLE = [
    (Trust.UNTRUSTED, REDACT, False, Grade.VENDOR, Act.REDACTED),
    (Trust.UNTRUSTED, REDACT, False, Grade.GENERIC, Act.REDACTED),
    (Trust.NEUTRAL, REDACT, False, Grade.VENDOR, Act.REDACTED),
    (Trust.NEUTRAL, REDACT, False, Grade.GENERIC, Act.FLAGGED),
    (Trust.TRUSTED, REDACT, False, Grade.GENERIC, Act.FLAGGED),
    (Trust.TRUSTED, REDACT, True, Grade.GENERIC, Act.REDACTED),
    (Trust.TRUSTED, ASK, False, Grade.GENERIC, Act.REDACTED),
    (Trust.UNTRUSTED, ASK, False, Grade.VENDOR, Act.REDACTED),
    (Trust.TRUSTED, BLOCK, False, Grade.GENERIC, Act.WITHHELD),
    (Trust.UNTRUSTED, BLOCK, False, Grade.VENDOR, Act.WITHHELD),
    (Trust.UNTRUSTED, ALLOW, False, Grade.VENDOR, Act.ALLOWED),
    (Trust.UNTRUSTED, ALLOW, False, Grade.GENERIC, Act.ALLOWED),
]


@pytest.mark.parametrize(("trust", "secrets", "strict", "grade", "act"), TABLE)
def test_a_label_and_a_grade_say_what_becomes_of_a_finding(
    trust: Trust, secrets: SecretAction, strict: bool, grade: Grade, act: Act
) -> None:
    label = OutputLabel(trust=trust, secrets=secrets, strict=strict)
    assert judged(label, nobody, "kind", grade, "f") is act


@pytest.mark.parametrize("secrets", SecretAction)
def test_a_person_lets_one_fingerprint_pass_under_every_label(secrets: SecretAction) -> None:
    label = OutputLabel(secrets=secrets)
    assert judged(label, {"f"}.__contains__, "kind", Grade.VENDOR, "f") is Act.ALLOWED
    if secrets is not ALLOW:
        assert judged(label, {"f"}.__contains__, "kind", Grade.VENDOR, "g") is not Act.ALLOWED


@pytest.mark.parametrize("secrets", SecretAction)
@pytest.mark.parametrize("trust", Trust)
def test_an_exact_hit_never_passes(trust: Trust, secrets: SecretAction) -> None:
    label = OutputLabel(trust=trust, secrets=secrets)
    assert judged(label, lambda fingerprint: True, "kind", Grade.EXACT, "f") is Act.WITHHELD


@pytest.mark.parametrize(("pii", "act"), [(PersonalAction.REDACT, Act.REDACTED), (PersonalAction.FLAG, Act.FLAGGED)])
@pytest.mark.parametrize("secrets", SecretAction)
def test_of_personal_data_its_own_label_speaks_alone(secrets: SecretAction, pii: PersonalAction, act: Act) -> None:
    label = OutputLabel(secrets=secrets, pii=pii)
    assert judged(label, lambda fingerprint: True, "email", Grade.GENERIC, "f") is act


@pytest.mark.parametrize(
    ("label", "needs"),
    [
        (OutputLabel(), True),
        (OutputLabel(trust=Trust.NEUTRAL), False),
        (OutputLabel(trust=Trust.TRUSTED, secrets=ALLOW), False),
        (OutputLabel(trust=Trust.TRUSTED, strict=True), True),
        (OutputLabel(trust=Trust.TRUSTED, secrets=ASK), True),
        (OutputLabel(trust=Trust.TRUSTED, secrets=BLOCK), True),
        (OutputLabel(trust=Trust.TRUSTED, pii=PersonalAction.REDACT), True),
        (OutputLabel(trust=Trust.TRUSTED, pii=PersonalAction.FLAG), False),
    ],
)
def test_what_nobody_trusts_and_what_is_said_in_words_has_to_be_scanned(label: OutputLabel, needs: bool) -> None:
    assert needs_scan(label) is needs


def test_what_is_written_down_is_redacted_whatever_it_is() -> None:
    assert {redacted("kind", grade, "f") for grade in Grade} == {Act.REDACTED}


def finding(act: Act, *, exact: bool = False) -> Finding:
    return Finding("kind", "place", "f", exact, Grade.EXACT if exact else Grade.VENDOR, act)


@pytest.mark.parametrize(
    ("findings", "reason"),
    [
        ((), None),
        ((finding(Act.REDACTED), finding(Act.ALLOWED), finding(Act.FLAGGED)), None),
        ((finding(Act.REDACTED), finding(Act.WITHHELD)), Reason.SECRET_FOUND),
        ((finding(Act.WITHHELD), finding(Act.WITHHELD, exact=True)), Reason.EXACT_SECRET),
        ((finding(Act.REDACTED, exact=True), finding(Act.WITHHELD)), Reason.SECRET_FOUND),
    ],
)
def test_one_finding_that_withholds_withholds_all(findings: tuple[Finding, ...], reason: Reason | None) -> None:
    assert withholds(findings) is reason
    assert {one.act for one in withheld(findings)} <= {Act.WITHHELD}


@pytest.mark.parametrize(("act", "passes"), [(act, act in (Act.FLAGGED, Act.ALLOWED)) for act in Act])
def test_what_is_flagged_or_allowed_has_passed(act: Act, passes: bool) -> None:
    assert passed([finding(Act.REDACTED), finding(act)]) is passes
