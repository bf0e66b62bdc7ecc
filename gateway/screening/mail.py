"""Finds mail addresses, in letters of any Latin, Greek or Cyrillic alphabet. No I/O here, and no address is tried."""

import re
from collections.abc import Iterator

from gateway.core.secrets import Span

EMAIL = "email"
LOCAL = 64  # bytes before the @
_LOCAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+'-" + bytes(range(0x80, 0xD5))
_LEADING = b".'%+-" + bytes(range(0x80, 0xC0))  # what no address begins with, and the rest of a cut character
_LETTER = rb"(?:[0-9A-Za-z]|[\xc3-\xd4][\x80-\xbf])"
_DOMAIN = re.compile(
    rb"(?:" + _LETTER + rb"(?:" + _LETTER + rb"|-(?=[0-9A-Za-z\xc3-\xd4-])){0,62}\.){1,8}"
    rb"(?:xn--[0-9A-Za-z-]{2,59}|(?:[A-Za-z]|[\xc3-\xd4][\x80-\xbf]){2,24})(?![0-9A-Za-z_@])"
)
_FILE = re.compile(
    rb"(?i)\.(?:png|jpe?g|gif|svg|webp|ico|css|jsx?|tsx?|json|html?|xml|txt|ya?ml|toml|lock|log|exe|dll)$"
)
_ESCAPE = re.compile(rb"[nrtbf](?=.)")  # behind a backslash: the end of a line in a JSON text
_LOGIN = re.compile(rb"://[^\s/@]*$")


def find_mail(page: bytes) -> Iterator[Span]:
    """Every mail address. The user of a URL, the `git` of a repository's address and `icon@2x.png` are none."""
    at = page.find(b"@")
    while at >= 0:
        domain = _DOMAIN.match(page, at + 1)
        if domain and not _FILE.search(domain[0]):
            start = _begin(page, at)
            local = page[start:at]
            repository = local == b"git" and page[domain.end() : domain.end() + 1] in (b":", b"/")
            if local and not repository and not _LOGIN.search(page, max(0, start - LOCAL), start):
                yield Span(start, domain.end(), EMAIL, page[start : domain.end()])
        at = page.find(b"@", at + 1)


def _begin(page: bytes, at: int) -> int:
    before = page[max(0, at - LOCAL) : at]
    local = before[len(before.rstrip(_LOCAL)) :].lstrip(_LEADING)
    start = at - len(local)
    escaped = page[start - 1 : start] == b"\\" and _ESCAPE.match(local)
    return start + 1 if escaped else start
