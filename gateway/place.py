"""Where the configuration, the state folder and the control socket are. Imports next to nothing: the shim starts
with it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

CONFIG_NAME = "upstreams.toml"
CONTROL_NAME = "control.sock"
SOCKET_PATH_LIMIT = 100  # bytes that a Unix socket's address may take on every platform


def config_file(given: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path:
    """The `upstreams.toml` that is used: `--config` (file or folder), else `WARDGATE_CONFIG`, else the platform's
    folder.

    Nothing is searched from the working directory upwards. The file need not exist.
    """
    named = given if given is not None else environ.get("WARDGATE_CONFIG")
    if named:
        path = Path(named).expanduser()
    else:
        from platformdirs import user_config_path  # imported late: the shim is mostly given a path

        path = user_config_path("wardgate")
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow symlinks, which are checked later
    return path / CONFIG_NAME if path.is_dir() or path.suffix != ".toml" else path


class Place(NamedTuple):
    """A state folder, and the id of the gateway whose configuration names it; empty where that names none."""

    folder: Path
    owner: str


def state_folder(config: Path) -> Path:
    """The state folder that a configuration names; raises as `named_place`."""
    return named_place(config).folder


def named_place(config: Path) -> Place:
    """The state folder and the id that a configuration names, without reading more of it than that.

    Raises `ValueError` for a file that is no TOML or names no string; a file that can't be read raises `OSError`.
    """
    gateway = table_of("gateway", config)
    return Place(state_named(gateway, config), str(gateway.get("id", "")))


def table_of(name: str, config: Path) -> Mapping[str, Any]:
    """One table of a configuration, or an empty one, without a look at the rest; raises `OSError` or `ValueError`."""
    import tomllib  # imported late: only what opens a configuration pays for it

    try:
        table = tomllib.loads(config.read_text(encoding="utf-8-sig")).get(name)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return table if isinstance(table, dict) else {}


def state_named(gateway: Mapping[str, Any], config: Path) -> Path:
    """The state folder that the table `[gateway]` of a configuration names, else the platform's; `ValueError` where it
    names no string.
    """
    named = gateway.get("state")
    if named is None:
        from platformdirs import user_state_path  # imported late: most configurations name it

        return user_state_path("wardgate")
    if not isinstance(named, str) or not named:
        raise ValueError(f"{config}: [gateway] `state` must be the path of a folder")
    return Path(os.path.abspath(config.parent / Path(named).expanduser()))  # noqa: PTH100 - as above


def foreign(folder: Path, belongs_to: str, owner: str) -> str:
    """Why a state folder can't be used with a configuration that names the id `owner`; empty where it can, as wherever
    one of the two names none.
    """
    if not belongs_to or not owner or belongs_to == owner:
        return ""
    return (
        f"the state folder `{folder}` belongs to the gateway `{belongs_to}`, and this configuration is of `{owner}`: "
        f'name a `state` folder of its own in [gateway], or `id = "{belongs_to}"` if it is the same gateway'
    )


def socket_address(state: Path, folder_fd: int | None = None) -> str:
    """The control socket's address: through `/proc/self/fd` where the path is too long for one.

    `folder_fd` is an open descriptor of the state folder, needed only for long paths (`ValueError` without one).
    """
    plain = str(state / CONTROL_NAME)
    if len(os.fsencode(plain)) <= SOCKET_PATH_LIMIT:
        return plain
    if folder_fd is None or not sys.platform.startswith("linux"):
        raise ValueError(f"the path of the state folder is too long for a socket: `{state}`")
    return f"/proc/self/fd/{folder_fd}/{CONTROL_NAME}"


def rules_folder(environ: Mapping[str, str]) -> Path:
    """Where the scanner's compiled rules are kept, there or not: `WARDGATE_CACHE`, else in the user's cache folder."""
    named = environ.get("WARDGATE_CACHE")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path  # imported late, as above

    return user_cache_path("wardgate") / "rules"
