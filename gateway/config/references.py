"""Values that stand elsewhere: `env:`, `file:`, `cmd:`, `keyring:` references, and literals that look like secrets.

A resolved value is handed over and kept nowhere; no message holds one.
"""

import math
import os
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.trust import read_trusted
from gateway.errors import ConfigurationError

SCHEMES = ("env", "file", "cmd", "keyring")
MAX_VALUE = 64 * 1024  # bytes of a resolved value
WORKSPACE = "${WORKSPACE}"
COMMAND_TIMEOUT = 10.0  # seconds
_REFERENCE = re.compile(rf"({'|'.join(SCHEMES)}):(.+)", re.DOTALL)
_SECRET_WORDS = frozenset(("apikey", "authorization", "cookie", "credential", "credentials", "key", "passphrase"))
_SECRET_WORDS |= {"passwd", "password", "pat", "pwd", "secret", "token"}
_HARMLESS_ENDS = frozenset(("dir", "file", "id", "name", "path", "url"))
_PREFIXES = re.compile(
    r"(?:gh[opusr]_|github_pat_|glpat-|sk-|sk_live_|rk_live_|xox[abprs]-|AKIA|ASIA|AIza|npm_|pypi-|hf_|eyJ[\w-]{8,}\.)"
    r"[\w.-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY|(?:Bearer|Basic) +\S{8,}"
)
_PASSWORD = re.compile(r"(?<=[A-Za-z0-9+.-])://[^\s/?#:@]*:(?!\d*[?#])[^\s/@]+@")  # what is no port of an address
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_PIECE = re.compile(r"[A-Za-z0-9+_=-]{20,}")


def split_reference(value: str) -> tuple[str, str]:
    """Scheme and rest of a reference; ("", value) for a literal."""
    found = _REFERENCE.fullmatch(value)
    return (found[1], found[2]) if found else ("", value)


def resolve(reference: str, base: Path, environ: Mapping[str, str] | None = None) -> str:
    """The value of a reference, or the literal itself; blocks, so run it in a worker thread.

    `env:NAME` · `file:PATH` (relative to `base`, nobody else may write it; one newline at its end is dropped) ·
    `cmd:/absolute/program arg "one arg"` (split as a shell would, run without one, no stdin, 10 s, 64 KiB) ·
    `keyring:SERVICE/NAME` (needs the extra `keyring`). Raises `ConfigurationError` with what was expected.
    """
    scheme, rest = split_reference(reference)
    match scheme:
        case "env":
            return _from_environment(rest, os.environ if environ is None else environ)
        case "file":
            return _from_file(base / Path(rest).expanduser())
        case "cmd":
            return _from_command(rest)
        case "keyring":
            return _from_keyring(rest)
        case _:
            return reference


def flaw(reference: str) -> str:
    """What is wrong with the shape of a reference, found without resolving it; empty for a good one or a literal."""
    scheme, rest = split_reference(reference)
    if scheme == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        return "expected `env:NAME` with the name of a variable"
    if scheme == "keyring" and not all(rest.partition("/")):
        return "expected `keyring:SERVICE/NAME`"
    if scheme == "cmd":
        try:
            words = shlex.split(rest)
        except ValueError:
            return "expected `cmd:` with balanced quotes"
        if not words or not os.path.isabs(words[0]):  # noqa: PTH117 - the text is what counts
            return "expected `cmd:` with the absolute path of a program"
    return ""


