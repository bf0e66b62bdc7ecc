"""Accepted definitions are kept by what is in them, and nothing else is given back."""

import hashlib
import os
from pathlib import Path

import pytest

from gateway import accepted
from gateway.accepted import Accepted, put
from gateway.core.canon import canonical, digest

ONE, OTHER = {"name": "read"}, {"name": "write"}


def test_what_is_kept_is_given_back_by_its_digest_and_is_its_owners_alone(tmp_path: Path) -> None:
    kept = Accepted(tmp_path)
    kept.keep([canonical(ONE), canonical(OTHER), canonical(ONE)])
    assert kept.get(digest(ONE)) == ONE
    assert sorted(file.name for file in kept.folder.iterdir()) == sorted([digest(ONE), digest(OTHER)])
    assert {file.stat().st_mode & 0o777 for file in kept.folder.iterdir()} == {0o600}
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert kept.all_of([digest(ONE), "0" * 64, digest(ONE)]) == {digest(ONE): ONE}


@pytest.mark.parametrize("name", ["0" * 64, "", "../secret", "."])
def test_what_was_never_seen_is_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("1", encoding="utf-8")
    kept = Accepted(tmp_path)
    kept.keep([])
    assert kept.get(name) is None


def test_a_file_that_says_something_else_is_as_good_as_none_and_is_written_anew(tmp_path: Path) -> None:
    kept = Accepted(tmp_path)
    kept.keep([canonical(ONE)])
    (kept.folder / digest(ONE)).write_bytes(canonical(OTHER))
    assert kept.get(digest(ONE)) is None
    kept.keep([canonical(ONE)])
    assert kept.get(digest(ONE)) == ONE


def test_what_is_too_large_is_not_kept_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Accepted(tmp_path)
    large = b'"' + b"x" * accepted.LARGEST + b'"'
    kept.keep([large])
    assert list(kept.folder.iterdir()) == []
    (kept.folder / hashlib.sha256(large).hexdigest()).write_bytes(large)
    assert kept.get(hashlib.sha256(large).hexdigest()) is None
    kept.keep([canonical(ONE), canonical(OTHER)])
    monkeypatch.setattr(accepted, "MOST", len(canonical(ONE)))
    assert kept.all_of([digest(ONE), digest(OTHER)]) == {digest(ONE): ONE}


def test_a_file_is_exchanged_whole_whatever_stood_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "tools.lock"
    (tmp_path / ".tools.lock.new").symlink_to(tmp_path / "elsewhere")
    put(file, b"one")
    put(file, b"two")
    assert file.read_bytes() == b"two"
    assert not (tmp_path / "elsewhere").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["tools.lock"]


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 200_000], ids=["cut", "no text", "deep"])
def test_what_is_no_json_is_as_good_as_none_whatever_its_name(data: bytes, tmp_path: Path) -> None:
    kept = Accepted(tmp_path)
    kept.keep([data])
    assert kept.get(hashlib.sha256(data).hexdigest()) is None


def test_what_is_no_file_is_as_good_as_none_and_nobody_waits_for_it(tmp_path: Path) -> None:
    kept = Accepted(tmp_path)
    kept.folder.mkdir()
    os.mkfifo(kept.folder / digest(ONE))
    assert kept.get(digest(ONE)) is None
