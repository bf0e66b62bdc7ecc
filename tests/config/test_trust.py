"""Whose files are trusted."""

import os
from pathlib import Path

import pytest

from gateway.config import trust
from gateway.config.trust import MAX_BYTES, distrust, read_trusted


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "upstreams.toml"
    path.write_text("text", encoding="utf-8")
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    return path


def reasons(path: Path) -> list[str]:
    return [problem.message for problem in read_trusted(path, path.name)[1]]


def test_a_private_file_is_read(file: Path) -> None:
    assert read_trusted(file, "shown") == ("text", ())


@pytest.mark.parametrize(("mode", "said"), [(0o602, "everybody"), (0o620, "a group")])
def test_what_others_can_write_is_not_read(file: Path, mode: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_private_group", lambda uid, gid: False)
    for path, bits in ((file, mode), (file.parent, mode | 0o100)):
        before = path.stat().st_mode
        path.chmod(bits)
        text, problems = read_trusted(file, "shown")
        assert text == ""
        assert said in problems[0].message
        path.chmod(before)


def test_the_owners_private_group_may_write(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_private_group", lambda uid, gid: True)
    file.chmod(0o660)
    assert reasons(file) == []


def test_a_group_is_private_only_with_its_users_name_and_nobody_else() -> None:
    import grp
    import pwd

    user = pwd.getpwuid(0)
    group = grp.getgrgid(user.pw_gid)
    alone = group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    assert trust._private_group(0, user.pw_gid) is alone
    assert not trust._private_group(2**31 - 2, 2**31 - 2)


def test_a_symlink_of_ones_own_is_followed(file: Path) -> None:
    link = file.parent / "link.toml"
    link.symlink_to(file)
    assert reasons(link) == []


def test_what_belongs_to_somebody_else_is_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = file.parent / "link.toml"
    link.symlink_to(file)
    if os.getuid() == 0:
        os.chown(file, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)  # now everything here belongs to somebody else
    assert any("another user" in reason and "symlink" not in reason for reason in distrust(file))
    assert any("symlink" in reason for reason in distrust(link))


def test_symlinks_that_never_end_are_not_followed(file: Path) -> None:
    one, two = file.parent / "one.toml", file.parent / "two.toml"
    one.symlink_to(two)
    two.symlink_to(one)
    assert any("can't be read" in reason for reason in reasons(one))
    assert any("can't be read" in reason for reason in reasons(file.parent / "gone" / "upstreams.toml"))
    assert trust._links(one) == [f"too many symlinks on the way to `{one}`"]


@pytest.mark.parametrize("what", ["missing", "folder", "pipe", "large", "bytes"])
def test_what_is_no_text_file_is_told(file: Path, what: str) -> None:
    path = file.parent / "other.toml"
    match what:
        case "folder":
            path.mkdir(mode=0o700)
        case "pipe":
            os.mkfifo(path, 0o600)
        case "large":
            path.write_bytes(b" " * (MAX_BYTES + 1))
        case "bytes":
            path.write_bytes(b"\xff")
    if path.exists() and what != "folder":
        path.chmod(0o600)
    assert len(reasons(path)) == 1
