"""Where secrets go: the keyring where one protects them, else files that only their owner reads."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from gateway.config.references import resolve
from gateway.errors import StateError
from gateway.initial import keeping
from gateway.initial.keeping import Kept, beside, forget, places, references, store, usable_keyring
from gateway.initial.nouns import Hidden, Launch, Planned


class Ring:
    """A keyring in memory; `deaf` takes values and keeps none."""

    def __init__(self, priority: float = 5, deaf: bool = False, **values: str) -> None:
        self.priority, self.deaf, self.values = priority, deaf, dict(values)

    def get_password(self, service: str, name: str) -> str | None:
        assert service == "wardgate"
        return self.values.get(name)

    def set_password(self, service: str, name: str, value: str) -> None:
        if not self.deaf:
            self.values[name] = value

    def delete_password(self, service: str, name: str) -> None:
        del self.values[name]


def wanted(*values: str) -> tuple[Planned, ...]:
    env = {f"KEY_{place}": Hidden(f"KEY_{place}", "it is one", value) for place, value in enumerate(values)}
    return (Planned("hub", Launch("x", env=env), ()),)


def with_keyring(monkeypatch: pytest.MonkeyPatch, ring: Ring) -> None:
    module = ModuleType("keyring")
    vars(module).update(get_keyring=lambda: ring)
    monkeypatch.setitem(sys.modules, "keyring", module)


def test_a_keyring_that_protects_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    with_keyring(monkeypatch, ring)
    assert usable_keyring() is ring
    assert ring.values == {}  # it was only asked


@pytest.mark.parametrize("ring", [Ring(priority=0), Ring(priority=-1), Ring(priority=0.5)])
def test_one_that_keeps_nothing_or_keeps_it_in_the_open_is_not(monkeypatch: pytest.MonkeyPatch, ring: Ring) -> None:
    with_keyring(monkeypatch, ring)
    assert usable_keyring() is None


def test_without_the_extra_or_with_one_that_is_broken_files_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert usable_keyring() is None
    with_keyring(monkeypatch, Ring())
    monkeypatch.setattr(Ring, "get_password", lambda *asked: 1 / 0)
    assert usable_keyring() is None


def test_secrets_go_to_the_keyring_and_what_is_not_known_to_a_file(tmp_path: Path) -> None:
    kept = places(wanted("one", ""), Ring(), tmp_path)
    assert [each.reference for each in kept] == ["keyring:wardgate/hub-KEY_0", "file:secrets/hub-KEY_1"]
    assert references(kept) == {
        ("hub", "KEY_0"): "keyring:wardgate/hub-KEY_0",
        ("hub", "KEY_1"): "file:secrets/hub-KEY_1",
    }


def test_no_place_is_taken_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "hub-KEY_0").write_text("another")
    (by_file,) = places(wanted("one"), None, tmp_path)
    (by_ring,) = places(wanted("one"), Ring(**{"hub-KEY_0": "another"}), tmp_path)
    (same,) = places(wanted("one"), Ring(**{"hub-KEY_0": "one"}), tmp_path)
    assert (by_file.name, by_ring.name, same.name) == ("hub-KEY_0-2", "hub-KEY_0-2", "hub-KEY_0")


def test_names_that_become_one_are_kept_apart(tmp_path: Path) -> None:
    env = {name: Hidden(name, "it is one", name) for name in ("A.B", "A-B")}
    kept = places((Planned("hub", Launch("x", env=env), ()),), None, tmp_path)
    assert [each.name for each in kept] == ["hub-A-B", "hub-A-B-2"]


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    keeping.write(places(wanted("one", ""), None, tmp_path), tmp_path)
    (file,) = (tmp_path / "secrets").iterdir()
    assert (file.name, file.read_text(), file.stat().st_mode & 0o777) == ("hub-KEY_0", "one", 0o600)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("value", ["one", "one\n", "one\r\n", "one\r", "\n", "a\nb", "a\n\n"], ids=repr)
def test_a_value_is_read_as_it_was_written(tmp_path: Path, value: str) -> None:
    kept = places(wanted(value), None, tmp_path)
    keeping.write(kept, tmp_path)
    assert [resolve(each.reference, tmp_path) for each in kept] == [value]


def test_what_was_stored_can_be_taken_out_again_and_nothing_else(tmp_path: Path) -> None:
    ring = Ring(**{"hub-KEY_0": "one", "mine": "x"})
    added = store(places(wanted("one", "two"), ring, tmp_path), ring)
    assert ring.values == {"hub-KEY_0": "one", "mine": "x", "hub-KEY_1": "two"}
    forget(added, ring)
    assert ring.values == {"hub-KEY_0": "one", "mine": "x"}


def test_a_keyring_that_does_not_keep_what_it_takes_stops_it(tmp_path: Path) -> None:
    ring = Ring(deaf=True)
    with pytest.raises(StateError, match="hub-KEY_0"):
        store(places(wanted("one"), ring, tmp_path), ring)
    assert ring.values == {}


def test_for_a_trial_all_of_them_are_in_files(tmp_path: Path) -> None:
    kept = beside(places(wanted("one"), Ring(), tmp_path))
    assert [each.reference for each in kept] == ["file:secrets/hub-KEY_0"]
    assert isinstance(kept[0], Kept)


def test_a_long_name_becomes_one_that_a_file_can_have(tmp_path: Path) -> None:
    env = {name: Hidden(name, "it is one", "x") for name in ("A" * 300, "A" * 301)}
    one, two = places((Planned("hub", Launch("x", env=env), ()),), None, tmp_path)
    assert one.name != two.name
    assert max(len(one.name), len(two.name)) < 120
