"""How sure a finding is, by its kind: the gateway's own, a vendor's shape, or the value of a telling key.

No patterns here (the engine has those) and no policy: what becomes of a grade is for `screen`.
"""

from gateway.core.model import Grade
from gateway.core.personal import is_personal

# Kinds that stand on the name of a key alone: the value could be anything. The rules are in gateway/rules/wardgate.yml.
GENERIC = frozenset({"generic-secret", "generic-password", "generic-password-option", "generic-password-hash"})


def grade(kind: str, exact: bool) -> Grade:
    """The grade of a finding. `kind`: as `slug` makes it. A kind that nobody graded counts as a vendor's: redacted."""
    if exact:
        return Grade.EXACT
    return Grade.GENERIC if kind in GENERIC or is_personal(kind) else Grade.VENDOR
