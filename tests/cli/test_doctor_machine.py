"""`doctor` on the machine: open files, a full disk, a taken port, and the scanner's rules; broken and mended."""

import os
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from gateway.cli.doctor import machine
from gateway.cli.doctor.finding import Line
from tests.cli.consulting import CONFIG, case_of, configure, told, write, wrong


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configure(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["", "key", "signing-key", "record.db", "old-keys/digest-1", "clients/cursor-user-1.backup", "policies/a"]
)
def test_what_others_may_read_in_the_state_folder_is_told_until_they_may_not(name: str, home: Path) -> None:
    state = home / "config" / "state"
    for each in ("key", "signing-key", "record.db", "old-keys/digest-1", "clients/cursor-user-1.backup", "policies/a"):
        write(state / each, "x")
    assert wrong(machine.private, case_of(home)) == []
    path = state / name
    before = path.stat().st_mode
    path.chmod(before | 0o040)
    (found,) = told(machine.private, case_of(home))
    assert (found.line, found.wrong, f"`{path.name}`" in found.found) == (Line.PERMISSIONS, True, True)
    path.chmod(before)
    assert wrong(machine.private, case_of(home)) == []


def test_many_open_files_are_counted_and_links_are_not_followed(home: Path) -> None:
    for number in range(5):
        write(home / "config" / "state" / f"f{number}", "x", mode=0o644)
    outside = write(home / "outside", "x", mode=0o644)
    (home / "config" / "state" / "link").symlink_to(outside)
    (found,) = told(machine.private, case_of(home))
    assert found.found.endswith("and 2 more")
    assert "link" not in found.found


def test_a_state_folder_that_is_not_there_yet_is_no_problem(home: Path) -> None:
    assert told(machine.private, case_of(home)) == []
    assert wrong(machine.disk, case_of(home)) == []


def test_a_disk_with_little_room_is_told_until_there_is_some(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    for free, expected in ((1024, [(Line.DISK, "")]), (1 << 40, [])):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage(0, 0, free))
        assert wrong(machine.disk, case_of(home)) == expected
    configure(home, CONFIG + '[record]\nlow_space = "2048GiB"\n')
    (found,) = told(machine.disk, case_of(home))
    assert (found.wrong, found.found) == (True, "1.0 TiB free, less than 2.0 TiB")


def test_a_taken_port_is_told_until_it_is_free(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        configure(home, CONFIG.replace("127.0.0.1:0", f"127.0.0.1:{number}"))
        assert wrong(machine.port, case_of(home)) == [(Line.PORT, f"127.0.0.1:{number}")]
        announced = write(home / "config" / "state" / "gateway.json", {"url": f"http://127.0.0.1:{number}/mcp"})
        (found,) = told(machine.port, case_of(home, {}))
        assert (found.wrong, found.found) == (False, f"the gateway listens on 127.0.0.1:{number}")
        write(announced, {"url": f"http://127.0.0.1:{number + 1}/mcp"})
        assert wrong(machine.port, case_of(home, {})) == [(Line.PORT, f"127.0.0.1:{number}")]
        announced.write_text("nonsense", encoding="utf-8")
        assert told(machine.port, case_of(home, {})) == []
    assert wrong(machine.port, case_of(home)) == []


def test_any_free_port_is_right_where_that_is_asked_for(home: Path) -> None:
    write(home / "config" / "state" / "gateway.json", {"url": "http://127.0.0.1:12345/mcp"})
    (found,) = told(machine.port, case_of(home, {}))
    assert (found.wrong, found.found) == (False, "the gateway listens at http://127.0.0.1:12345/mcp")
    (found,) = told(machine.port, case_of(home))
    assert (found.wrong, found.found) == (False, "127.0.0.1:0 is free")


def test_an_address_that_is_none_of_this_machine_is_told(home: Path) -> None:
    found = machine._free("192.0.2.1", 0, "192.0.2.1:0")
    assert (found.line, found.wrong) == (Line.PORT, True)


def rules(home: Path) -> tuple[str, str, bool]:
    """What is told of the scanner's rules: what was found, what to do, and whether that is wrong."""
    (found,) = told(machine.rules, case_of(home, environ={"WARDGATE_CACHE": str(home / "rules")}))
    assert found.line is Line.RULES
    return found.found, found.do, found.wrong


def test_rules_that_are_not_compiled_are_told_until_they_are(home: Path) -> None:
    assert rules(home)[1:] == ("`wardgate warm` does it now", False)
    file = write(home / "rules" / "a.vscdb", "compiled")
    assert rules(home) == ("compiled", "", False)
    os.utime(file, (1, 1))
    assert rules(home)[1:] == ("`wardgate warm` does it now", False)
    file.touch()
    (home / "rules").chmod(0o777)
    assert rules(home)[2] is True
    (home / "rules").chmod(0o700)
    assert rules(home) == ("compiled", "", False)


def test_a_gateway_whose_scanner_is_not_loaded_is_told_until_it_is(home: Path) -> None:
    assert wrong(machine.rules, case_of(home, {"scanner": False})) == [(Line.RULES, "")]
    assert wrong(machine.rules, case_of(home, {"scanner": True})) == []
    assert wrong(machine.rules, case_of(home, {})) == []


@pytest.mark.parametrize(
    ("count", "expected"),
    [(5, "5 B"), (2048, "2.0 KiB"), (3 << 20, "3.0 MiB"), (1 << 30, "1.0 GiB"), (1 << 50, "1024.0 TiB")],
)
def test_a_size_is_told_as_people_write_it(count: int, expected: str) -> None:
    assert machine.size(count) == expected
