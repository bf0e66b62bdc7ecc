"""`doctor` on the configuration: each thing broken, seen, and gone once it is mended."""

import json
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from gateway.cli.doctor import configuration
from gateway.cli.doctor.finding import Line
from tests.cli.consulting import CONFIG, case_of, configure, told, write, wrong


def test_no_configuration_is_told_until_there_is_one(tmp_path: Path) -> None:
    assert wrong(configuration.files, case_of(tmp_path)) == [(Line.CONFIGURATION, "")]
    configure(tmp_path)
    assert wrong(configuration.files, case_of(tmp_path)) == []


def test_what_check_calls_an_error_is_wrong_and_what_it_warns_of_is_noted(tmp_path: Path) -> None:
    configure(tmp_path, CONFIG.replace("owner", "ownr"))
    found = told(configuration.files, case_of(tmp_path))
    assert any(each.wrong and each.of == "[upstreams.files] ownr" and "did you mean" in each.found for each in found)
    configure(tmp_path)
    found = told(configuration.files, case_of(tmp_path))
    assert [each.where for each in found if "tools.lock" in each.where and not each.wrong] == ["policies/tools.lock"]


def test_a_secret_that_is_written_out_in_upstreams_toml_is_told(tmp_path: Path) -> None:
    configure(tmp_path, CONFIG + f'[upstreams.files.env]\nAPI_TOKEN = "{"x1" * 12}"\n')
    assert (Line.CONFIGURATION, "[upstreams.files.env] API_TOKEN") in wrong(configuration.files, case_of(tmp_path))
    configure(tmp_path, CONFIG + '[upstreams.files.env]\nAPI_TOKEN = "env:API_TOKEN"\n')
    assert wrong(configuration.files, case_of(tmp_path)) == []


def test_a_configuration_that_others_may_write_is_told_in_one_line_with_its_mode(tmp_path: Path) -> None:
    file = configure(tmp_path)
    file.chmod(0o606)
    assert wrong(configuration.permissions, case_of(tmp_path)) == [(Line.PERMISSIONS, "")]
    assert wrong(configuration.files, case_of(tmp_path)) == []
    file.chmod(0o600)
    assert wrong(configuration.permissions, case_of(tmp_path)) == []


@pytest.mark.parametrize("name", ["policies", "policies/a.toml", "policies/tools.lock"])
def test_policies_that_others_may_write_are_told(name: str, tmp_path: Path) -> None:
    configure(tmp_path)
    write(tmp_path / "config" / "policies" / "a.toml", "")
    write(tmp_path / "config" / "policies" / "tools.lock", "schema = 1\n")
    path = tmp_path / "config" / name
    before = path.stat().st_mode
    path.chmod(before | 0o002)
    (found,) = [each for each in told(configuration.permissions, case_of(tmp_path)) if each.wrong]
    assert found.where == str(path)
    path.chmod(before)
    assert wrong(configuration.permissions, case_of(tmp_path)) == []


def test_a_gateway_that_does_not_run_is_no_problem(tmp_path: Path) -> None:
    configure(tmp_path)
    case = case_of(tmp_path)
    case.unreachable = "no gateway answers"
    (found,) = told(configuration.gateway, case)
    assert (found.wrong, found.found) == (False, "no gateway answers")
    running = case_of(tmp_path, {"version": "7"})
    assert told(configuration.gateway, running)[0].found == "version 7 runs"
    running.alone = True
    assert told(configuration.gateway, running)[0].found == "none runs: one was opened to look, and ended"


def test_what_does_not_count_of_the_files_is_a_warning_with_what_to_do(tmp_path: Path) -> None:
    policy = {
        "revision": "ab" * 32,
        "accepted_by": "os:ada",
        "accepted_how": "first seen",
        "held": [
            {"what": "policy", "differences": ["a.toml: new file"], "do": "wardgate accept x"},
            {"what": "upstreams", "differences": ["runs x"], "do": "wardgate accept y"},
        ],
        "refused": "a.toml:3: not valid TOML",
        "restart": True,
    }
    found = told(configuration.counts, case_of(tmp_path, {"policy": policy}))
    assert [(each.what, each.wrong) for each in found] == [
        ("policy", False),
        ("policy held", True),
        ("upstreams held", True),
        ("policy refused", True),
        ("restart", True),
    ]
    assert found[0].found == f"revision {'ab' * 6}: first seen, by os:ada"
    assert (found[1].found, "`wardgate accept x`" in found[1].do) == ("a.toml: new file", True)
    calm = {**policy, "held": [], "refused": "", "restart": False}
    assert wrong(configuration.counts, case_of(tmp_path, {"policy": calm})) == []
    assert told(configuration.counts, case_of(tmp_path, {})) == []
    assert told(configuration.counts, case_of(tmp_path)) == []


