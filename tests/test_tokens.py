"""Client tokens: shown once, kept as hashes, revoked at once."""

from pathlib import Path

import pytest

from gateway.errors import StateError
from gateway.tokens import FILE_NAME, Tokens


def test_a_token_names_its_client_and_is_not_kept(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = tokens.add("laptop")
    assert tokens.name_of(token) == "laptop"
    assert token not in (tmp_path / FILE_NAME).read_text(encoding="utf-8")
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", ["", "wgc_", "x" * 48], ids=["empty", "prefix", "other"])
def test_a_wrong_token_is_nobodys(tmp_path: Path, wrong: str) -> None:
    tokens = Tokens(tmp_path)
    tokens.add("laptop")
    assert tokens.name_of(wrong) is None


def test_a_revoked_token_is_nobodys_for_a_running_gateway(tmp_path: Path) -> None:
    running = Tokens(tmp_path)
    token = Tokens(tmp_path).add("laptop")
    assert running.name_of(token) == "laptop"
    assert Tokens(tmp_path).revoke("laptop")
    assert running.name_of(token) is None
    assert not Tokens(tmp_path).revoke("laptop")


def test_a_name_has_one_token(tmp_path: Path) -> None:
    Tokens(tmp_path).add("laptop")
    with pytest.raises(ValueError, match="revoke"):
        Tokens(tmp_path).add("laptop")


def test_a_readable_token_file_is_refused(tmp_path: Path) -> None:
    Tokens(tmp_path).add("laptop")
    (tmp_path / FILE_NAME).chmod(0o644)
    with pytest.raises(StateError):
        Tokens(tmp_path).name_of("x")
