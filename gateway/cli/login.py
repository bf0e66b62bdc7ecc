"""`wardgate login UPSTREAM`: sign in to an upstream's authorization server, for a token of the gateway's own.

The token is kept in the state folder or the keyring and shown to nobody; a running gateway finds it there.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, parser, print_json
from gateway.cli.options import hint
from gateway.core.visible import visible

if TYPE_CHECKING:
    from gateway.config import Upstream


def run(argv: Sequence[str]) -> int:
    """Sign in; exit codes 0, 1 unknown upstream or refused, 2 usage, 3 a server that can't be reached."""
    options = parser("login", __doc__)
    options.add_argument("upstream", help="the upstream, as upstreams.toml names it")
    options.add_argument("--no-browser", action="store_true", help="only print the address to open")
    options.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 to come back to (default: a free one)")
    options.add_argument("--keyring", action="store_true", default=None, help="keep the token in the keyring")
    given = options.parse_args(argv)
    if not 0 <= given.port <= 65535:
        options.error("`--port` is a number up to 65535")

    from gateway.config import load_settings  # imported after the options are right
    from gateway.errors import ConfigurationError, UpstreamError

    try:
        settings = load_settings(Path(given.config) if given.config else None, os.environ)
        upstream = _find(settings.upstreams, given.upstream)
        issuer = _sign_in(upstream, settings.gateway.state, given.no_browser, given.port, given.keyring)
    except ConfigurationError as problem:
        print(f"wardgate: {visible(str(problem))}", file=sys.stderr)
        return FINDINGS
    except UpstreamError as problem:
        print(f"wardgate: upstream `{given.upstream}`: {visible(str(problem))}", file=sys.stderr)
        return UNREACHABLE
    except KeyboardInterrupt:
        print("wardgate: nothing was changed", file=sys.stderr)
        return FINDINGS
    if given.json:
        print_json([{"upstream": upstream.name, "issuer": issuer}])
    else:
        print(f"the gateway has a token for `{upstream.name}`, of {visible(issuer)}")
    return FINE


def _find(upstreams: "Mapping[str, Upstream]", name: str) -> "Upstream":
    from gateway.errors import ConfigurationError

    if name not in upstreams:
        raise ConfigurationError(f"unknown upstream `{name}`{hint(name, upstreams)}")
    if upstreams[name].oauth is None:
        raise ConfigurationError(f"upstream `{name}` needs no login: it has no `oauth` in upstreams.toml")
    return upstreams[name]


def _sign_in(upstream: "Upstream", state: Path, no_browser: bool, port: int, keyring: bool | None) -> str:
    import logging  # imported late, as the rest: `--help` needs none of it

    import anyio

    from gateway.upstreams.oauth import sign_in

    logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)  # the SDK logs what servers answered
    os.umask(0o077)

    def show(url: str) -> None:
        print(f"open this address to sign in to `{upstream.name}`:\n\n  {url}\n", file=sys.stderr, flush=True)
        if not no_browser and _has_display():
            import webbrowser  # imported late: seldom needed

            webbrowser.open(url)

    async def work() -> str:
        return await sign_in(upstream, state, os.environ, show, port=port, keyring=keyring)

    return anyio.run(work)


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