def test_a_reference_that_leads_nowhere_is_told_until_it_leads_somewhere(tmp_path: Path) -> None:
    configure(tmp_path, CONFIG + '[upstreams.files.env]\nA_TOKEN = "env:A_TOKEN"\nB_TOKEN = "file:b"\n')
    both = [(Line.REFERENCE, "files.A_TOKEN"), (Line.REFERENCE, "files.B_TOKEN")]
    assert wrong(configuration.references, case_of(tmp_path)) == both
    write(tmp_path / "config" / "b", "value")
    assert wrong(configuration.references, case_of(tmp_path, environ={"A_TOKEN": "value"})) == []


def test_variables_of_a_gateway_that_runs_are_not_guessed_at(tmp_path: Path) -> None:
    configure(tmp_path, CONFIG + '[upstreams.files.env]\nA_TOKEN = "env:A_TOKEN"\n')
    assert wrong(configuration.references, case_of(tmp_path, {})) == []


def test_no_program_of_a_reference_is_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    configure(tmp_path, CONFIG + f'[upstreams.files.env]\nA_TOKEN = "cmd:/usr/bin/touch {ran}"\n')
    assert told(configuration.references, case_of(tmp_path)) == []
    assert not ran.exists()


class Keychain(ModuleType):
    """A keychain with one entry, or one that is locked."""

    def __init__(self, entries: dict[tuple[str, str], str], locked: threading.Event | None = None) -> None:
        super().__init__("keyring")
        self.errors = ModuleType("keyring.errors")
        self.errors.KeyringError = KeyError  # type: ignore[attr-defined]  # all that is asked of it
        self._entries, self._locked = entries, locked

    def get_password(self, service: str, name: str) -> str | None:
        if self._locked is not None:
            self._locked.wait()
        return self._entries.get((service, name))


KEYRING = CONFIG + '[upstreams.files.env]\nA_TOKEN = "keyring:wardgate/files"\n'


def test_a_keychain_without_the_entry_is_told_until_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, KEYRING)
    for entries, expected in (({}, [(Line.KEYRING, "files.A_TOKEN")]), ({("wardgate", "files"): "value"}, [])):
        chain = Keychain(entries)
        monkeypatch.setitem(sys.modules, "keyring", chain)
        monkeypatch.setitem(sys.modules, "keyring.errors", chain.errors)
        assert wrong(configuration.references, case_of(tmp_path)) == expected
    assert told(configuration.references, case_of(tmp_path))[0].found == "usable: 1 value found"


def test_a_keychain_that_never_answers_is_told_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, KEYRING)
    locked = threading.Event()
    chain = Keychain({}, locked)
    monkeypatch.setitem(sys.modules, "keyring", chain)
    monkeypatch.setitem(sys.modules, "keyring.errors", chain.errors)
    monkeypatch.setattr(configuration, "PATIENCE", 0.01)
    assert wrong(configuration.references, case_of(tmp_path)) == [(Line.KEYRING, "files.A_TOKEN")]
    locked.set()


def test_the_extra_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(tmp_path, KEYRING)
    monkeypatch.setitem(sys.modules, "keyring", None)
    (found,) = told(configuration.references, case_of(tmp_path))
    assert "wardgate[keyring]" in found.found


def test_a_secret_that_is_too_weak_is_noted(tmp_path: Path) -> None:
    (found,) = told(configuration.weak, case_of(tmp_path, {"left_out": {"files.PIN": "shorter than 8 characters"}}))
    assert (found.what, found.wrong) == ("secret files.PIN", False)
    assert told(configuration.weak, case_of(tmp_path, {"left_out": {}})) == []


def test_no_value_of_a_reference_is_ever_told(tmp_path: Path) -> None:
    value = "vAlue" * 8
    configure(tmp_path, CONFIG + '[upstreams.files.env]\nA_TOKEN = "file:a"\nB_TOKEN = "file:b"\n')
    write(tmp_path / "config" / "a", value)
    write(tmp_path / "config" / "b", value, mode=0o666)
    found = told(configuration.references, case_of(tmp_path))
    assert [each.of for each in found] == ["files.B_TOKEN"]
    assert value not in json.dumps([each.item() for each in found])
