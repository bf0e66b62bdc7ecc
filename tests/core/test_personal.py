"""Personal data: what a label says of it, what becomes of it, and that it is no secret."""

import pytest
from msgspec.structs import replace

from gateway.core.grading import grade
from gateway.core.grants import labels_digest
from gateway.core.leaks import sights
from gateway.core.model import (
    Act,
    Finding,
    Grade,
    OutputLabel,
    PersonalAction,
    SecretAction,
    Surface,
    ToolRef,
    Trust,
)
from gateway.core.personal import KINDS, is_personal
from gateway.core.policy import Known, parse
from gateway.core.risk import UNLABELLED, labels_for, surface_labels
from gateway.core.screen import MAX_FINDINGS, Screening, screen
from gateway.core.secrets import Numbers, Span, unmarked
from gateway.core.tiers import judged, needs_scan, nobody, redacted, shown
from tests.core.cases import policy_of
from tests.fakes import a_record

HEAD = 'owner = "ada"\nupstream = "mail"\n'
TOOL = '[[tool]]\nmatch = "read"\neffect = "read"\n'
PRINT = "ab" * 8


def fingerprint(secret: bytes) -> str:
    return f"{hash(secret) & 0xFFFFFFFFFFFFFFFF:016x}"


# --- kinds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_marker_of_each_kind_is_known_as_one_of_ours(kind: str) -> None:
    marker = Numbers().marker(Span(0, 1, kind, b"x"))
    assert unmarked([Span(2, 6, kind, b"x")], marker) == []


@pytest.mark.parametrize("kind", ["github-pat", "gateway-secret", "generic-secret", "", "e-mail"])
def test_a_secret_is_no_personal_data(kind: str) -> None:
    assert not is_personal(kind)
    assert is_personal("email")


def test_personal_data_is_graded_as_what_may_be_another_thing() -> None:
    assert {grade(kind, exact=False) for kind in KINDS} == {Grade.GENERIC}


def test_personal_data_is_no_leak() -> None:
    found = (Finding("email", "content[0].text", PRINT), Finding("github-pat", "content[0].text", "cd" * 8))
    assert [sight.kind for sight in sights(a_record(findings=found))] == ["github-pat"]


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ("", PersonalAction.OFF),
        ('output = { pii = "off" }', PersonalAction.OFF),
        ('output = { pii = "flag" }', PersonalAction.FLAG),
        ('output = { pii = "redact" }', PersonalAction.REDACT),
    ],
)
@pytest.mark.parametrize("installed", [True, None], ids=["installed", "not known"])
def test_a_label_says_what_becomes_of_personal_data(said: str, action: PersonalAction, installed: bool | None) -> None:
    policy, problems = parse({"p.toml": HEAD + TOOL + said}, Known(personal=installed))
    assert problems == ()
    assert policy.files[0].tools[0].labels.output.pii is action


@pytest.mark.parametrize("action", ["flag", "redact"])
def test_a_label_that_asks_for_what_is_not_installed_is_an_error(action: str) -> None:
    (problem,) = parse({"p.toml": f'{HEAD}{TOOL}output = {{ pii = "{action}" }}'}, Known(personal=False))[1]
    assert (problem.key, problem.line, problem.found) == ("pii", 6, action)
    assert "wardgate[pii]" in problem.message


def test_a_label_that_asks_for_nothing_needs_nothing_installed() -> None:
    assert parse({"p.toml": f'{HEAD}{TOOL}output = {{ pii = "off" }}'}, Known(personal=False))[1] == ()


def test_another_word_is_an_error() -> None:
    (problem,) = parse({"p.toml": f'{HEAD}{TOOL}output = {{ pii = "redac" }}'})[1]
    assert (problem.key, problem.nearest) == ("pii", "redact")


def test_resources_and_prompts_are_labelled_too() -> None:
    text = '\nupstream = "mail"\n[[{}]]\nmatch = "*"\noutput = {{ pii = "redact" }}\n'
    policy = policy_of(text.format("resource"), text.format("prompt"))
    for surface in (Surface.RESOURCES, Surface.PROMPTS):
        assert surface_labels(policy, ToolRef("mail", "x"), surface).output.pii is PersonalAction.REDACT


