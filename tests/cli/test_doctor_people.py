"""`doctor` on people: keys that anything signs with, notices that reach nobody, and the level of isolation."""

import os
import sqlite3
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.cli.doctor import people
from gateway.cli.doctor.finding import Line
from tests.cli.consulting import CONFIG, case_of, configure, told, write, wrong
from tests.cli.recording import record


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configure(tmp_path)
    return tmp_path


def test_a_key_that_signs_with_nobody_there_is_told_until_it_is_gone(home: Path) -> None:
    record(home / "config" / "state")
    with sqlite3.connect(home / "config" / "state" / "record.db") as db:
        row = ("SHA256:abc", "ada", "ssh", "key", 0, 0, "", "")
        db.execute("INSERT INTO approver_key VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    assert wrong(people.keys, case_of(home)) == [(Line.KEY, "of ada")]
    with sqlite3.connect(home / "config" / "state" / "record.db") as db:
        db.execute("UPDATE approver_key SET attended = 1")
    (found,) = told(people.keys, case_of(home))
    assert (found.wrong, found.what, found.found) == (False, "key of ada", "ssh SHA256:abc, signs with somebody there")


def test_without_a_store_there_are_no_keys(home: Path) -> None:
    assert told(people.keys, case_of(home)) == []


NOTIFY = CONFIG + "[notify]\ndesktop = {}\nto = {}\n"


def test_a_desktop_that_can_not_be_reached_is_noted_until_it_can(home: Path) -> None:
    (found,) = told(people.notices, case_of(home, {"desktop": False}))
    assert (found.wrong, "nobody is told" in found.found, "notify-send" in found.do) == (False, True, True)
    (found,) = told(people.notices, case_of(home, {"desktop": True}))
    assert (found.found, found.do) == ("the desktop can be reached", "")


def test_without_a_gateway_the_desktop_is_looked_for_from_here(home: Path) -> None:
    write(home / "bin" / "notify-send", "#!/bin/sh\n", mode=0o700)
    (found,) = told(people.notices, case_of(home, environ={"PATH": f"{home}/bin", "DBUS_SESSION_BUS_ADDRESS": "unix:"}))
    assert found.found == "the desktop can be reached"
    (found,) = told(people.notices, case_of(home, environ={"PATH": f"{home}/bin"}))
    assert "no desktop can be reached" in found.found


def test_that_nobody_at_all_is_told_is_noted(home: Path) -> None:
    configure(home, NOTIFY.format("false", "[]"))
    (found,) = told(people.notices, case_of(home))
    assert "there is no desktop and no target" in found.found
    assert "`wardgate approvals watch`" in found.do


@pytest.mark.skipif(find_spec("apprise") is None, reason="the extra `notify` is not installed")
def test_a_target_that_is_no_address_is_told_until_it_is_one(home: Path) -> None:
    configure(home, NOTIFY.format("false", '["file:target"]') + 'second = ["file:target"]\n')
    write(home / "config" / "target", "nonsense")
    assert wrong(people.notices, case_of(home)) == [(Line.NOTICES, "to[1]"), (Line.NOTICES, "second[1]")]
    write(home / "config" / "target", "json://127.0.0.1:1/x")
    assert wrong(people.notices, case_of(home)) == []


def test_a_target_without_the_extra_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(home, NOTIFY.format("false", '["env:TARGET"]'))
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (found,) = told(people.notices, case_of(home))
    assert (found.wrong, found.of, found.do) == (True, "to[1]", "pip install 'wardgate[notify]'")


def test_targets_whose_value_is_not_known_here_are_left_alone(home: Path) -> None:
    ran = home / "ran"
    configure(home, NOTIFY.format("false", f'["env:TARGET", "cmd:/usr/bin/touch {ran}"]'))
    assert wrong(people.notices, case_of(home, {})) == []
    assert wrong(people.notices, case_of(home)) == []
    assert not ran.exists()


def test_the_level_is_told_by_whose_the_state_folder_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = told(people.isolation, case_of(home))
    assert (found.line, found.found[:7]) == (Line.ISOLATION, "level 0")
    (home / "config" / "state").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: (home / "config" / "state").stat().st_uid + 1)
    (found,) = told(people.isolation, case_of(home))
    assert found.found == "level 2: the gateway runs as a user of its own"
