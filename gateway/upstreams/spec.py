"""What the gateway has to know of an upstream to run it.

Settings only: references are resolved by the callables, at each start and never before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.config.nouns import Limits, Upstream
from gateway.config.references import expand, resolve, split_reference
from gateway.errors import ConfigurationError
from gateway.transport.serve import LINE_LIMIT

Learn = Callable[[str, Mapping[str, str]], None]
"""`(upstream, values)`: hears which values came from references and are about to be handed to an upstream."""


def _none() -> Mapping[str, str]:
    """No variables, no headers."""
    return {}


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """One upstream: a program (`command`, `args`) or an address (`url`); times are in seconds.

    `environment` and `headers` resolve references: they may block, may raise `ConfigurationError`, and hold secrets.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    url: str = ""
    cwd: str | None = None
    environment: Callable[[], Mapping[str, str]] = _none
    headers: Callable[[], Mapping[str, str]] = _none
    era: str = "auto"  # auto | a modern revision | a legacy revision
    bare: bool = False
    timeout: float = 60.0
    start_timeout: float = 30.0
    discover_timeout: float = 3.0  # for the first question in `auto`; many legacy programs never answer it
    doubt_timeout: float = 30.0  # after a call that timed out, for any sign of life
    calls_in_flight: int = 256
    most_tools: int = 2_000
    largest_definition: int = 256 * 1024  # bytes
    line_limit: int = LINE_LIMIT
    grace: float = 1.5  # clients kill us 4 s after they closed our pipes: ending by itself and on SIGTERM fit into that


def spec_of(upstream: Upstream, limits: Limits, environ: Mapping[str, str], learn: Learn) -> UpstreamSpec:
    """What the configuration says of an upstream; nothing is resolved yet, and nothing inherited but what it names."""

    def values(configured: Mapping[str, str]) -> Mapping[str, str]:
        resolved = {name: resolve(value, upstream.base, environ) for name, value in configured.items()}
        learn(upstream.name, {name: resolved[name] for name, value in configured.items() if split_reference(value)[0]})
        return resolved

    def environment() -> Mapping[str, str]:
        if broken is not None:
            raise broken
        inherited = {name: environ[name] for name in upstream.inherit_env if name in environ}
        return {**inherited, **values(upstream.env)}

    broken: ConfigurationError | None = None
    args: tuple[str, ...] = ()
    try:
        args = expand(upstream.args, environ)
    except ConfigurationError as problem:  # of this upstream alone: it is told when it is started
        broken = problem
    return UpstreamSpec(
        name=upstream.name,
        command=upstream.command,
        args=args,
        url=upstream.url,
        cwd=str(upstream.cwd) if upstream.cwd is not None else None,
        environment=environment,
        headers=lambda: values(upstream.headers),
        era=upstream.era,
        bare=upstream.expose == "bare",
        timeout=upstream.timeout,
        start_timeout=limits.start,
        calls_in_flight=limits.calls_per_upstream,
        most_tools=limits.tools_per_upstream,
        largest_definition=limits.definition,
        line_limit=limits.line,
    )
