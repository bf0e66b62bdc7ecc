"""The state folder: private, held by one gateway, with an id and a key that stay."""

import os
from pathlib import Path

import pytest

from gateway import __version__
from gateway.errors import StateError
from gateway.store.folder import DIGEST, SIGNING, digest_keys, hold, key_files, mark


def test_a_folder_is_made_private_with_an_id_and_a_key(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    with hold(state) as folder:
        folder.confirm()
        assert state.stat().st_mode & 0o777 == 0o700
        assert {file.name for file in state.iterdir()} == {"gateway.lock", "gateway-id", "key"}
        assert all(file.stat().st_mode & 0o777 == 0o600 for file in state.iterdir())
        assert (state / "gateway.lock").read_text(encoding="ascii") == f"{os.getpid()} {__version__}\n"
        assert len(folder.key) == 32
        assert folder.key.hex() not in folder.mark("digest")


def test_the_id_and_the_key_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    with hold(tmp_path / "state") as first:
        first.confirm()
    with hold(tmp_path / "state") as second:
        second.confirm()
        assert (second.gateway_id, second.key, second.fresh) == (first.gateway_id, first.key, False)


def test_a_start_that_was_interrupted_before_the_store_was_made_goes_on(tmp_path: Path) -> None:
    with hold(tmp_path / "state") as first:
        pass
    with hold(tmp_path / "state") as second:
        assert (second.gateway_id, second.key, second.fresh) == (first.gateway_id, first.key, True)


def test_a_second_gateway_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with hold(tmp_path / "state"), pytest.raises(StateError, match=rf"another gateway \(pid {os.getpid()}\)"):
        hold(tmp_path / "state")


def test_the_folder_is_free_once_it_is_released(tmp_path: Path) -> None:
    folder = hold(tmp_path / "state")
    folder.release()
    folder.release()
    hold(tmp_path / "state").release()


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777], ids=oct)
def test_a_folder_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    with pytest.raises(StateError, match="open to others"):
        hold(tmp_path / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    os.chown(tmp_path / "state", 65534, 65534)
    with pytest.raises(StateError, match="another user"):
        hold(tmp_path / "state")


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("", encoding="utf-8")
    with pytest.raises(StateError):
        hold(tmp_path / "state")


def confirmed(state: Path) -> None:
    with hold(state) as folder:
        folder.confirm()


def test_a_missing_key_is_not_made_anew(tmp_path: Path) -> None:
    confirmed(tmp_path / "state")
    (tmp_path / "state" / "key").unlink()
    with pytest.raises(StateError, match="is gone"):
        hold(tmp_path / "state")


def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    confirmed(tmp_path / "state")
    (tmp_path / "state" / "key").write_bytes(b"short")
    with pytest.raises(StateError, match="32 bytes"):
        hold(tmp_path / "state")


@pytest.mark.parametrize("name", ["key", "gateway-id"])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    confirmed(tmp_path / "state")
    (tmp_path / "state" / name).chmod(0o644)
    with pytest.raises(StateError, match="chmod 600"):
        hold(tmp_path / "state")


@pytest.mark.parametrize("name", ["key", "gateway-id", "gateway.lock"])
def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    confirmed(tmp_path / "state")
    file = tmp_path / "state" / name
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        hold(tmp_path / "state")


def test_a_refusal_lets_go_of_the_lock(tmp_path: Path) -> None:
    confirmed(tmp_path / "state")
    key = (tmp_path / "state" / "key").read_bytes()
    (tmp_path / "state" / "key").write_bytes(b"")
    with pytest.raises(StateError):
        hold(tmp_path / "state")
    (tmp_path / "state" / "key").write_bytes(key)
    hold(tmp_path / "state").release()


def test_the_next_key_counts_once_the_store_is_marked_with_it_and_the_one_before_is_kept(tmp_path: Path) -> None:
    confirmed(tmp_path / "state")
    for which in (DIGEST, SIGNING):
        with hold(tmp_path / "state") as folder:
            if which == SIGNING:
                folder.make(SIGNING)
            before = folder.keys[which]
            made = folder.draft(which)
            assert folder.fits(which, mark(before))
            assert folder.keys[which] == before
            assert not folder.fits(which, mark(b"z" * 32))
            assert folder.fits(which, mark(made))
            assert folder.keys[which] == made
        with hold(tmp_path / "state") as again:
            assert again.keys[which] == made
            assert not (tmp_path / "state" / f"{which}.next").exists()
            assert again.fits(which, mark(before))  # a store of before the exchange gets its key back
            assert again.keys[which] == before


def test_keys_for_looking_values_up_are_the_present_one_the_next_one_and_the_old_ones(tmp_path: Path) -> None:
    state = tmp_path / "state"
    confirmed(state)
    with hold(state) as folder:
        first = folder.key
        second = folder.draft(DIGEST)
        assert set(digest_keys(state)) == {first, second}
        folder.adopt(DIGEST)
        third = folder.draft(DIGEST)
        assert set(digest_keys(state)) == {first, second, third}
        (state / "old-keys" / "digest-0.draft").touch()  # was being written when the power failed
        assert set(digest_keys(state)) == {first, second, third}
        assert len(key_files(state)) == 3
        (state / "key").chmod(0o644)
        with pytest.raises(StateError, match="chmod 600"):
            digest_keys(state)


def test_a_key_may_be_missing_where_it_is_said_to_be_lost_or_its_follower_lies_there(tmp_path: Path) -> None:
    state = tmp_path / "state"
    confirmed(state)
    with hold(state) as folder:
        made = folder.draft(DIGEST)
    (state / "key").unlink()
    with hold(state) as folder:
        assert not folder.fits(DIGEST, mark(b"z" * 32))
        assert folder.fits(DIGEST, mark(made))
    (state / "key").unlink()
    with pytest.raises(StateError, match="rotate digest --lost"):
        hold(state)
    hold(state, lost=(DIGEST,)).release()
