"""What a program sees and may do under bubblewrap: settings -> the command line of `bwrap`.

Never silently off: where bwrap is missing or can't do it, `confine` raises, and the program isn't started.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.nouns import Upstream
from gateway.config.references import WORKSPACE
from gateway.config.trust import distrust
from gateway.core.visible import visible
from gateway.errors import ConfigurationError
from gateway.transport.process import Command
from gateway.upstreams.installation import needed

TEMPORARY = "/tmp"  # noqa: S108 - the sandbox's own
OWN = ("/", "/proc", "/sys", "/dev", TEMPORARY)
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
ETC = tuple(
    f"/etc/{name}"
    for name in (
        *("alternatives", "ca-certificates", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"),
        *("mime.types", "nsswitch.conf", "passwd", "pki", "ssl"),
    )
)
ETC_NETWORK = tuple(
    f"/etc/{name}" for name in ("gai.conf", "host.conf", "hosts", "protocols", "resolv.conf", "services")
)
ALWAYS = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
TRIAL = 10.0  # seconds
_LOADER = ("LD_", "DYLD_", "GLIBC_")  # variables that would act on bwrap itself, outside


class View(Struct, frozen=True):
    """What of the file system a program is shown, and whether it has a network."""

    read: frozenset[Path]
    write: frozenset[Path]
    home: Path
    cwd: Path
    network: bool


def confine(upstream: Upstream, command: Command, environ: Mapping[str, str]) -> Command:
    """The command that runs the same program under bwrap; blocks, since it makes a trial run.

    `environ` names bwrap (`PATH`) and the folder of `${WORKSPACE}`. Raises `ConfigurationError` where the sandbox can't
    be had: the program must not run then.
    """
    bwrap = find(environ)
    program = located(command)
    view = view_of(upstream, replace(command, program=program), environ)
    loader = {name: value for name, value in command.environment.items() if name.startswith(_LOADER)}
    options = (*arguments(view), *(part for name in sorted(loader) for part in ("--setenv", name, loader[name])))
    _try(bwrap, options)
    return replace(
        command,
        program=bwrap,
        args=(*options, "--", program, *command.args),
        environment={name: value for name, value in command.environment.items() if name not in loader},
        cwd=None,
    )


def find(environ: Mapping[str, str]) -> str:
    """The absolute path of bwrap on the gateway's PATH; raises `ConfigurationError` if it is missing or not trusted."""
    folders = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder.startswith("/")]
    found = shutil.which("bwrap", path=os.pathsep.join(folders))
    if not found:
        raise ConfigurationError(
            '`sandbox = "bwrap"`: bwrap not found: install bubblewrap, or set `sandbox = "none"` to go without'
        )
    path = Path(found).resolve()
    reasons = (*distrust(path), *distrust(path.parent))
    if reasons:
        raise ConfigurationError(f'`sandbox = "bwrap"`: {reasons[0]}')
    return str(path)


def located(command: Command) -> str:
    """The absolute path of a command's program, looked up as it would be without a sandbox."""
    if "/" in command.program:
        found = command.program if os.access(command.program, os.X_OK) else None
    else:
        found = shutil.which(command.program, path=command.environment.get("PATH", os.defpath))
    if found is None:
        raise ConfigurationError(f"command `{command.program}` not found")
    return os.path.abspath(found)  # noqa: PTH100 - resolve() would follow symlinks, which a venv needs


def view_of(upstream: Upstream, command: Command, environ: Mapping[str, str]) -> View:
    """What a program is shown: its own installation and script, its working folder, and what its settings name."""
    home = Path(command.environment.get("HOME") or _home())
    write = frozenset(_shown(upstream.sandbox_write, environ))
    read = frozenset(_shown(upstream.sandbox_read, environ))
    own = set(needed(command, home))
    cwd = Path(command.cwd or (home if home.is_absolute() else TEMPORARY))
    if command.cwd is not None and str(cwd) not in OWN and not home.is_relative_to(cwd):
        own.add(cwd)
    own = {path for path in own if not any(path.is_relative_to(named) for named in read | write)}  # these say more
    return View(read | own, write, home, cwd, upstream.sandbox_network)


def arguments(view: View) -> tuple[str, ...]:
    """The options of bwrap for a view. What lies deeper is mounted later, so that the nearest setting counts."""
    parts: list[str] = [*ALWAYS, *(["--share-net"] if view.network else [])]
    parts += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", TEMPORARY]
    if _may_be_hidden(view.home):
        parts += ["--tmpfs", str(view.home)]
    for path in SYSTEM:
        if Path(path).is_symlink():
            parts += ["--symlink", os.readlink(path), path]  # noqa: PTH115 - the text is what counts
        elif Path(path).is_dir():
            parts += ["--ro-bind", path, path]
    for path in (*ETC, *(ETC_NETWORK if view.network else ())):
        if Path(path).exists():
            parts += ["--ro-bind", path, path]
    for shown in sorted(view.read | view.write, key=lambda each: (len(each.parts), each)):
        if shown in view.write or not any(shown.is_relative_to(system) for system in SYSTEM):
            parts += ["--bind" if shown in view.write else "--ro-bind", str(shown), str(shown)]
    return (*parts, "--remount-ro", "/", "--chdir", str(view.cwd))


def _shown(paths: Iterable[Path], environ: Mapping[str, str]) -> Iterator[Path]:
    """The paths of a setting, `${WORKSPACE}` replaced; raises `ConfigurationError` for what isn't there."""
    for path in paths:
        if path.parts[0] == WORKSPACE:
            workspace = Path(environ.get("WORKSPACE", ""))
            if not workspace.is_absolute() or not _may_be_shown(workspace):
                raise ConfigurationError(f"`{WORKSPACE}` in the sandbox: expected a folder, found `{workspace}`")
            path = workspace.joinpath(*path.parts[1:])
        if not path.exists():
            raise ConfigurationError(f"the sandbox can't show `{path}`: expected a file or folder, found none")
        yield path


def _may_be_shown(workspace: Path) -> bool:
    """Whether a workspace, which a client names, is a folder and not the system itself."""
    real = workspace.resolve()
    return real.is_dir() and not any(Path(path).is_relative_to(real) for path in (*OWN, *SYSTEM, "/etc"))


def _may_be_hidden(home: Path) -> bool:
    """Whether an empty folder may be mounted over a home: it hides nothing that a program needs."""
    system = [Path(path) for path in (*SYSTEM, *OWN, "/etc")]
    inside = any(home.is_relative_to(path) for path in SYSTEM)
    return home.is_absolute() and not inside and not any(path.is_relative_to(home) for path in system)


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return TEMPORARY


def _try(bwrap: str, options: tuple[str, ...]) -> None:
    """Run nothing in exactly this sandbox; raises `ConfigurationError` with bwrap's reason where it can't be made."""
    nothing = next((path for path in ("/usr/bin/true", "/bin/true") if Path(path).exists()), None)
    if nothing is None:
        raise ConfigurationError('`sandbox = "bwrap"`: can\'t be tried out: expected the program `/usr/bin/true`')
    try:
        run = subprocess.run(
            [bwrap, *options, "--", nothing],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={},
            timeout=TRIAL,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as broken:
        raise ConfigurationError(f'`sandbox = "bwrap"`: bwrap can\'t be run ({type(broken).__name__})') from None
    if run.returncode != 0:
        said = visible(" ".join(run.stderr.decode("utf-8", "replace").split()))[:300] or f"exit code {run.returncode}"
        raise ConfigurationError(
            f'`sandbox = "bwrap"`: can\'t be made ({said}): allow user namespaces, or set `sandbox = "none"` to go'
            " without"
        )