def expand(args: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The arguments with `${WORKSPACE}` replaced by that variable; raises `ConfigurationError` where it is unset."""
    if any(WORKSPACE in arg for arg in args) and not environ.get("WORKSPACE"):
        raise ConfigurationError(f"`{WORKSPACE}` in `args`: expected the variable WORKSPACE to be set")
    return tuple(arg.replace(WORKSPACE, environ.get("WORKSPACE", "")) for arg in args)


def variables(url: str) -> tuple[str, ...]:
    """The names of the variables `${NAME}` in an address."""
    return tuple(_VARIABLE.findall(url))


def address(url: str, values: Mapping[str, str]) -> str:
    """An address with its variables replaced; raises `ConfigurationError` where a value would make it lead elsewhere,
    or can't stand in one.
    """
    whole = _VARIABLE.sub(lambda found: values[found[1]], url)
    if not re.fullmatch(r"[\x21-\x7e]+", whole) or "#" in whole or urlsplit(whole)[:2] != urlsplit(url)[:2]:
        raise ConfigurationError("`url`: expected values of its variables that can stand in an address")
    return whole


def looks_secret(value: str, name: str = "") -> bool:
    """Whether a literal looks like a secret: by a known prefix, by the key that it stands under, as the password in an
    address (one that is all `${NAME}` is none), or by its entropy.
    """
    if not value or split_reference(value)[0]:
        return False
    if _PREFIXES.search(value) or names_secret(name) or _PASSWORD.search(_VARIABLE.sub("", value)):
        return True
    if "/" in value or "\\" in value:
        return False
    return any(_dense(piece) for piece in _PIECE.findall(value))


def names_secret(name: str) -> bool:
    """Whether what stands under a key of this name is a secret (`API_TOKEN`, not `TOKEN_PATH`)."""
    words = [word.casefold() for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+", name)]
    return bool(words) and words[-1] not in _HARMLESS_ENDS and not _SECRET_WORDS.isdisjoint(words)


def _dense(piece: str) -> bool:
    """Whether 20 characters or more are as mixed as only something random is."""
    if not (re.search(r"\d", piece) and re.search(r"[a-z]", piece) and re.search(r"[A-Z]", piece)):
        return bool(re.fullmatch(r"[0-9a-f]{32,}", piece)) and len(set(piece)) > 8
    shares = [count / len(piece) for count in Counter(piece).values()]
    return -sum(share * math.log2(share) for share in shares) >= 3.5


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise ConfigurationError(f"`env:{name}`: expected the variable to be set, found it unset")
    return environ[name]


def _from_file(path: Path) -> str:
    text, problems = read_trusted(path, f"file:{path}")
    if problems:
        raise ConfigurationError(str(problems[0]))
    return _value(text.encode("utf-8"), f"file:{path}")


def _from_command(rest: str) -> str:
    problem = flaw(f"cmd:{rest}")
    if problem:
        raise ConfigurationError(problem)
    words = shlex.split(rest)
    shown = f"cmd:{words[0]}"
    try:
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as run:
            data = _collect(run, shown)
    except OSError as broken:
        raise ConfigurationError(f"`{shown}`: can't be run ({type(broken).__name__})") from None
    if run.returncode != 0:
        raise ConfigurationError(f"`{shown}`: expected exit code 0, found {run.returncode}")
    return _value(data, shown)


def _collect(run: subprocess.Popen[bytes], shown: str) -> bytes:
    """The program's output, read with a bound and a deadline; the program is killed if it exceeds either."""
    import selectors
    import time

    assert run.stdout is not None
    deadline = time.monotonic() + COMMAND_TIMEOUT
    data = b""
    with selectors.DefaultSelector() as ready:
        ready.register(run.stdout, selectors.EVENT_READ)
        while len(data) <= MAX_VALUE:
            left = deadline - time.monotonic()
            if left <= 0 or not ready.select(left):
                run.kill()
                raise ConfigurationError(f"`{shown}`: expected an answer within {COMMAND_TIMEOUT:g} s")
            chunk = os.read(run.stdout.fileno(), 65536)
            if not chunk:
                break
            data += chunk
    try:
        run.wait(max(0.1, deadline - time.monotonic()) if len(data) <= MAX_VALUE else 0)
    except subprocess.TimeoutExpired:
        run.kill()
        if len(data) <= MAX_VALUE:
            raise ConfigurationError(f"`{shown}`: expected it to end within {COMMAND_TIMEOUT:g} s") from None
        raise ConfigurationError(f"`{shown}`: expected at most {MAX_VALUE} bytes") from None
    return data


def _from_keyring(rest: str) -> str:
    service, _, name = rest.partition("/")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise ConfigurationError(f"`keyring:{rest}`: needs the extra: pip install 'wardgate[keyring]'") from None
    try:
        value = keyring.get_password(service, name)
    except KeyringError as broken:
        raise ConfigurationError(f"`keyring:{rest}`: can't be read ({type(broken).__name__})") from None
    if value is None:
        raise ConfigurationError(f"`keyring:{rest}`: expected an entry, found none")
    return str(value)


def _value(data: bytes, shown: str) -> str:
    if len(data) > MAX_VALUE:
        raise ConfigurationError(f"`{shown}`: expected at most {MAX_VALUE} bytes")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigurationError(f"`{shown}`: expected UTF-8") from None
