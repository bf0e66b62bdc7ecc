"""Clean outputs, made at run time of what is installed: sources, documents, lock files, git logs, JSON, cut to 10 kB.

Knows nothing of the gateway. Nothing is kept: what a machine has installed is what it is measured on.
"""

import json
import random
import site
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.evaluation.places import said, structured

ROOT = Path(__file__).parents[2]
SIZE = 10_000  # bytes of one output
LARGEST = 4_000_000  # bytes of a file that is read
SOURCES = frozenset(
    {".py", ".pyi", ".js", ".mjs", ".cjs", ".ts", ".c", ".h", ".html", ".css", ".toml", ".cfg", ".yml", ".yaml"}
)
DOCUMENTS = frozenset({".md", ".rst", ".txt", ".csv"})
LOCKS = frozenset({".lock", "package-lock.json", ".package-lock.json", "RECORD", "requirements.txt"})
NAMED = frozenset({"METADATA", "RECORD", "LICENSE", "NOTICE", "Makefile", "README", "CHANGELOG", "AUTHORS"})

Output = tuple[str, Mapping[str, Any]]


def places() -> tuple[Path, ...]:
    """The folders that are read: the installed packages, the real upstreams if they are installed, this repository."""
    found = [Path(folder) for folder in site.getsitepackages()]
    found += [ROOT / ".upstreams", ROOT / "docs", ROOT / "tests" / "e2e" / "upstreams"]
    return tuple(folder for folder in found if folder.is_dir())


def files() -> Iterator[tuple[str, Path]]:
    """Every file that is text, with its group: code | documents | locks | JSON."""
    singles = [ROOT / name for name in ("README.md", "CHANGELOG.md", "requirements.lock", "requirements-dev.lock")]
    for path in [*singles, *(path for folder in places() for path in sorted(folder.rglob("*")))]:
        group = _group(path)
        if group and path.is_file() and not path.is_symlink() and 0 < path.stat().st_size <= LARGEST:
            yield group, path


def _group(path: Path) -> str:
    if path.name in LOCKS or path.suffix in LOCKS:
        return "locks"
    if path.suffix == ".json":
        return "JSON"
    if path.suffix in SOURCES:
        return "code"
    return "documents" if path.suffix in DOCUMENTS or path.name in NAMED else ""


def outputs(count: int, seed: int = 0) -> Iterator[Output]:
    """Some outputs, as many of each group as there are, by chance; the same for the same seed and machine."""
    rng = random.Random(seed)
    groups: dict[str, list[Path]] = {}
    for group, path in files():
        groups.setdefault(group, []).append(path)
    share = count // (len(groups) + 1)
    for group, paths in sorted(groups.items()):
        sizes = [min(path.stat().st_size, 20 * SIZE) for path in paths]  # no large file is all that is seen
        for path in rng.choices(paths, sizes, k=share):
            yield from _cut(group, path, rng)
    log = _log()
    for _ in range(count - share * len(groups) if log else 0):
        at = rng.randrange(max(1, len(log) - SIZE))
        yield "git log", said(log[at : at + SIZE])


def _cut(group: str, path: Path, rng: random.Random) -> Iterator[Output]:
    text = path.read_text(encoding="utf-8", errors="replace")
    name = "/".join(path.parts[-4:])
    if group == "JSON" and len(text) <= 4 * SIZE:
        try:
            yield name, structured(json.loads(text))
        except ValueError:
            yield name, said(text[:SIZE])
    else:
        at = rng.randrange(max(1, len(text) - SIZE))
        yield name, said(text[at : at + SIZE])


def _log() -> str:
    """The log of this repository with its changes, but for those of tests, which are full of what looks like secrets;
    empty where there is none.
    """
    command = ["git", "-C", str(ROOT), "log", "--patch", "--max-count=60", "--", ".", ":!tests"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
