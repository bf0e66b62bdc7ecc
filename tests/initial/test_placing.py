"""A configuration is put in place whole, or everything is as it was before."""

import os
from datetime import date
from pathlib import Path

import pytest

from gateway.core.problems import Severity
from gateway.errors import ConfigurationError
from gateway.initial import placing
from gateway.initial.placing import Draft, place, problems, stop_at_errors

CONFIG = (
    '# mine\nschema = 1\n[gateway]\nstate = "elsewhere"\n[upstreams.notes]\ncommand = "x"\nowner = "ada@example.com"\n'
)
POLICY = 'upstream = "notes"\nowner = "ada@example.com"\n[[tool]]\nmatch = "a"\neffect = "read"\n'


def draft(root: Path, policy: str = POLICY, config: str = CONFIG) -> Draft:
    policies = root / "policies"
    files = {root / "secrets" / "key": b"k", policies / "notes.toml": policy.encode()}
    return Draft(root / "upstreams.toml", policies, {**files, root / "upstreams.toml": config.encode()})


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def failing_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The disk is full once a file of this name is to be written."""
    real = placing.put

    def put(file: Path, content: bytes) -> None:
        if file.name == name and content != b"before":
            raise OSError(28, "No space left on device", str(file))
        real(file, content)

    monkeypatch.setattr(placing, "put", put)


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty one"])
def test_a_new_folder_comes_whole_and_private(tmp_path: Path, there: bool) -> None:
    root = tmp_path / "deep" / "wardgate"
    if there:
        root.mkdir(parents=True)
    place(draft(root))
    assert list(tree(root)) == ["policies/notes.toml", "secrets/key", "upstreams.toml"]
    assert [path.stat().st_mode & 0o077 for path in (root, *root.rglob("*"))] == [0] * 6
    assert os.listdir(root.parent) == ["wardgate"]


@pytest.mark.parametrize("name", ["key", "notes.toml", "upstreams.toml"])
def test_of_a_new_folder_nothing_stays_where_a_part_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    failing_at(monkeypatch, name)
    with pytest.raises(OSError, match="space"):
        place(draft(tmp_path / "wardgate"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["key", "notes.toml", "upstreams.toml"])
def test_what_was_there_is_back_where_a_part_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "upstreams.toml").write_bytes(b"before")
    (tmp_path / "note").write_bytes(b"mine")
    failing_at(monkeypatch, name)
    with pytest.raises(OSError, match="space"):
        place(draft(tmp_path))
    assert tree(tmp_path) == {"note": b"mine", "upstreams.toml": b"before"}
    assert not (tmp_path / "secrets").exists()
    assert not (tmp_path / "policies").exists()


def test_beside_what_is_there_everything_is_put(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"mine")
    place(draft(tmp_path))
    assert list(tree(tmp_path)) == ["note", "policies/notes.toml", "secrets/key", "upstreams.toml"]
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["upstreams.toml", "policies/notes.toml"])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path, name: str) -> None:
    root, dots = tmp_path / "wardgate", tmp_path / "dots"
    for folder in (root / "policies", dots):
        folder.mkdir(parents=True)
    (dots / "mine.toml").write_bytes(b"before")
    (root / name).symlink_to("../dots/mine.toml" if "/" not in name else dots / "mine.toml")
    place(draft(root))
    assert (root / name).is_symlink()
    assert (dots / "mine.toml").read_bytes() == {root / "upstreams.toml": CONFIG, root / "policies/notes.toml": POLICY}[
        root / name
    ].encode()
    assert sorted(os.listdir(dots)) == ["mine.toml"]


def test_what_a_link_leads_to_is_back_where_a_part_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "wardgate"
    root.mkdir()
    (tmp_path / "mine.toml").write_bytes(b"before")
    (root / "secrets").mkdir()
    (root / "upstreams.toml").symlink_to(tmp_path / "mine.toml")
    files = {root / "upstreams.toml": b"after", root / "last": b"x"}
    failing_at(monkeypatch, "last")
    with pytest.raises(OSError, match="space"):
        place(Draft(root / "upstreams.toml", root / "policies", files))
    assert (root / "upstreams.toml").is_symlink()
    assert (tmp_path / "mine.toml").read_bytes() == b"before"


def test_a_draft_is_checked_as_the_configuration_would_be_and_touches_nothing(tmp_path: Path) -> None:
    root = tmp_path / "wardgate"
    found = problems(draft(root), (), {}, date(2026, 12, 1))
    assert [problem for problem in found if problem.severity is Severity.ERROR] == []
    assert not root.exists()


@pytest.mark.parametrize(
    "made",
    [
        {"policy": POLICY.replace("notes", "other")},
        {"config": CONFIG + "[upstreams.notes]\n"},
        {"config": CONFIG.replace('owner = "ada@example.com"', "")},
    ],
    ids=["an unknown upstream", "no TOML", "no owner"],
)
def test_a_draft_that_is_not_valid_is_told(tmp_path: Path, made: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        stop_at_errors(problems(draft(tmp_path, **made), (), {}, date(2026, 12, 1)), "nothing was written")


def test_policies_that_are_there_are_checked_with_it(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir(mode=0o700)
    (tmp_path / "policies" / "old.toml").write_text(POLICY.replace("notes", "gone"), encoding="utf-8")
    found = problems(draft(tmp_path), (), {}, date(2026, 12, 1))
    assert [problem.nearest or problem.file for problem in found if problem.severity is Severity.ERROR]
