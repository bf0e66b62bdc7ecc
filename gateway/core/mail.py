"""From which mailbox an owner can be written to. No I/O here, and nothing is sent."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_MAIL = ("mailto", "mailtos")


def mail_to(address: str, targets: Sequence[str]) -> str:
    """The first of the targets that is a mailbox to send from, made out to `address`; empty where there is none, or
    where `address` is no mail address.
    """
    name, at, host = address.partition("@")
    if not (name and at and "." in host) or any(char in address for char in " \t\r\n,;<>\"'()") or "@" in host:
        return ""
    for target in targets:
        try:
            parts = urlsplit(target)
        except ValueError:  # brackets that hold no address
            continue
        if parts.scheme.lower() in _MAIL and parts.hostname:
            kept = [pair for pair in parse_qsl(parts.query) if pair[0].lower() not in ("to", "cc", "bcc")]
            return urlunsplit((parts.scheme, parts.netloc, "", urlencode([*kept, ("to", address)]), ""))
    return ""
