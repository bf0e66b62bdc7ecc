"""What a program needs of the file system to run at all: its installation, its interpreter, its script.

Looks at files and runs nothing. What it gives is shown to the program read-only, so it never gives a whole home.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.transport.process import Command

PARTS = ("bin", "lib", "lib64", "libexec", "ssl", "pyvenv.cfg")  # of a prefix: never all of it, which may be ~/.local
SCRIPTS = (".py", ".pyz", ".js", ".mjs", ".cjs", ".ts", ".mts", ".rb", ".pl", ".php", ".lua", ".sh", ".jar")
MOST_LINKS = 20
_HOME = re.compile(r"^home *= *(\S.*?) *$", re.MULTILINE)


def needed(command: Command, home: Path) -> Iterator[Path]:
    """The files and folders that a command can't do without, by its program and its script."""
    for program in _chain(Path(command.program), command.environment):
        yield from _installation(program, home)
    script = _script(command)
    if script is not None:
        for place in _links(script):
            yield from _folder(place, home)


def _chain(program: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """A program, what its symlinks lead to, and the interpreters that its first line names."""
    for _ in range(3):
        last = program
        for last in _links(program):
            yield last
        interpreter = _interpreter(last, environment)
        if interpreter is None:
            return
        program = interpreter


def _links(path: Path) -> Iterator[Path]:
    """A path and each place that its symlinks lead to, as they are spelled."""
    for _ in range(MOST_LINKS):
        yield path
        if not path.is_symlink():
            break
        target = os.path.join(os.path.realpath(path.parent), os.readlink(path))  # noqa: PTH115, PTH118 - the text counts
        path = Path(os.path.normpath(target))
    yield Path(os.path.realpath(path))  # unlike resolve() it bears links that go round in a circle


def _interpreter(program: Path, environment: Mapping[str, str]) -> Path | None:
    """The interpreter in the first line of a script; what `env` would look up is looked up likewise."""
    try:
        with program.open("rb") as file:
            line = file.readline(256)
    except OSError:
        return None
    words = line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        found = shutil.which(names[0], path=environment.get("PATH", os.defpath)) if names else None
        return Path(found) if found else None
    return Path(words[0]) if words else None


def _installation(program: Path, home: Path) -> Iterator[Path]:
    """The parts of the prefix that a program was installed under, or its folder, or at least the program."""
    prefix = program.parent.parent
    if program.parent.name in ("bin", "sbin") and prefix != Path("/"):
        yield from (part for name in PARTS if (part := prefix / name).exists())
        yield from _base(prefix / "pyvenv.cfg")
    else:
        yield from _folder(program, home)


def _base(settings: Path) -> Iterator[Path]:
    """The installation of the Python that a virtual environment was made from."""
    try:
        found = _HOME.search(settings.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return
    if found:
        prefix = Path(found[1]).parent
        yield from (part for name in PARTS if (part := prefix / name).exists())


def _folder(file: Path, home: Path) -> Iterator[Path]:
    """The folder of a file, or the file alone where the folder is a home or holds one; and what Node looks for."""
    yield file if _holds(file.parent, home) else file.parent
    for parent in file.parents:
        if _holds(parent, home):
            return
        yield from (part for name in ("node_modules", "package.json") if (part := parent / name).exists())


def _holds(folder: Path, home: Path) -> bool:
    """Whether a folder is too much to be shown for one file in it."""
    return home.is_relative_to(folder) or folder == Path(tempfile.gettempdir()) or len(folder.parts) < 3


def _script(command: Command) -> Path | None:
    """The script among the arguments: the first one that names a file which only an interpreter can run."""
    for arg in command.args:
        path = Path(command.cwd or "/") / arg
        if arg.endswith(SCRIPTS) and path.is_file():
            return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow symlinks
    return None
