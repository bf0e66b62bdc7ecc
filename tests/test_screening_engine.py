"""The real scanner with the rules of ours: what it finds, what switches it off (nothing), and what is never named."""

import ast
import base64
import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

import gateway
from gateway.core.secrets import slug
from gateway.core.views import look
from gateway.errors import GatewayError
from gateway.screening.engine import IDENTIFIERS, MOST_FINDINGS, RULES, Kingfisher, cache_folder
from tests.made import KINDS, credentials, token

SEEDS = range(3)


@pytest.fixture(scope="module")
def engine(rules_cache: Path) -> Kingfisher:
    """The engine, loaded once; the cache is shared by the whole session."""
    loaded = Kingfisher(rules_cache)
    loaded.build()
    return loaded


def covered(engine: Kingfisher, text: str) -> str:
    """The text with everything that was found cut out."""
    data = bytearray(text.encode())
    for span in engine.scan(text.encode(), 5.0):
        data[span.start : span.end] = b"\0" * (span.end - span.start)
    return data.decode("utf-8", "replace")


FRAMES = {
    "alone": "{}",
    "log line": "2026-11-22T14:00:00Z WARN found {} in env\n",
    "comma": "a {}, b",
    "parentheses": "x ({}) y",
    "markup": "<b>{}</b>",
    "JSON": '{{"value": "{}"}}',
    "after characters of many bytes": "é😀 {} é",
    "after a byte order mark": "\ufeff {}",
    "after NULs": "a\0b\0\0 {} \0",
    "ignore comment behind": "{} # kingfisher:ignore gitleaks:allow betterleaks:allow nosec",
    "ignore comment before": "# gitleaks:allow\n# kingfisher:ignore\n{}\n",
    "allowlist pragma": "{}  // pragma: allowlist secret trufflehog:ignore",
    "markup comment": "<!-- kingfisher:ignore -->{}<!-- noscan -->",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_wherever_it_stands(engine: Kingfisher, kind: str, frame: str) -> None:
    for seed in SEEDS:
        text, secret = credentials(seed)[kind]
        left = covered(engine, frame.format(text))
        assert not any(piece in left for piece in (secret, secret[:-8], secret[8:])), f"seed {seed}"


@pytest.mark.parametrize("layers", [1, 2])
def test_an_encoded_secret_is_found_with_the_whole_encoded_region(engine: Kingfisher, layers: int) -> None:
    hidden = f"the token is {token()} ok".encode()
    for _ in range(layers):
        hidden = base64.b64encode(hidden)
    spans = look(f"x {hidden.decode()} y".encode(), lambda data: engine.scan(data, 5.0))
    assert {(span.start, span.end) for span in spans} == {(2, 2 + len(hidden))}


HONEST = {
    "hashes": "cache_key: da39a3ee5e6b4b0d3255bfef95601890afd80709\nkey = 0123456789abcdef0123456789abcdef",
    "uuid": "id=123e4567-e89b-12d3-a456-426614174000",
    "URLs": "https://api.example.com:8080/v1/items?page=2 and postgres://db.example.com/main",
    "bearer in prose": "send a bearer token in the Authorization header",
    "placeholder": "Authorization: Bearer <token>  password: ${PASSWORD}",
    "account names": "DefaultEndpointsProtocol=https;AccountName=corpdata;EndpointSuffix=core.windows.net",
    "key block in prose": "a file starts with -----BEGIN PRIVATE KEY----- and is followed by base64",
    "code": "def token(value: str) -> str:\n    return hashlib.sha256(value.encode()).hexdigest()",
}


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST.keys())
def test_honest_text_is_left_alone(engine: Kingfisher, text: str) -> None:
    assert engine.scan(text.encode(), 5.0) == []


def test_a_public_client_id_is_no_secret_but_the_hidden_half_of_a_pair_is(engine: Kingfisher) -> None:
    text, secret = credentials(1)["aws-secret"]
    assert secret not in covered(engine, text)
    account = (
        "DefaultEndpointsProtocol=https;AccountName=corpdata;" + credentials(1)["azure-storage"][0].split(";", 2)[2]
    )
    assert "AccountName=corpdata" in covered(engine, account)


