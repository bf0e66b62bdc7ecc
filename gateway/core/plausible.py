"""Whether a scanner's finding is one, by what it looks like and what stands before it, and of what kind it is then.

No I/O here, and no search: the rules find, this judges what they found. Entropy alone never makes a secret.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from msgspec.structs import replace

from gateway.core.naming import PREFIXED, begun, same, under
from gateway.core.secrets import Span

SECRET, PASSWORD, OPTION = "generic-secret", "generic-password", "generic-password-option"
URL_PASSWORD, BEARER, AWS_SECRET = "url-password", "bearer-token", "aws-secret-access-key"
JUDGED = frozenset({SECRET, PASSWORD, OPTION, PREFIXED, URL_PASSWORD, BEARER, AWS_SECRET})
RUNLESS = frozenset({"github-pat", "github-oauth", "github-app-token", "github-refresh-token", "gitlab-pat"})
KEY = 96  # bytes before a finding in which its key stands
LONGEST = 64  # characters of a placeholder
MIXED, MIXED_PIECE = 16, 3.6  # characters of a value without digits that chance made, and of a piece of one case in it
MARKS = 2  # at most, in such a value
DISTINCT = 8  # different characters that a value has at least; the entropy that it needs is in the rules
_BETWEEN = b" \t\r\n\"'`\\=:>,;()[]{}"  # what may stand between a key and its value
# Both are matched from the end backwards: what is no key (markup, the `value` of a pair of name and value), and a key
# behind which a type may stand.
_NO_KEY = re.compile(rb"\w{1,10}/?<|eulav(?![\w.-])")
_KEY = re.compile(rb"(?:\w{1,12} ?: ?)?([\w.-]+(?: [\w.-]+){0,2})")
_CASES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_CHECKSUMS = frozenset({"digest", "checksum", "hash", "integrity", "etag", "commit", "revision", "fingerprint", "md5"})
_PUBLIC_NAMES = (
    "next page continuation sync cursor csrf xsrf public site cache sort partition primary foreign change idempotency"
    " object row map host license by"
)
_PUBLIC = frozenset(_PUBLIC_NAMES.split())  # before `token` or `key`: no secret
_EXAMPLE = (  # words that stand in for a secret; longest first, since they are matched so
    r"administrator|placeholder|passphrase|undefined|database|password|postgres|redacted|username|account"
    r"|default|example|noreply|private|replace|secrets|sending|service|testing|access|change|client|hidden"
    r"|insert|masked|master|passwd|phrase|public|sample|secret|secure|server|string|strong|tokens|admin|agent"
    r"|dummy|email|empty|false|field|guest|login|mysql|redis|super|token|value|auth|corp|fake|file|from|hash"
    r"|here|host|keys|mail|name|none|null|pass|path|root|some|test|text|this|todo|true|type|user|very|with"
    r"|word|your|abc|and|api|app|bar|baz|bot|env|foo|for|jwt|key|new|nil|not|old|put|pwd|qux|sid|the|url|var"
    r"|xyz|an|db|id|in|is|me|my|no|of|on|or|pw|to|a"
)
_STAND_IN = re.compile(
    rf"(?i)(?:(?>{_EXAMPLE}|x+)[-_. ]?)+[0-9]{{0,4}}[!.*]{{0,3}}"
    r"|[a-z_-]{0,24}(?:password|secret|token|key|pass|pwd)[0-9]{0,2}"
)
_NAMES_OF_THINGS = re.compile(
    r"(?i)(?:ed|x)25519|ed448|sha[0-9]{1,3}|md5|base(?:16|32|64)|utf[-_]?(?:8|16|32)|aes[0-9]{3}|secp[0-9]{3}[kr]1"
    r"|p256|x509(?:v3)?|pkcs[0-9]{1,2}|p8|win32|oauth2|ipv[46]|s3|ec2|k8s"
)
_WORDS = re.compile(
    r"[-_./:+]*(?:[0-9]{0,2}(?>[A-Z]?[a-z]+|[A-Z]+)+[0-9]{0,4}|[0-9]{1,4})"
    r"(?:[-_./:+]+(?:[0-9]{0,2}(?>[A-Z]?[a-z]+|[A-Z]+)+[0-9]{0,4}|[0-9]{1,4}))*[-_./:+]*"
)
_REFERENCE = re.compile(r"[$%{<^].*|.*(?:\$\{|\{\{|%\(|<[a-z]).*|[a-z]+://.*|(?=.[^/]*/)[./~][\w./%-]+|[\d.:/TZ+_-]+")
_RUN = re.compile(r"(.)\1{5}|0123456789|123456789|abcdefgh|\.\.\.", re.IGNORECASE)


def kind_of(kind: str, before: bytes, secret: bytes) -> str:
    """The kind of a finding; empty if it is none. `before`: what stands before it, its last `KEY` bytes count."""
    kind = same(kind)
    if kind not in JUDGED:
        return "" if kind in RUNLESS and _RUN.search(secret.decode("utf-8", "replace")) else kind
    text = secret.decode("utf-8", "replace")
    if kind == PREFIXED:
        return "" if _RUN.search(text) else begun(secret)
    if kind == AWS_SECRET:
        return "" if _is_checksum(_words(key_before(before))) else kind
    if stands_in(text) or not text.isascii():
        return ""
    if kind == SECRET:
        return _secret(_words(key_before(before)), text)
    plausible = kind == URL_PASSWORD or (not _worded(text) if kind == BEARER else _password(text))
    return kind if plausible else ""


def surest(spans: Sequence[Span]) -> list[Span]:
    """The spans without those that stand on a key alone where another one says more; what reaches beyond that one
    takes its kind, so that a union of both is graded as the surer one.
    """
    sure = [span for span in spans if not _weak(span.kind)]
    if not sure or len(sure) == len(spans):
        return list(spans)
    sure.sort(key=lambda span: span.start)
    starts, told = [span.start for span in sure], list(sure)
    for span in spans:
        if _weak(span.kind):
            beside = sure[max(0, bisect_right(starts, span.start) - 1) : bisect_left(starts, span.end)]
            over = [other for other in beside if other.start < span.end and span.start < other.end]
            if not any(other.start <= span.start and span.end <= other.end for other in over):
                told.append(replace(span, kind=over[0].kind) if over else span)
    return told


def _weak(kind: str) -> bool:
    return kind.startswith("generic-") or kind.endswith("-credential")


def stands_in(text: str) -> bool:
    """Whether a value stands in for a secret: `<password>`, `${TOKEN}`, `changeme`, `my-api-key`, `xxxxxxxx`."""
    if len(text) > LONGEST:
        return False
    return bool(_STAND_IN.fullmatch(text) or text[:1] in "$<{%" or len(set(text)) < 4)


def key_before(before: bytes) -> bytes:
    """The key under which a value stands, by what stands before the value."""
    tail = before[-KEY:][::-1].lstrip(_BETWEEN)
    for _ in range(4):
        if not (none := _NO_KEY.match(tail)):
            break
        tail = tail[none.end() :].lstrip(_BETWEEN)
    found = _KEY.match(tail)
    return found[1][::-1] if found else b""


def _words(key: bytes) -> tuple[str, ...]:
    """The words of a key: `nextPage_token` -> next, page, token."""
    return tuple(word.lower() for word in _CASES.findall(key.decode("ascii", "replace")))


def _is_checksum(words: Sequence[str]) -> bool:
    return bool(words) and (words[-1] in _CHECKSUMS or words[-2:-1] == ("sha",) or "".join(words[-2:]) == "md5")


def _secret(words: Sequence[str], text: str) -> str:
    """A value under a key such as `api_key`: chance made it, or it is none; the vendor in its key gives its name."""
    public = any(word in _PUBLIC and after in ("token", "key") for word, after in pairwise(words))
    if public or _is_checksum(words) or not _by_chance(text):
        return ""
    return under(words) or SECRET


def _by_chance(text: str) -> bool:
    """Whether characters look like chance: no words, path, date or run; digits among letters, or a case that changes
    far more often than it does where words are written together.
    """
    if _REFERENCE.fullmatch(text) or _RUN.search(text) or len(set(text)) < DISTINCT:
        return False
    digits, letters = sum(map(str.isdigit, text)), sum(map(str.isalpha, text))
    if digits >= 2 and letters >= 2 and not _worded(text):
        return True
    pieces = _CASES.findall(text)
    return (
        len(text) >= MIXED
        and "." not in text
        and sum(not char.isalnum() for char in text) <= MARKS
        and not text.islower()
        and not text.isupper()
        and sum(map(len, pieces)) < MIXED_PIECE * len(pieces)
    )


def _worded(text: str) -> bool:
    """Whether a value is made of words, as the names of a program are."""
    return bool(_WORDS.fullmatch(_NAMES_OF_THINGS.sub("x", text)))


def _password(text: str) -> bool:
    """Whether a value is a password rather than a word of a program: a digit, a letter, and a capital or a mark."""
    classes = (str.isdigit, str.islower, str.isupper, lambda char: not char.isalnum())
    held = sum(any(map(of, text)) for of in classes)
    if _REFERENCE.fullmatch(text) or _RUN.search(text) or (_worded(text) and (held < 3 or not text.isalnum())):
        return False
    return held >= 3 or (held == 2 and len(text) >= 12 and len(set(text)) >= DISTINCT)
