"""What kinds of personal data are told apart, and that a finding is of one of them: none of them is a secret.

No I/O here, and nothing is looked for: that is for `screening/pii.py`, where the extra `pii` is installed.
"""

PACKAGES = ("phonenumbers", "stdnum")  # what the extra `pii` brings, as it is imported
KINDS = frozenset(
    {"email", "phone", "credit-card", "iban"}
    | {"au-tfn", "be-nn", "bg-egn", "br-cpf", "ca-sin", "ch-ahv", "cn-ric", "cz-rc", "de-idnr", "dk-cpr", "ee-ik"}
    | {"es-dni", "es-nie", "fi-hetu", "fr-nir", "gb-nhs", "gb-nino", "gr-amka", "hr-oib", "ie-pps", "il-id"}
    | {"in-aadhaar", "in-pan", "it-codice-fiscale", "kr-rrn", "mx-curp", "my-nric", "nl-bsn", "no-fodselsnummer"}
    | {"pl-pesel", "ro-cnp", "se-personnummer", "si-emso", "th-pin", "tr-tckimlik", "us-itin", "us-ssn", "za-id"}
)
"""Kinds of findings: as they stand in markers and records. National ids begin with their country."""


def is_personal(kind: str) -> bool:
    """Whether a finding of this kind is personal data: it is no leak that somebody has to follow."""
    return kind in KINDS
