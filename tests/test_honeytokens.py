"""Honeytokens: believable, made anew from a key, never at rest, and told to the search."""

import base64
import os
import re
import zlib
from pathlib import Path

import anyio
import pytest

from gateway.app.planting import LOOK_EVERY, follow_tokens, know_keys, know_targets, plant
from gateway.cli import honeytoken as command
from gateway.clock import SystemClock
from gateway.config import Gateway, Notify, Settings
from gateway.core.own import HONEYTOKEN
from gateway.core.secrets import weakness
from gateway.errors import StateError
from gateway.honeytokens import FILE_NAME, KINDS, MOST, Honeytoken, Honeytokens, credential, mark
from gateway.schema import KEY_NAME, OLD_KEYS_NAME
from gateway.screening.screener import Screener
from gateway.tokens import Tokens
from tests.fakes import DEADLINE, NOON, FakeClock
from tests.made import token
from tests.test_screening_exact import Engine

KEY, OTHER = b"k" * 32, b"o" * 32
SHAPES = {
    "password": r"\w{10}-\w{9}",
    "api-key": r"[0-9a-f]{40}",
    "aws": r"aws_access_key_id = AKIA[A-Z2-7]{16}\naws_secret_access_key = [A-Za-z0-9+/]{40}",
    "database": r"postgresql://svc_files:\w{24}@db-\d\d\.internal:5432/files",
    "github": r"ghp_[A-Za-z0-9]{36}",
    "gitlab": r"glpat-[A-Za-z0-9]{20}",
    "slack": r"xoxb-\d{12}-\d{13}-[A-Za-z0-9]{24}",
    "stripe": r"sk_live_[A-Za-z0-9]{24}",
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    put(folder / KEY_NAME, KEY)
    return folder


def put(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    file.chmod(0o600)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_shape_and_is_strong_enough_to_be_searched_for(state: Path, kind: str) -> None:
    made, found = Honeytokens(state).mint("files", kind, KEY, NOON)
    assert re.fullmatch(SHAPES[kind], found.text)
    assert all(value in found.text and not weakness(value) for value in found.values)
    assert not any(value in repr(found) for value in (found.text, *found.values))
    again = credential(made, (OTHER, KEY))
    assert again == found


def test_the_command_offers_every_kind() -> None:
    assert set(command.KINDS) == set(KINDS)


def test_a_github_token_has_the_checksum_that_its_vendor_gives(state: Path) -> None:
    _, found = Honeytokens(state).mint("files", "github", KEY)
    body, check = found.text[4:34], found.text[34:]
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number = 0
    for char in check:
        number = number * 62 + digits.index(char)
    assert number == zlib.crc32(body.encode())


def test_every_one_is_another_and_only_the_key_tells_it(state: Path) -> None:
    honeytokens = Honeytokens(state)
    minted = [honeytokens.mint(upstream, "api-key", KEY) for upstream in ("a", "a", "b")]
    assert [made.number for made, _ in minted] == [1, 2, 3]
    assert len({found.text for _, found in minted}) == 3
    assert honeytokens.all() == tuple(made for made, _ in minted)
    assert credential(minted[0][0], (OTHER,)) is None


def test_no_value_is_at_rest_and_the_file_is_its_owners(state: Path) -> None:
    values = [value for kind in KINDS for value in Honeytokens(state).mint("files", kind, KEY)[1].values]
    for file in state.iterdir():
        assert not any(value.encode() in file.read_bytes() for value in values)
    assert (state / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_can_read_or_that_is_broken_is_not_trusted(state: Path) -> None:
    honeytokens = Honeytokens(state)
    assert honeytokens.all() == ()
    honeytokens.mint("files", "aws", KEY)
    (state / FILE_NAME).chmod(0o644)
    with pytest.raises(StateError):
        honeytokens.all()
    put(state / FILE_NAME, b"{")
    with pytest.raises(StateError):
        honeytokens.all()
    with pytest.raises(StateError):
        honeytokens.mint("files", "aws", KEY)


def test_there_are_at_most_so_many_and_no_unknown_kind(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honeytokens = Honeytokens(state)
    with pytest.raises(StateError, match="expected a kind"):
        honeytokens.mint("files", "nothing", KEY)
    monkeypatch.setattr("gateway.honeytokens.MOST", 1)
    honeytokens.mint("files", "aws", KEY)
    with pytest.raises(StateError, match="at most 1"):
        honeytokens.mint("files", "aws", KEY)
    assert MOST > 1


@pytest.mark.may_block(reason="the test mints on the loop")
async def test_the_gateway_looks_for_each_also_after_its_key_was_exchanged(state: Path) -> None:
    honeytokens, screener = Honeytokens(state), Screener(Engine(), SystemClock(), KEY)
    assert await plant(state, screener) == 0
    _, first = honeytokens.mint("files", "aws", KEY)
    (state / OLD_KEYS_NAME).mkdir(mode=0o700)
    put(state / OLD_KEYS_NAME / "digest-0123", KEY)
    put(state / KEY_NAME, OTHER)
    _, second = honeytokens.mint("mail", "password", OTHER)
    assert await plant(state, screener) == 2
    for value in (*first.values, *second.values):
        (found,) = screener.exact({"text": f"x {value} y"})
        assert (found.kind, found.exact) == (HONEYTOKEN, True)
    (found,) = screener.exact({"text": second.text})
    assert screener.name_of(found.fingerprint) == "honeytoken 2 of mail (password)"


@pytest.mark.may_block(reason="the test mints on the loop")
async def test_one_whose_key_is_lost_is_said_to_be_and_the_others_are_looked_for(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    honeytokens = Honeytokens(state)
    honeytokens.mint("files", "aws", OTHER)
    honeytokens.mint("files", "password", KEY)
    assert await plant(state, Screener(Engine(), SystemClock(), KEY)) == 1
    assert "honeytoken 1 of files (aws) can't be looked for" in caplog.text


def test_a_kind_of_a_later_version_has_no_value_here() -> None:
    assert credential(Honeytoken(1, "files", "hologram", mark(KEY), NOON), (KEY,)) is None


def test_two_at_the_same_moment_get_different_numbers(state: Path) -> None:
    reader, writer = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.read(reader, 1)
            Honeytokens(state).mint("files", "aws", KEY)
            os._exit(0)
        children.append(child)
    os.write(writer, b"gogo")
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    os.close(reader)
    os.close(writer)
    assert [made.number for made in Honeytokens(state).all()] == [1, 2, 3, 4]


@pytest.mark.may_block(reason="the test adds a token on the loop")
async def test_the_tokens_of_clients_are_looked_at_again_and_a_file_that_is_not_trusted_is_said(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens, clock = Tokens(state), FakeClock()
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow_tokens, tokens, clock)
            await clock.asleep(1)
            token = Tokens(state).add("ada")
            assert tokens.match(token) is None
            clock.advance(LOOK_EVERY)
            while tokens.match(token) is None:
                await anyio.lowlevel.checkpoint()
            await clock.asleep(1)
            (state / "clients.json").chmod(0o644)
            clock.advance(LOOK_EVERY)
            while "must be its owner's" not in caplog.text:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert tokens.match(token) is not None


def test_the_gateways_own_keys_are_looked_for_as_texts_may_hold_them() -> None:
    screener = Screener(Engine(), SystemClock(), KEY)
    key = bytes(range(224, 256))
    know_keys({"digest": key}, screener)
    for text in (key.hex(), key.hex().upper(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()):
        (found,) = screener.exact({"text": f"x {text} y"})
        assert screener.name_of(found.fingerprint) == "key digest"


async def test_addresses_of_notices_and_the_tokens_in_them_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, word = token(70), token(71)
    monkeypatch.setenv("BOT", f"tgram://{bot}{bot}/12345")
    monkeypatch.setenv("MAIL", f"mailtos://ada:{word}@mail.example.com")
    notify = Notify(to=("env:BOT", "mailto://plain@example.com"), second=("env:GONE", "env:MAIL"))
    gateway = Gateway(tmp_path, tmp_path, "g")
    settings = Settings(tmp_path / "upstreams.toml", gateway, {}, {}, {}, notify=notify)
    screener = Screener(Engine(), SystemClock(), KEY)
    await know_targets(settings, screener)
    for text in (f"{bot}{bot}", word):
        assert screener.exact({"text": f"x {text} y"})
    assert screener.exact({"text": "mailto://plain@example.com"}) == ()
    assert len(screener.left_out) == 0