@pytest.mark.parametrize(
    "start", [b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff", b"\xef\xbb\xbf", b"\0", b"\xff\xfe\0\0"], ids=repr
)
def test_no_beginning_of_a_text_makes_the_scanner_read_it_as_something_else(engine: Kingfisher, start: bytes) -> None:
    data = start + token().encode() + b" "
    assert {data[span.start : span.end] for span in engine.scan(data, 5.0)} == {token().encode()}


def test_what_the_catalogue_does_not_show_is_kept_but_for_names_and_ids(engine: Kingfisher) -> None:
    scanner = engine._scanner
    assert scanner is not None
    hidden = {slug(rule["id"]) for rule in scanner.rules.metadata() if not rule["visible"]}
    assert "aws-secret-access-key" in hidden
    assert hidden >= IDENTIFIERS
    assert not [kind for kind in IDENTIFIERS if any(word in kind for word in ("secret", "token-secret", "password"))]


def test_the_catalogue_is_taken_at_medium_confidence(engine: Kingfisher) -> None:
    scanner = engine._scanner
    assert scanner is not None
    rules = {rule["id"] for rule in scanner.rules.metadata()}
    dropped_at_high = {"betterleaks.aws-secret-access-key", "betterleaks.generic-credential-uri"}
    assert rules >= dropped_at_high
    assert len(rules) > 450


def test_no_rule_of_ours_carries_an_example_or_asks_a_vendor() -> None:
    text = RULES.read_text(encoding="utf-8")
    assert not [word for word in ("examples:", "validation:", "revocation:", "http") if f"    {word}" in text]
    assert 20 <= text.count("    id: wardgate.") <= 30
    assert text.count("confidence: medium") == text.count("    id: wardgate.")


GENERIC_TEXTS = {
    "environment": "token = os.environ['API_TOKEN_2024']\npassword = getpass.getpass()",
    "calls": "secret = secrets.token_urlsafe(32)\napi_key = self.settings.read_key_v2(name)",
    "types": "def login(password: str, token: Optional[str] = None, secret_key: SecretStr = ...) -> Token12: ...",
    "placeholders": "API_KEY=your-api-key-here\nPASSWORD=changeme123\nSECRET=<my-secret-1>\ntoken: ${TOKEN_V2}",
    "checksums": "token_sha256: {0}\napi_key_hash = {0}\nintegrity: sha512-{0}".format("0a1b2c3d4e5f6789" * 4),
    "pages": '{"nextPageToken": "CAUQAA1b2c3d4e5f6g7h8", "csrf_token": "a1b2c3d4e5f6g7h8i9"}',
    "names": "cache_key = 'users_v2_by_account_2024'\nprimary_key: order_line_items_id_2",
    "prose": "the password is changed every 90 days, and the token: expires after 3600 seconds",
    "paths": "secret_key_file = /etc/app/keys2/secret01.pem\ntoken=./build/token_v2/out.js",
    "numbers": "max_tokens: 1234567890123456\ntoken_count = 20261122140000",
}


@pytest.mark.parametrize("text", GENERIC_TEXTS.values(), ids=GENERIC_TEXTS.keys())
def test_telling_keys_without_a_secret_are_left_alone(engine: Kingfisher, text: str) -> None:
    assert engine.scan(text.encode(), 5.0) == []


def test_a_scan_that_finds_more_than_can_be_told_is_an_error(engine: Kingfisher) -> None:
    line = token().encode() + b"\n"
    assert len(engine.scan(line * 1_000, 5.0)) >= 1_000
    with pytest.raises(GatewayError):
        engine.scan(line * (MOST_FINDINGS + 1), 60.0)


HEADER = "-----BEGIN RSA PRIVATE KEY-----"
HOSTILE = {
    "10 MB line": "a" * 10_000_000,
    "10 MB of hex": "0123456789abcdef" * 625_000,
    "1 MB of key headers": f"{HEADER}\n" * 32_000,
    "1 MB of key headers in one line": HEADER * 33_000,
    "1 MB of key blocks that never end": f"{HEADER}\n{'A' * 40}\n" * 14_000,
    "1 MB of NULs": "\0" * 1_000_000,
    "1 MB of telling keys": "api_key=" * 125_000,
    "1 MB of halves of web tokens": "eyAAAAAAAAAAAA." * 67_000,
    "1 MB of URLs with passwords": "a://b:ccc@d " * 83_000,
    "1 MB of backslashes": "\\" * 1_000_000,
    "1 MB of quotes": 'token"' * 166_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_end_before_the_deadline(engine: Kingfisher, text: str) -> None:
    with contextlib.suppress(GatewayError):  # what can't be scanned is withheld
        engine.scan(text.encode(), 10.0)  # the test's own timeout says whether it ended


ALONE = """
import ctypes, sys
from pathlib import Path

from gateway.screening.engine import Kingfisher

engine = Kingfisher(Path(sys.argv[1]))
engine.build()
SOCKET = {"x86_64": 41, "aarch64": 198}.get(__import__("platform").machine())


class Step(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(Step))]


# Load the number of the system call; the one that makes sockets ends the process, every other one goes on.
END, GO_ON = 0x80000000, 0x7FFF0000
steps = (Step * 4)(Step(0x20, 0, 0, 0), Step(0x15, 0, 1, SOCKET or 0), Step(0x06, 0, 0, END), Step(0x06, 0, 0, GO_ON))
libc = ctypes.CDLL(None, use_errno=True)
guarded = SOCKET and not libc.prctl(38, 1, 0, 0, 0) and not libc.prctl(22, 2, ctypes.byref(Program(4, steps)), 0, 0)
print("guarded" if guarded else "unguarded", flush=True)
print(len(engine.scan(sys.stdin.buffer.read(), 30.0)), flush=True)
if len(sys.argv) > 2:
    __import__("socket").socket()
    print("a socket", flush=True)
"""


def alone(rules_cache: Path, *more: str) -> tuple[int, list[str]]:
    """Scan every fake credential in a process that ends when it makes a socket."""
    text = "\n".join(text for seed in SEEDS for text, _ in credentials(seed).values())
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(rules_cache), *more], input=text.encode(), capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode().split()


def test_scanning_opens_no_socket(rules_cache: Path) -> None:
    code, told = alone(rules_cache)
    if told[:1] == ["unguarded"]:
        pytest.skip("this system lets no process give up a system call")
    assert (code, told[0]) == (0, "guarded")
    assert int(told[1]) > len(KINDS)
    code, told = alone(rules_cache, "and then a socket")
    assert code < 0  # the guard works: this one ended by it
    assert "socket" not in told


def test_scanning_before_loading_is_an_error() -> None:
    with pytest.raises(GatewayError):
        Kingfisher(None).scan(b"x", 1.0)


class Broken:
    """A native scanner that fails."""

    def __init__(self, problem: BaseException) -> None:
        self.problem = problem

    def scan(self, data: bytes, timeout: float) -> list[object]:
        raise self.problem


@dataclass
class Half:
    """What the native scanner finds of a pair: its text, by a rule, shown by itself or only with the other half."""

    secret: str
    rule_id: str
    visible: bool
    location: Mapping[str, int] = field(default_factory=lambda: {"start_offset": 0, "end_offset": 20})


class Pairs:
    """A native scanner that finds halves of pairs."""

    def __init__(self, *found: Half) -> None:
        self.found = found

    def scan(self, data: bytes, timeout: float) -> Sequence[Half]:
        return self.found


@pytest.mark.parametrize(
    ("rule", "visible", "kinds"),
    [
        ("catalogue.vendor-signing-secret", False, ["vendor-signing-secret"]),
        ("catalogue.azure-tenant-id", False, []),
        ("catalogue.azure-tenant-id", True, ["azure-tenant-id"]),
    ],
)
def test_the_half_that_is_not_shown_is_found_unless_it_is_a_name(rule: str, visible: bool, kinds: list[str]) -> None:
    engine, said = Kingfisher(None), token()[:20]
    engine._scanner = Pairs(Half(said, rule, visible))  # type: ignore[assignment]  # as above
    assert [span.kind for span in engine.scan(said.encode(), 5.0)] == kinds


PanicException = type("PanicException", (BaseException,), {})


@pytest.mark.parametrize("problem", [TimeoutError(), RuntimeError(), ValueError(), PanicException()], ids=repr)
def test_what_the_native_scanner_raises_is_an_error_of_ours(problem: BaseException) -> None:
    engine = Kingfisher(None)
    engine._scanner = Broken(problem)  # type: ignore[assignment]  # a fake in the place of native code
    with pytest.raises(GatewayError):
        engine.scan(b"x", 1.0)


def test_an_interrupt_is_not_swallowed() -> None:
    engine = Kingfisher(None)
    engine._scanner = Broken(KeyboardInterrupt())  # type: ignore[assignment]  # as above
    with pytest.raises(KeyboardInterrupt):
        engine.scan(b"x", 1.0)


async def test_it_loads_off_the_loop_and_tells_when_it_is_ready(rules_cache: Path) -> None:
    engine = Kingfisher(rules_cache)
    assert not engine.loaded
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.load)
            await engine.ready()
            assert engine.loaded
    assert engine.scan(token().encode(), 5.0)