@pytest.mark.parametrize(
    ("one", "other", "action"),
    [
        ("off", "off", PersonalAction.OFF),
        ("flag", "off", PersonalAction.FLAG),
        ("flag", "redact", PersonalAction.REDACT),
    ],
)
def test_where_files_differ_the_strictest_word_on_personal_data_holds(
    one: str, other: str, action: PersonalAction
) -> None:
    tool = '\nupstream = "mail"\n[[tool]]\nmatch = "a*"\neffect = "{}"\noutput = {{ pii = "{}" }}\n'
    texts = (tool.format("read", one), tool.format("write", other))
    policy, _ = parse({f"{number}.toml": 'owner = "ada"' + text for number, text in enumerate(texts)})
    labels = labels_for(policy, ToolRef("mail", "ab"))
    assert (labels.effect, labels.output.pii) == (UNLABELLED.effect, action)
    assert (labels is UNLABELLED) == (action is PersonalAction.OFF)
    resource = '\nupstream = "mail"\n[[resource]]\nmatch = "*"\noutput = {{ trust = "{}", pii = "{}" }}\n'
    texts = (resource.format("neutral", one), resource.format("trusted", other))
    policy, _ = parse({f"{number}.toml": 'owner = "ada"' + text for number, text in enumerate(texts)})
    output = surface_labels(policy, ToolRef("mail", "x"), Surface.RESOURCES).output
    assert (output.trust, output.pii) == (Trust.UNTRUSTED, action)


def test_what_is_said_of_personal_data_tells_one_label_from_another() -> None:
    digests = {
        labels_digest(replace(UNLABELLED, output=OutputLabel(pii=action)))
        for action in (PersonalAction.OFF, PersonalAction.FLAG, PersonalAction.REDACT)
    }
    assert len(digests) == 3
    assert labels_digest(UNLABELLED) in digests


# --- what becomes of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secrets", list(SecretAction))
@pytest.mark.parametrize("trust", list(Trust))
@pytest.mark.parametrize(("action", "act"), [("redact", Act.REDACTED), ("flag", Act.FLAGGED)])
def test_what_a_label_says_of_secrets_changes_nothing_for_personal_data(
    secrets: SecretAction, trust: Trust, action: str, act: Act
) -> None:
    label = OutputLabel(trust, secrets=secrets, pii=PersonalAction(action))
    assert judged(label, nobody, "email", Grade.GENERIC, PRINT) is act
    assert shown(label, "email", Grade.GENERIC, PRINT) is act


def test_beside_a_result_every_secret_is_redacted() -> None:
    label = OutputLabel(Trust.TRUSTED, secrets=SecretAction.ALLOW, pii=PersonalAction.FLAG)
    assert shown(label, "github-pat", Grade.VENDOR, PRINT) is Act.REDACTED
    assert redacted("email", Grade.GENERIC, PRINT) is Act.REDACTED


def test_an_output_whose_personal_data_is_redacted_never_leaves_unscanned() -> None:
    assert needs_scan(OutputLabel(Trust.TRUSTED, pii=PersonalAction.REDACT))
    assert not needs_scan(OutputLabel(Trust.TRUSTED, pii=PersonalAction.FLAG))


def test_of_too_many_findings_the_secrets_are_told() -> None:
    def find(data: bytes) -> list[Span]:
        at = data.find(b"hush")
        return [
            *(Span(4 * n, 4 * n + 3, "email", data[4 * n : 4 * n + 3]) for n in range(MAX_FINDINGS)),
            *([Span(at, at + 4, "github-pat", b"hush")] if at >= 0 else []),
        ]

    def keep(kind: str, grade: Grade, fingerprint: str) -> Act:
        return Act.FLAGGED

    text = " ".join(f"{n:03}" for n in range(MAX_FINDINGS)) + " hush"
    cleaned = screen({"text": text}, Screening(find, fingerprint, judge=keep), 1 << 20)
    assert len(cleaned.findings) == MAX_FINDINGS
    assert cleaned.findings[0].kind == "github-pat"
