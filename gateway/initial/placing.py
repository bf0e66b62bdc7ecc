"""Put a configuration in place: all of it or nothing, after it was read as the gateway would read it.

A file that is there is never replaced but for upstreams.toml and the lock, which are handed over with what they had;
where one is a link, it stays, and what it leads to is replaced.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

import tomlkit
from msgspec import Struct
from tomlkit.exceptions import TOMLKitError

from gateway.accepted import Accepted
from gateway.config import check
from gateway.core.problems import Problem, Severity
from gateway.errors import ConfigurationError
from gateway.private import put


class Draft(Struct, frozen=True):
    """What is to stand: `files` are absolute paths with their content, in the order in which they are put; the file of
    the configuration comes last, for with it they count.
    """

    config: Path
    policies: Path
    files: Mapping[Path, bytes]

    def __repr__(self) -> str:
        """It without what is in the files."""
        return f"Draft({self.config}, {list(map(str, self.files))})"


def problems(draft: Draft, contents: Iterable[bytes], environ: Mapping[str, str], today: date) -> tuple[Problem, ...]:
    """What is wrong with a draft, found by what `wardgate check` does, on a copy of it that goes again."""
    with tempfile.TemporaryDirectory(prefix="wardgate-") as made:
        folder = Path(made)
        state = folder / "state"
        state.mkdir(mode=0o700)
        Accepted(state).keep(contents)
        (folder / "policies").mkdir(mode=0o700)
        if draft.policies.is_dir():
            for file in draft.policies.glob("*.toml"):
                put(folder / "policies" / file.name, file.read_bytes())
        for path, content in draft.files.items():
            put(folder / "policies" / path.name if path.parent == draft.policies else folder / path.name, content)
        file = folder / draft.config.name
        put(file, _moved(draft.files[draft.config].decode(), state))
        return check(file, environ, today)


def _moved(text: str, state: Path) -> bytes:
    """The text with its folders beside it, for a copy."""
    try:
        document = tomlkit.parse(text)
        gateway = document.setdefault("gateway", tomlkit.table())
        gateway["state"], gateway["policies"] = str(state), "policies"
        return tomlkit.dumps(document).encode()
    except TOMLKitError as problem:
        raise ConfigurationError(f"the tables can't be added to upstreams.toml: {problem}") from None


def stop_at_errors(found: Iterable[Problem], otherwise: str) -> None:
    """Raise `ConfigurationError` for the first error among them, saying also what it means."""
    wrong = [problem for problem in found if problem.severity is Severity.ERROR]
    if wrong:
        raise ConfigurationError(f"{wrong[0]}; {otherwise}", tuple(wrong))


def place(draft: Draft) -> None:
    """Put everything in place; raises `OSError`, and then everything is as it was before."""
    root = draft.config.parent
    if _nothing_in(root) and all(path.is_relative_to(root) for path in draft.files):
        _whole(root, draft.files)
    else:
        _one_by_one(draft.files)


def _nothing_in(root: Path) -> bool:
    return not root.is_symlink() and (not root.exists() or (root.is_dir() and not any(root.iterdir())))


def _whole(root: Path, files: Mapping[Path, bytes]) -> None:
    """A folder that was not there: made beside its place and moved there in one step."""
    root.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        for path, content in files.items():
            there = beside / path.relative_to(root)
            _folders(there.parent, beside)
            put(there, content)
        beside.replace(root)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _one_by_one(files: Mapping[Path, bytes]) -> None:
    """Into folders that are there: one after the other, and back where one can't be put."""
    undo: list[tuple[Path, bytes | None]] = []
    made: list[Path] = []
    try:
        for link, content in files.items():
            path = Path(os.path.realpath(link))
            made += _folders(path.parent, Path(path.anchor))
            undo.append((path, path.read_bytes() if path.exists() else None))
            put(path, content)
    except BaseException:
        _back(undo, made)
        raise


def _back(undo: Sequence[tuple[Path, bytes | None]], made: Sequence[Path]) -> None:
    for path, before in reversed(undo):
        with suppress(OSError):  # the first failure is what is told
            if before is None:
                path.unlink(missing_ok=True)
            else:
                put(path, before)
    for folder in reversed(made):
        with suppress(OSError):
            folder.rmdir()


def _folders(folder: Path, top: Path) -> list[Path]:
    """Make a folder below `top` with those above it, for their owner alone; those that were made, the outer first."""
    missing = [each for each in (folder, *folder.parents) if each != top and not each.exists()]
    for each in reversed(missing):
        os.mkdir(each, 0o700)  # noqa: PTH102 - the mode is what counts
    return missing[::-1]
