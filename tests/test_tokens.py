"""Client tokens: shown once, kept as hashes, expired in time, revoked at once."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli.client import duration
from gateway.errors import StateError
from gateway.tokens import FILE_NAME, Tokens

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def owner(tokens: Tokens, token: str) -> str | None:
    found = tokens.find(token)
    return found.name if found is not None else None


def test_a_token_names_its_client_and_is_not_kept(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = tokens.add("laptop")
    assert owner(tokens, token) == "laptop"
    assert token not in (tmp_path / FILE_NAME).read_text(encoding="utf-8")
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", ["", "wgc_", "x" * 48, "\ud800"], ids=["empty", "prefix", "other", "surrogate"])
def test_a_wrong_token_is_nobodys(tmp_path: Path, wrong: str) -> None:
    tokens = Tokens(tmp_path)
    tokens.add("laptop")
    assert owner(tokens, wrong) is None


def test_a_revoked_token_is_nobodys_for_a_running_gateway(tmp_path: Path) -> None:
    running = Tokens(tmp_path)
    token = Tokens(tmp_path).add("laptop")
    assert owner(running, token) == "laptop"
    assert Tokens(tmp_path).revoke("laptop")
    assert owner(running, token) is None
    assert not Tokens(tmp_path).revoke("laptop")


def test_a_name_has_one_token(tmp_path: Path) -> None:
    Tokens(tmp_path).add("laptop")
    with pytest.raises(ValueError, match="revoke"):
        Tokens(tmp_path).add("laptop")


def test_a_token_ends_at_its_time_and_its_name_may_have_a_new_one_then(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    old = tokens.add("laptop", NOW + timedelta(days=30), NOW)
    found = tokens.find(old)
    assert found is not None
    assert not found.expired(NOW + timedelta(days=30, seconds=-1))
    assert found.expired(NOW + timedelta(days=30))
    with pytest.raises(ValueError, match="revoke"):
        tokens.add("laptop", None, NOW + timedelta(days=29))
    new = tokens.add("laptop", None, NOW + timedelta(days=31))
    assert owner(tokens, new) == "laptop"
    assert owner(tokens, old) is None
    assert len(tokens.all()) == 1


@pytest.mark.parametrize("name", ["", "unknown", "a b", "a\nb", "-x", "x" * 65, "../x"])
def test_what_is_no_name_gets_no_token(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        Tokens(tmp_path).add(name)
    assert not (tmp_path / FILE_NAME).exists()


def test_tokens_that_are_added_at_the_same_moment_are_all_kept(tmp_path: Path) -> None:
    adding = [threading.Thread(target=Tokens(tmp_path).add, args=(f"client-{number}",)) for number in range(8)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert len(Tokens(tmp_path).all()) == 8


def test_a_readable_token_file_is_refused(tmp_path: Path) -> None:
    Tokens(tmp_path).add("laptop")
    (tmp_path / FILE_NAME).chmod(0o644)
    with pytest.raises(StateError):
        Tokens(tmp_path).find("x")


def test_a_broken_token_file_is_refused(tmp_path: Path) -> None:
    Tokens(tmp_path).add("laptop")
    (tmp_path / FILE_NAME).write_text("[{]", encoding="utf-8")
    with pytest.raises(StateError):
        Tokens(tmp_path).find("x")


@pytest.mark.parametrize(("text", "days"), [("90m", 0.0625), ("12h", 0.5), ("30d", 30), ("8w", 56), ("3650d", 3650)])
def test_times_are_read(text: str, days: float) -> None:
    assert duration(text) == timedelta(days=days)


@pytest.mark.parametrize("text", ["", "30", "0d", "-1d", "1y", "3651d", "1.5h", "30 d", "9999999d"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert duration(text) is None
