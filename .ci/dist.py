"""Build what is handed out, into dist/: wheel, sdist, the `.mcpb` bundle for clients, and the registry's server.json.

The same tree gives the same bytes: times are those of the last commit, or of SOURCE_DATE_EPOCH.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+")
SUMMARY = "MCP gateway that decides on each tool call: policy, approvals, screened outputs, a provable record."
SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
UNTIMED = 1580601600  # where neither git nor the variable tells a time
CONFIG = "The folder that holds upstreams.toml; empty: where `wardgate init` writes it"
ENTRY = '''"""Start Wardgate for the client that installed this bundle."""

import os
import sys

from gateway.cli.main import main

if os.environ.get("WARDGATE_CONFIG", "").strip() in ("", "${user_config.config}"):
    os.environ.pop("WARDGATE_CONFIG", None)
sys.argv = ["wardgate", "stdio", *sys.argv[1:]]
main()
'''


def manifest(project: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The manifest of the bundle (MCPB 0.4, server type `uv`: the client's uv installs what pyproject.toml names)."""
    command = ["run", "--directory", "${__dirname}", "server/main.py", "--client", "claude-desktop"]
    return {
        "manifest_version": "0.4",
        "name": project["name"],
        "display_name": "Wardgate",
        "version": version,
        "description": SUMMARY,
        "author": {"name": project["authors"][0]["name"]},
        "license": project["license"],
        "keywords": project["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "server/main.py",
            "mcp_config": {"command": "uv", "args": command, "env": {"WARDGATE_CONFIG": "${user_config.config}"}},
        },
        "tools_generated": True,
        "prompts_generated": True,
        "compatibility": {"platforms": ["darwin", "linux"], "runtimes": {"python": project["requires-python"]}},
        "user_config": {
            "config": {"type": "directory", "title": "Configuration", "description": CONFIG, "required": False}
        },
    }


def listing(name: str, version: str, bundle: Path, downloads: str) -> dict[str, Any]:
    """What the MCP registry is told: the package, and the bundle where it is told from where it can be had."""
    stdio = {"type": "stdio"}
    about = {"name": "WARDGATE_CONFIG", "description": CONFIG, "format": "filepath"}
    package = {
        "registryType": "pypi",
        "identifier": "wardgate",
        "version": version,
        "runtimeHint": "uvx",
        "transport": stdio,
        "packageArguments": [{"type": "positional", "value": "stdio"}],
        "environmentVariables": [about],
    }
    packages = [package]
    if downloads:
        digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
        where = f"{downloads.rstrip('/')}/{bundle.name}"
        packages.append({"registryType": "mcpb", "identifier": where, "fileSha256": digest, "transport": stdio})
    return {
        "$schema": SCHEMA,
        "name": name,
        "title": "Wardgate",
        "description": SUMMARY,
        "version": version,
        "packages": packages,
    }


def bundle_project(project: Mapping[str, Any], version: str, wheel: str, lock: str) -> str:
    """The pyproject.toml of the bundle: the wheel that lies in it, and the versions that the tests ran with."""
    pins = re.findall(r"^([a-z0-9][\w.-]*==[^\s\\]+(?: ; [^\\\n]+?)?)(?: \\)?$", lock, re.MULTILINE)
    lines = [
        *("[project]", f'name = "{project["name"]}-bundle"', f'version = "{version}"'),
        *(f'requires-python = "{project["requires-python"]}"', f'dependencies = ["{project["name"]}"]', ""),
        *("[tool.uv]", "package = false", "constraint-dependencies = ["),
        *(f"    {json.dumps(pin)}," for pin in pins),
        *("]", "", "[tool.uv.sources]", f'{project["name"]} = {{ path = "{wheel}" }}', ""),
    ]
    return "\n".join(lines)


def pack(path: Path, files: Mapping[str, bytes], epoch: int) -> None:
    """Write a zip that depends on its files and a time alone."""
    at = time.gmtime(max(epoch, 315532800))[:6]  # zip knows nothing before 1980
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, at)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(entry, files[name])


def when() -> int:
    """The time of everything that is built, in seconds since 1970."""
    if told := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(told)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return UNTIMED


def build(folder: Path, name: str, downloads: str = "") -> list[Path]:
    """Build everything into a folder, and return what was built."""
    if not NAME.fullmatch(name):
        raise SystemExit(f"dist: expected a name such as `io.github.someone/wardgate`, found `{name}`")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = re.search(
        r'^__version__ = "(.+)"$', (ROOT / "gateway/__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found is not None
    version, epoch = found[1], when()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "sdist", "-t", "wheel"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"dist: the wheel could not be built\n{done.stderr}")
    (wheel,) = folder.glob("*.whl")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    bundle = folder / f"{project['name']}-{version}.mcpb"
    files = {
        "manifest.json": _json(manifest(project, version)),
        "pyproject.toml": bundle_project(project, version, wheel.name, lock).encode(),
        "server/main.py": ENTRY.encode(),
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        wheel.name: wheel.read_bytes(),
    }
    pack(bundle, files, epoch)
    (folder / "server.json").write_bytes(_json(listing(name, version, bundle, downloads)))
    if f"mcp-name: {name}" not in (ROOT / "README.md").read_text(encoding="utf-8"):
        print(f"dist: the registry takes server.json once the package's README has the line `mcp-name: {name}`")
    return sorted(folder.iterdir())


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


if __name__ == "__main__":
    where, named, *rest = sys.argv[1:]
    for made in build(Path(where), named, *rest):
        print(f"{hashlib.sha256(made.read_bytes()).hexdigest()}  {made}")
