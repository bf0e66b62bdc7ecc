"""The real upstreams answer by themselves, so that a failure behind the gateway is the gateway's."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.e2e.real import Launch, RealUpstreams

Place = Callable[[RealUpstreams, Path], Launch]


def _repository(real: RealUpstreams, folder: Path) -> Launch:
    launch = real.git(folder)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True, stdin=subprocess.DEVNULL)
    return launch


UPSTREAMS: dict[str, tuple[Place, str, str]] = {
    "filesystem": (lambda real, folder: real.filesystem(folder), "legacy", "read_text_file"),
    "everything": (lambda real, folder: real.everything(), "legacy", "echo"),
    "memory": (lambda real, folder: real.memory(folder / "graph.jsonl"), "legacy", "create_entities"),
    "git": (_repository, "modern", "git_status"),
    "time": (lambda real, folder: real.time(), "modern", "convert_time"),
}


@pytest.mark.parametrize("name", UPSTREAMS)
async def test_the_inspector_lists_the_tools_of_a_real_upstream(
    name: str, real_upstreams: RealUpstreams, environment: Mapping[str, str], tmp_path: Path
) -> None:
    place, era, tool = UPSTREAMS[name]
    folder = tmp_path / "served"
    folder.mkdir()
    launch = place(real_upstreams, folder)
    options = ["--protocol-era", era, "--method", "tools/list"]
    for key, value in launch.env.items():
        options += ["-e", f"{key}={value}"]
    inspected = await real_upstreams.inspect(options, [launch.command, *launch.args], environment)
    assert inspected.code == 0, inspected.stderr
    assert tool in [each["name"] for each in inspected.result["result"]["tools"]]


def test_an_upstream_that_is_not_installed_fails_under_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        RealUpstreams(tmp_path).time()


def test_an_upstream_that_is_not_installed_skips_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        RealUpstreams(tmp_path).time()
