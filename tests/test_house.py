"""The rules of the house that no tool checks: locks, files, sizes, docstrings, reasons.

Reads the tree and imports no part of it.
"""

import ast
import io
import json
import re
import subprocess
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
GATEWAY = ROOT / "gateway"
UPSTREAMS = ROOT / "tests" / "e2e" / "upstreams"
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock", *sorted(UPSTREAMS.glob("*.lock")))
MODULES = sorted(GATEWAY.rglob("*.py"))
SOURCES = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]
LINES_AT_MOST = 400
PATH_AT_MOST = 200  # of `enforce.py`: the path of a call is read in one go
LINE_OF_A_LOCK = re.compile(
    r"""(?P<name>[a-z0-9][a-z0-9._-]*)==[^\s;]+(\ ;\ [^\\]+?)?(\ \\)?   # a pinned package, for some platforms
    |\ {4}--hash=sha256:(?P<hash>[0-9a-f]{64})(\ \\)?                   # one of its files
    |\ *\#.*                                                            # why it is here
    |""",
    re.VERBOSE,
)
SUPPRESSION = re.compile(
    r"""\#\s*(noqa(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*)?
    |type:\s*ignore(\[[\w,\ -]+\])?
    |pragma:\s*no\s*(cover|branch))(?P<rest>.*)""",
    re.VERBOSE,
)
# Put together at run time, so that this file may be searched too.
REGISTRIES = tuple(
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"))
)
WORKPLACES = (str(ROOT), *("/" + "/".join(parts) for parts in (("work", "main"), ("work", "tmp"), ("opt", "pypi"))))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def files() -> list[Path]:
    """The files that are tracked or would be; without git, all but what is made."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
        found = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in ROOT.rglob("*") if not _is_made(path.relative_to(ROOT))]
    return sorted(path for path in found if path.is_file())


def _is_made(path: Path) -> bool:
    hidden = [part for part in path.parts if part.startswith(".") and part not in {".ci", ".gitignore"}]
    return bool(hidden) or "__pycache__" in path.parts or path.parts[0] in {"build", "dist"}


def texts() -> Iterator[tuple[str, str]]:
    for path in files():
        try:
            yield name_of(path), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(lock: Path) -> set[str]:
    """Each pinned package as `name==version`."""
    return {line.split()[0] for line in lock.read_text(encoding="utf-8").splitlines() if re.match(r"[a-z0-9]", line)}


def test_no_file_names_a_registry_or_a_path_of_this_machine() -> None:
    found = [
        (name, word)
        for name, text in texts()
        for word in (*REGISTRIES, *WORKPLACES)
        if re.search(rf"{re.escape(word)}\b", text)
    ]
    assert found == []


@pytest.mark.parametrize("lock", LOCKS, ids=name_of)
def test_a_lock_holds_pinned_packages_with_hashes_and_no_address(lock: Path) -> None:
    hashes: dict[str, int] = {}
    name = ""
    for line in lock.read_text(encoding="utf-8").splitlines():
        match = LINE_OF_A_LOCK.fullmatch(line)
        assert match, f"not a line of a lock: `{line}`"
        name = match["name"] or name
        hashes[name] = hashes.get(name, 0) + bool(match["hash"])
        assert "://" not in line
    assert hashes.pop("", 0) == 0
    assert hashes
    assert [name for name, count in hashes.items() if not count] == []


def test_the_locks_of_the_gateway_agree_and_cover_what_is_declared() -> None:
    runtime, tools = pins(LOCKS[0]), pins(LOCKS[1])
    assert runtime <= tools
    wanted = {re.split(r"[^\w-]", each)[0] for each in project()["project"]["dependencies"]}
    assert wanted <= {each.partition("==")[0] for each in runtime}


def test_what_builds_the_package_is_in_the_lock() -> None:
    assert project()["dependency-groups"]["build"] == project()["build-system"]["requires"]
    assert any(each.startswith("hatchling==") for each in pins(LOCKS[0]))


def test_the_sdk_is_capped() -> None:
    assert "mcp>=2.3,<3" in project()["project"]["dependencies"]


def test_the_npm_packages_are_pinned_with_integrity_and_without_addresses() -> None:
    wanted = json.loads((UPSTREAMS / "package.json").read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((UPSTREAMS / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert [name for name, entry in locked.items() if "resolved" in entry] == []
    assert [name for name, entry in locked.items() if name and "integrity" not in entry] == []
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_the_changelog_has_an_entry_for_this_version() -> None:
    version = re.search(r'^__version__ = "(.+)"$', (GATEWAY / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert re.search(
        rf"^## \[{re.escape(version[1])}\] - ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for_and_is_not_too_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "the module has no docstring"
    assert re.search(r"[.:]( |$)", docstring.splitlines()[0]), "its first line is a sentence"
    lines = text.count("\n")
    assert lines <= (PATH_AT_MOST if path == GATEWAY / "enforce.py" else LINES_AT_MOST)


@pytest.mark.parametrize("path", sorted((GATEWAY / "core").rglob("*.py")), ids=name_of)
def test_the_core_asks_no_clock_and_opens_nothing(path: Path) -> None:
    asked = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            asked += [f"{called} in line {node.lineno}"] * (
                called in {"now", "utcnow", "today", "open", "print", "input"}
            )
    assert asked == []


def test_nouns_are_structs() -> None:
    assert [
        name_of(path) for path in MODULES if re.search(r"^\s*(from|import) dataclasses\b", path.read_text(), re.M)
    ] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_whatever_switches_a_check_off_says_why(path: Path) -> None:
    bare = []
    reader = io.StringIO(path.read_text(encoding="utf-8")).readline
    for token in tokenize.generate_tokens(reader):
        if token.type == tokenize.COMMENT:
            for match in SUPPRESSION.finditer(token.string):
                bare += [token.start[0]] * (len(re.findall(r"\w+", match["rest"])) < 1)
    assert bare == []


@pytest.mark.parametrize("name", ["Makefile", "LICENSE", "README.md", "CHANGELOG.md", "docs/index.md"])
def test_the_house_is_complete(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8").strip()


def test_ci_can_be_run() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
