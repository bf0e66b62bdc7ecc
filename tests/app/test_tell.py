"""Which notices a configuration leads to."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app.tell import notices_of
from gateway.config import load_settings
from gateway.notices.push import OwnerMail
from tests.fakes import FakeClock

UPSTREAM = '[upstreams.files]\ncommand = "none"\nowner = { business = "ada@x.example", technical = "bob@x.example" }\n'


@pytest.fixture
def desk() -> SimpleNamespace:
    return SimpleNamespace(on_change=[], link=lambda row: "")


def notices(tmp_path: Path, desk: SimpleNamespace, notify: str) -> Any:
    file = tmp_path / "upstreams.toml"
    file.write_text(f'schema = 1\n[gateway]\nstate = "state"\n{UPSTREAM}[notify]\n{notify}\n', encoding="utf-8")
    file.chmod(0o600)
    return notices_of(load_settings(file, {}), FakeClock(), lambda record: None, desk)  # type: ignore[arg-type]  # a fake


def names(lanes: list[Any]) -> list[str]:
    return [lane.channel.name for lane in lanes]


def test_the_desktop_is_told_out_of_the_box_where_there_is_one(
    tmp_path: Path, desk: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "notify-send"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert names(notices(tmp_path, desk, "")._first) == []
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=none")
    assert names(notices(tmp_path, desk, "")._first) == ["desktop"]
    assert names(notices(tmp_path, desk, "desktop = false")._first) == []


def test_targets_are_told_in_their_place_and_the_desk_is_heard(tmp_path: Path, desk: SimpleNamespace) -> None:
    made = notices(tmp_path, desk, 'to = ["ntfy://a", "env:B"]\nsecond = "ntfy://c"\nafter = "90s"')
    assert (names(made._first), names(made._second)) == (["to[1]", "to[2]"], ["second[1]"])
    assert desk.on_change == [made.note]


def test_the_second_target_is_the_business_owner_where_a_mailbox_can_write(
    tmp_path: Path, desk: SimpleNamespace
) -> None:
    owner = notices(tmp_path, desk, 'to = "mailtos://me@mail.example.com"')._owner("files")
    assert isinstance(owner, OwnerMail)
    assert owner._address() == "mailtos://me@mail.example.com?to=ada%40x.example"
    assert notices(tmp_path, desk, "")._owner("files") is None
    assert notices(tmp_path, desk, 'to = "mailtos://me@mail.example.com"')._owner("gone") is None
