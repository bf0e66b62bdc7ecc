"""What becomes of a secret that was found: by its grade, the tool's label, and what a person allowed.

No I/O here. What a scanner finds is never judged by its look: entropy alone makes no finding, so it decides nothing.
"""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from gateway.core.model import Act, Finding, Grade, OutputLabel, PersonalAction, Reason, SecretAction, Trust
from gateway.core.personal import is_personal

Judge = Callable[[str, Grade, str], Act]
"""What becomes of a finding of a kind, grade and keyed fingerprint."""

PASSES = frozenset({Act.FLAGGED, Act.ALLOWED})


def redacted(kind: str, grade: Grade, fingerprint: str) -> Act:
    """The judge of what is written down or shown: everything is redacted."""
    return Act.REDACTED


def shown(label: OutputLabel, kind: str, grade: Grade, fingerprint: str) -> Act:
    """The judge of what an upstream says beside its result: personal data by the label, all else is redacted."""
    flags = is_personal(kind) and label.pii is not PersonalAction.REDACT
    return Act.FLAGGED if flags else redacted(kind, grade, fingerprint)


def nobody(fingerprint: str) -> bool:
    """No person allowed anything."""
    return False


def judged(label: OutputLabel, allowed: Callable[[str], bool], kind: str, grade: Grade, fingerprint: str) -> Act:
    """What becomes of a finding in an output with this label; `allowed` says what a person let pass, by fingerprint.

    A secret of the gateway's own withholds the output under every label, whoever allowed it.
    """
    # INVARIANT: an exact hit never passes.
    if grade is Grade.EXACT:
        return Act.WITHHELD
    if is_personal(kind):  # whatever the label says of secrets
        return shown(label, kind, grade, fingerprint)
    if allowed(fingerprint) or label.secrets is SecretAction.ALLOW:
        return Act.ALLOWED
    if label.secrets is SecretAction.BLOCK:
        return Act.WITHHELD
    flags = label.secrets is SecretAction.REDACT and not label.strict and label.trust is not Trust.UNTRUSTED
    return Act.FLAGGED if flags and grade is Grade.GENERIC else Act.REDACTED


def needs_scan(label: OutputLabel) -> bool:
    """Whether an output with this label leaves only scanned: what is untrusted, and where the label says in words what
    a secret leads to, or that personal data is redacted.
    """
    if label.trust is Trust.UNTRUSTED or label.strict or label.pii is PersonalAction.REDACT:
        return True
    return label.secrets in (SecretAction.ASK, SecretAction.BLOCK)


def passed(findings: Iterable[Finding]) -> bool:
    """Whether one of them left as it was."""
    return any(finding.act in PASSES for finding in findings)


def acted(findings: Iterable[Finding], act: Act) -> tuple[Finding, ...]:
    """The findings of which all the same became."""
    return tuple(replace(finding, act=act) for finding in findings)


def withheld(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings of what is withheld: each of them with it."""
    return acted(findings, Act.WITHHELD)


def withholds(findings: Iterable[Finding]) -> Reason | None:
    """Why an output with these findings is withheld whole; None where it is not."""
    acts = {finding.exact for finding in findings if finding.act is Act.WITHHELD}
    if not acts:
        return None
    return Reason.EXACT_SECRET if True in acts else Reason.SECRET_FOUND