async def test_a_failure_to_load_is_told_and_tried_again(
    tmp_path: Path, rules_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.screening.engine.RETRY", (0.01,))
    missing = tmp_path / "rules.yml"
    engine = Kingfisher(rules_cache, missing)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.load)
            with pytest.raises(GatewayError):
                await engine.ready()
            assert not engine.loaded
            await anyio.Path(missing).write_bytes(
                await anyio.Path(gateway.__file__).parent.joinpath("rules", "wardgate.yml").read_bytes()
            )
        await engine.ready()
    assert engine.loaded


def test_the_cache_folder_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "rules"
    assert cache_folder({"WARDGATE_CACHE": str(folder)}) == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    assert cache_folder({"WARDGATE_CACHE": str(folder)}) is None
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert cache_folder({"WARDGATE_CACHE": str(tmp_path / "link")}) is None
    (tmp_path / "file").touch()
    assert cache_folder({"WARDGATE_CACHE": str(tmp_path / "file")}) is None


def test_without_an_override_it_is_the_users_own(environment: Mapping[str, str]) -> None:
    folder = cache_folder({})
    assert folder is not None
    assert folder.is_relative_to(environment["HOME"])


ALLOWED = {"Rules", "Scanner", "DetectionPolicy"}


def names(tree: ast.AST) -> set[str]:
    found = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.ImportFrom(module=module, names=items):
                found |= {module or "", *(item.name for item in items)}
            case ast.Import(names=items):
                found |= {item.name for item in items}
            case _:
                pass
    return found


def sdk_names(tree: ast.AST) -> set[str]:
    """What is imported from the scanner's package; the package itself may not be, or anything could be reached."""
    found = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=module, names=items) if (module or "").split(".")[0] == "kingfisher_sdk":
                found |= {item.name if module == "kingfisher_sdk" else f"{module}.{item.name}" for item in items}
            case ast.Import(names=items):
                found |= {item.name for item in items if item.name.split(".")[0] == "kingfisher_sdk"}
            case ast.Constant(value=str(text)) if text.startswith("kingfisher_sdk"):
                found.add(text)
            case _:
                pass
    return found


@pytest.mark.parametrize("module", sorted(Path(gateway.__file__).parent.rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_names_validation_or_revocation_of_secrets(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    assert sdk_names(tree) <= ALLOWED
    if sdk_names(tree):
        assert not [name for name in names(tree) if any(word in name.lower() for word in ("validat", "revok", "revoc"))]
