"""Texts that count by a person's word are kept by their digest, for their owner alone; one that was changed is none."""

from pathlib import Path

import pytest

from gateway.agreed import MARKS, MOST, POLICY, UPSTREAMS, Agreed, Mark
from gateway.core.canon import digest
from gateway.errors import StateError

TEXTS = {"policies/a.toml": 'owner = "ä"\n', "policies/b.toml": ""}


def test_texts_are_found_by_the_revision_that_records_name(tmp_path: Path) -> None:
    agreed = Agreed(tmp_path)
    assert agreed.keep(TEXTS) == digest(TEXTS)
    assert Agreed(tmp_path).texts(digest(TEXTS)) == TEXTS
    assert agreed.keep(TEXTS) == digest(TEXTS)
    (file,) = (tmp_path / "policies").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (f"{digest(TEXTS)}.json", 0o600)


@pytest.mark.parametrize("name", ["", "0" * 64, "../policies/x", "accepted"])
def test_what_is_not_kept_is_not_found(tmp_path: Path, name: str) -> None:
    agreed = Agreed(tmp_path)
    agreed.keep(TEXTS)
    agreed.note(POLICY, Mark("r", "os:ada", "now", "how"))
    assert agreed.texts(name) is None


def test_a_text_that_is_not_what_its_name_says_is_none(tmp_path: Path) -> None:
    agreed = Agreed(tmp_path)
    revision = agreed.keep(TEXTS)
    (tmp_path / "policies" / f"{revision}.json").write_bytes(b'{"policies/a.toml":"looser"}')
    assert agreed.texts(revision) is None
    agreed.keep(TEXTS)  # mended by the next one who has it
    assert agreed.texts(revision) == TEXTS


def test_which_one_counts_is_noted_for_each_by_itself(tmp_path: Path) -> None:
    agreed, one, two = Agreed(tmp_path), Mark("1", "os:ada", "then", "a"), Mark("2", "os:bob", "now", "b")
    assert agreed.mark(POLICY) is None
    agreed.note(POLICY, one)
    agreed.note(UPSTREAMS, two)
    assert (Agreed(tmp_path).mark(POLICY), agreed.mark(UPSTREAMS)) == (one, two)
    agreed.note(POLICY, two)
    assert agreed.mark(POLICY) == two


def test_a_note_that_can_not_be_read_is_no_beginning(tmp_path: Path) -> None:
    agreed = Agreed(tmp_path)
    agreed.note(POLICY, Mark("1", "os:ada", "then", "a"))
    (tmp_path / "policies" / MARKS).write_text("[", encoding="utf-8")
    with pytest.raises(StateError):
        agreed.mark(POLICY)


def test_old_texts_go_and_those_in_use_stay(tmp_path: Path) -> None:
    agreed = Agreed(tmp_path)
    used = agreed.keep(TEXTS)
    made = [agreed.keep({"a.toml": str(number)}, (used,)) for number in range(MOST + 5)]
    assert agreed.texts(used) == TEXTS
    kept = [revision for revision in made if agreed.texts(revision) is not None]
    assert len(kept) == MOST + 1  # besides the newest
    assert made[-1] in kept


def test_a_folder_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "policies").write_text("in the way", encoding="utf-8")
    with pytest.raises(StateError):
        Agreed(tmp_path).keep(TEXTS)
    with pytest.raises(StateError):
        Agreed(tmp_path).note(POLICY, Mark("1", "os:ada", "then", "a"))
