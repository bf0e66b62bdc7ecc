"""The units and the Dockerfile of `docs/operations/`: what they say, and what their commands do where it can be played.

No container is built here: the steps of the Dockerfile need an image from elsewhere.
"""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from shlex import split

import anyio
import pytest

from gateway.config.nouns import Gateway
from tests.e2e.kit import DEADLINE, House, listens, stop, until
from tests.e2e.test_operations import get

ROOT = Path(__file__).parents[2]
FILES = ROOT / "docs" / "operations"
UNITS = ("wardgate.service", "wardgate.socket", "wardgate-export.service")
HARDENED = {  # in both services
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallFilter": "@system-service",
    "UMask": "0077",
    "User": "wardgate",
}


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """The sections of a unit: each key with its values, in order."""
    sections: dict[str, dict[str, list[str]]] = {}
    keys: dict[str, list[str]] = {}
    for line in (FILES / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            keys = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            assert re.fullmatch(r"[A-Z][A-Za-z]+", key), f"{name}: `{line}`"
            keys.setdefault(key, []).append(value)
    return sections


def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, continuation lines joined."""
    text = (FILES / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def stage() -> list[tuple[str, str]]:
    """The instructions of the image that is kept."""
    found = dockerfile()
    return found[max(place for place, (word, _) in enumerate(found) if word == "FROM") :]


def last(word: str) -> str:
    return [rest for found, rest in stage() if found == word][-1]


@pytest.mark.parametrize("name", ["wardgate.service", "wardgate-export.service"])
def test_a_service_runs_as_its_own_user_and_may_do_little(name: str) -> None:
    service = unit(name)["Service"]
    assert {key: service[key][-1] for key in HARDENED} == HARDENED


def test_the_socket_is_where_the_gateway_listens_by_default() -> None:
    plain = Gateway(Path(), Path(), "gw")
    assert unit("wardgate.socket")["Socket"]["ListenStream"] == [f"{plain.host}:{plain.port}"]
    assert unit("wardgate.service")["Unit"]["Requires"] == ["wardgate.socket"]


@pytest.mark.parametrize("name", ["wardgate.service", "wardgate-export.service"])
def test_the_commands_of_a_service_are_commands_with_options_that_there_are(name: str, house: House) -> None:
    (line,) = unit(name)["Service"]["ExecStart"]
    program, command, *options = split(line)
    assert program == "/opt/wardgate/bin/wardgate"
    told = subprocess.run(
        [house.command, command, "--help"], capture_output=True, text=True, check=True, timeout=DEADLINE
    ).stdout
    assert [option for option in options if option.startswith("--") and option not in told] == []


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, house: House) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd is installed")
    for each in UNITS:
        text = (FILES / each).read_text(encoding="utf-8").replace("/opt/wardgate/bin/wardgate", house.command)
        (house.place / each).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(house.place / name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_image_runs_as_nobody_special_and_holds_no_secret() -> None:
    assert last("USER") == "10001:10001"
    assert not any(word == "ARG" for word, _ in dockerfile())
    assert not any(word == "COPY" and rest.split()[0] in (".", "./") for word, rest in dockerfile())
    assert all(
        "--require-hashes" in rest or "--no-deps" in rest for rest in re.findall(r"pip install .*?(?=&&|$)", _runs())
    )


def _runs() -> str:
    return "\n".join(rest for word, rest in dockerfile() if word == "RUN")


@pytest.fixture
def bwrap() -> str:
    """What makes a root that can't be written."""
    found = shutil.which("bwrap") or shutil.which("bwrap", path=str(ROOT / ".upstreams" / "bwrap"))
    if found is None:
        pytest.skip("no bubblewrap is installed or to be had from apt")
    trial = subprocess.run([found, "--unshare-user", "--ro-bind", "/", "/", "true"], capture_output=True, check=False)
    if trial.returncode:
        pytest.skip("this machine makes no namespaces")
    return found


@pytest.mark.slow
async def test_what_the_image_runs_works_with_a_root_that_it_can_not_write(house: House, bwrap: str) -> None:
    """Its command and its health check, as its user, before the files of this checkout."""
    house.configure()
    text = (house.folder / "upstreams.toml").read_text(encoding="utf-8")
    state = house.place / "volume"
    state.mkdir(mode=0o700)
    house.write("upstreams.toml", text.replace('state = "state"', f'state = "{state}"'))
    assert tomllib.loads((house.folder / "upstreams.toml").read_text(encoding="utf-8"))["gateway"]["state"] == str(
        state
    )
    words = [
        *(bwrap, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run", "--die-with-parent"),
        *("--bind", str(state), str(state), "--bind", str(house.world), str(house.world)),
        *(
            "--unshare-user",
            "--uid",
            last("USER").split(":")[0],
            "--gid",
            last("USER").split(":")[1],
            "--cap-drop",
            "ALL",
        ),
    ]
    run = [house.command, *json.loads(last("CMD"))]
    check = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert json.loads(last("ENTRYPOINT")) == ["/opt/wardgate/bin/wardgate"]
    program = check[2].replace("8765", str(house.port))
    environment = {**house.environment, "WARDGATE_CONFIG": str(house.folder)}
    with house.log() as log:
        process = await anyio.open_process(
            [*words, *run], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        try:
            await until(lambda: process.returncode is not None or listens(house.port))
            assert process.returncode is None, house.said()

            async def healthy() -> bool:
                probe = [*words, str(Path(house.command).with_name("python")), *check[1:2], program]
                done = await anyio.run_process(probe, check=False, env=environment, stdin=subprocess.DEVNULL)
                return done.returncode == 0

            with anyio.fail_after(DEADLINE):
                assert await until(healthy)
            assert (await get(house, "/healthz")).status_code == 200
        finally:
            await stop(process)
    assert (state / "record.db").exists()
