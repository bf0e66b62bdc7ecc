"""What is handed out: wheel, sdist, bundle for desktop clients and the registry's server.json; the same each time.

The shapes are those of MCPB 0.4 and of the registry's schema 2025-12-11, as far as we use them.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway import __version__

ROOT = Path(__file__).parents[1]
PARTS = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "requirements.lock",
    "policies",
    "gateway/__init__.py",
    "gateway/cli",
)
ENDS = ("-py3-none-any.whl", ".tar.gz", ".mcpb")
NAME, DOWNLOADS = "io.github.someone/wardgate", "https://example.com/releases"


def program() -> ModuleType:
    """The program that builds it."""
    spec = spec_from_file_location("dist", ROOT / ".ci" / "dist.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(folder: Path, root: Path = ROOT) -> dict[str, bytes]:
    module = program()
    module.ROOT = root  # type: ignore[attr-defined]  # a constant of the program
    return {path.name: path.read_bytes() for path in module.build(folder, NAME, DOWNLOADS)}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything, built once."""
    folder = tmp_path_factory.mktemp("dist")
    built(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(dist: Path) -> dict[str, bytes]:
    """What is in the bundle."""
    (path,) = dist.glob("*.mcpb")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_the_same_tree_gives_the_same_bytes_at_whatever_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    made = []
    for number in range(2):
        tree = tmp_path / f"tree{number}"
        tree.mkdir()
        for name in PARTS:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            (tree / name).parent.mkdir(exist_ok=True)
            copy(ROOT / name, tree / name)
        late = 1_700_000_000 + 1_000_000 * number
        for path in tree.rglob("*"):
            os.utime(path, (late, late))
        made.append(built(tmp_path / f"dist{number}", tree))
    assert set(made[0]) == {f"wardgate-{__version__}{end}" for end in ENDS} | {"server.json"}
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []


def test_a_time_that_is_told_is_the_time_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert program().when() == 1234567890


def test_the_wheel_holds_the_package_and_the_packs_and_no_test(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packs = {path.name for path in (ROOT / "policies" / "packs").glob("*.toml")}
    assert packs
    assert packs <= {Path(name).name for name in names if name.startswith("gateway/packs/")}
    assert {name.split("/")[0] for name in names} == {"gateway", f"wardgate-{__version__}.dist-info"}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gateway").rglob("*.py")}
    assert modules <= set(names)


def test_the_source_holds_what_it_is_built_and_tested_from(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "gateway/__init__.py", "tests/test_dist.py"} <= names
    assert {".ci/run", ".ci/dist.py", "Makefile", "requirements.lock", "requirements-dev.lock"} <= names


def test_the_bundle_is_one_that_a_clients_uv_can_start(bundle: dict[str, bytes]) -> None:
    manifest = json.loads(bundle["manifest.json"])
    assert {"manifest_version", "name", "version", "description", "author", "server"} <= set(manifest)
    assert (manifest["manifest_version"], manifest["name"], manifest["version"]) == ("0.4", "wardgate", __version__)
    server = manifest["server"]
    assert (server["type"], server["mcp_config"]["command"]) == ("uv", "uv")
    assert server["entry_point"] in bundle
    assert server["entry_point"] in server["mcp_config"]["args"]
    assert manifest["compatibility"]["platforms"] == ["darwin", "linux"]
    used = re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(server))
    assert set(used) == set(manifest["user_config"])
    for option in manifest["user_config"].values():
        assert {"type", "title", "description"} <= set(option)


def test_the_bundle_holds_its_own_wheel_and_pins_what_the_tests_ran_with(bundle: dict[str, bytes], dist: Path) -> None:
    project = tomllib.loads(bundle["pyproject.toml"].decode())
    (wheel,) = dist.glob("*.whl")
    assert project["tool"]["uv"]["sources"]["wardgate"]["path"] == wheel.name
    assert bundle[wheel.name] == wheel.read_bytes()
    pins = {pin.split(" ")[0] for pin in project["tool"]["uv"]["constraint-dependencies"]}
    locked = re.findall(r"^([a-z0-9]\S*==\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert pins == set(locked)
    assert not any("://" in text.decode() for name, text in bundle.items() if name == "pyproject.toml")


@pytest.mark.parametrize("config", ["", "${user_config.config}", "/somewhere/else"])
def test_the_bundles_entry_starts_the_shim_where_the_user_says(
    bundle: dict[str, bytes], tmp_path: Path, config: str
) -> None:
    entry = tmp_path / "main.py"
    entry.write_bytes(bundle["server/main.py"])
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path), "WARDGATE_CONFIG": config, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(entry), "--client", "claude-desktop"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )
    wanted = config if config.startswith("/") else str(tmp_path)
    assert done.returncode == 1
    assert wanted in done.stderr
    assert "upstreams.toml" in done.stderr


def test_the_registry_is_told_where_the_package_and_the_bundle_are(dist: Path) -> None:
    told: dict[str, Any] = json.loads((dist / "server.json").read_bytes())
    assert told["$schema"].endswith("/2025-12-11/server.schema.json")
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", told["name"])
    assert (told["name"], told["version"]) == (NAME, __version__)
    assert 0 < len(told["description"]) <= 100
    package, bundle = told["packages"]
    assert (package["registryType"], package["identifier"], package["version"]) == ("pypi", "wardgate", __version__)
    assert package["packageArguments"] == [{"type": "positional", "value": "stdio"}]
    (file,) = dist.glob("*.mcpb")
    assert bundle["identifier"] == f"{DOWNLOADS}/{file.name}"
    assert bundle["fileSha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert {one["transport"]["type"] for one in told["packages"]} == {"stdio"}


def test_without_a_place_to_have_it_from_the_bundle_is_not_told_of(dist: Path) -> None:
    (file,) = dist.glob("*.mcpb")
    told = program().listing(NAME, __version__, file, "")
    assert [package["registryType"] for package in told["packages"]] == ["pypi"]


@pytest.mark.parametrize("name", ["wardgate", "a/b/c", "", "a b/c"])
def test_a_name_that_the_registry_would_refuse_is_refused(name: str, tmp_path: Path) -> None:
    build: Callable[..., Any] = program().build
    with pytest.raises(SystemExit, match="expected a name"):
        build(tmp_path, name)
