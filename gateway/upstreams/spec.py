"""What the gateway has to know of an upstream to run it.

Settings only: references are resolved by the callables, at each start and never before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.nouns import Limits, Upstream
from gateway.config.references import WORKSPACE, address, expand, looks_secret, resolve, split_reference
from gateway.errors import ConfigurationError
from gateway.transport.serve import LINE_LIMIT

if TYPE_CHECKING:
    import httpx2

    from gateway.transport.process import Command

MIRROR = "mirror"  # era: the legacy question first, the modern one if that is refused

Learn = Callable[[str, Mapping[str, str]], None]
"""`(upstream, values)`: hears which values came from references and are about to be handed to an upstream."""


def _none() -> Mapping[str, str]:
    """No variables, no headers."""
    return {}


class UpstreamSpec(Struct, frozen=True):
    """One upstream: a program (`command`, `args`) or an address (`url`); times are in seconds.

    `environment`, `headers` and `address` resolve references: they may block, may raise `ConfigurationError`, and hold
    secrets. So may `confine`.
    Of one that is run per client or workspace, `args` may hold `${WORKSPACE}` until `at` says which folder that is.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    url: str = ""
    cwd: str | None = None
    environment: Callable[[], Mapping[str, str]] = _none
    headers: Callable[[], Mapping[str, str]] = _none
    address: Callable[[], str] | None = None  # `url` with its variables replaced, where it has any
    auth: Callable[[], httpx2.Auth | None] | None = None
    confine: Callable[[Command, str], Command] | None = None  # puts the program into its sandbox, for a workspace
    workspace: str = ""
    era: str = "auto"  # auto | mirror | a modern revision | a legacy revision
    bare: bool = False
    per: str = "gateway"  # gateway | client | workspace
    elicit: str = "block"  # block | form | url
    instructions: bool = False
    timeout: float = 60.0
    start_timeout: float = 30.0
    discover_timeout: float = 3.0  # for the first question in `auto`; many legacy programs never answer it
    doubt_timeout: float = 30.0  # after a call that timed out, for any sign of life
    question: float = 600.0  # how long a call stays open while a client is asked something
    idle: float = 1800.0  # after which one that was started for a client or workspace is ended
    calls_in_flight: int = 256
    most_instances: int = 32
    most_subscriptions: int = 256  # of one client
    most_tools: int = 2_000
    most_resources: int = 10_000
    most_templates: int = 1_000
    most_prompts: int = 1_000
    most_instructions: int = 2_000  # characters
    largest_definition: int = 256 * 1024  # bytes
    largest_list: int = 16 * 1024 * 1024  # bytes
    line_limit: int = LINE_LIMIT
    grace: float = 1.5  # clients kill us 4 s after they closed our pipes: ending by itself and on SIGTERM fit into that

    @property
    def needs_workspace(self) -> bool:
        """Whether its arguments or its sandbox may name a folder that is still to be said."""
        return self.confine is not None or any(WORKSPACE in arg for arg in self.args)

    def at(self, workspace: str) -> UpstreamSpec:
        """The same upstream for one workspace; raises `ConfigurationError` if it needs one and none is known."""
        return replace(self, args=expand(self.args, {"WORKSPACE": workspace}), workspace=workspace)


def spec_of(
    upstream: Upstream,
    limits: Limits,
    environ: Mapping[str, str],
    learn: Learn,
    auth: Callable[[], httpx2.Auth | None] | None = None,
) -> UpstreamSpec:
    """What the configuration says of an upstream; nothing is resolved yet, and nothing inherited but what it names.

    `auth` signs the requests of one that is reached over HTTP.
    """
    sources = _Sources(upstream, environ, learn)
    args, broken = _arguments(upstream, environ)
    return UpstreamSpec(
        name=upstream.name,
        command=upstream.command,
        args=args,
        url=upstream.url,
        cwd=str(upstream.cwd) if upstream.cwd is not None else None,
        environment=sources.environment if broken is None else _raiser(broken),
        headers=sources.headers,
        address=sources.address if upstream.url and upstream.env else None,
        auth=auth,
        confine=sources.confine if upstream.sandbox == "bwrap" else None,
        era=upstream.era,
        bare=upstream.expose == "bare",
        per=upstream.per,
        elicit=upstream.elicit,
        instructions=upstream.instructions,
        timeout=upstream.timeout,
        **_limits(limits),
    )


class _Sources(Struct, frozen=True):
    """Where an upstream's values come from, at each start."""

    upstream: Upstream
    environ: Mapping[str, str]
    learn: Learn

    def environment(self) -> Mapping[str, str]:
        inherited = {name: self.environ[name] for name in self.upstream.inherit_env if name in self.environ}
        if secrets := {name: value for name, value in inherited.items() if looks_secret(value, name)}:
            self.learn(self.upstream.name, secrets)
        return {**inherited, **self._values(self.upstream.env)}

    def headers(self) -> Mapping[str, str]:
        return self._values(self.upstream.headers)

    def address(self) -> str:
        return address(self.upstream.url, self._values(self.upstream.env))

    def confine(self, command: Command, workspace: str) -> Command:
        from gateway.upstreams import sandbox  # imported late: few upstreams have one

        environ = {**self.environ, "WORKSPACE": workspace} if workspace else self.environ
        return sandbox.confine(self.upstream, command, environ)

    def _values(self, configured: Mapping[str, str]) -> Mapping[str, str]:
        resolved = {name: resolve(value, self.upstream.base, self.environ) for name, value in configured.items()}
        references = [name for name, value in configured.items() if split_reference(value)[0]]
        self.learn(self.upstream.name, {name: resolved[name] for name in references})
        return resolved


def _arguments(upstream: Upstream, environ: Mapping[str, str]) -> tuple[tuple[str, ...], ConfigurationError | None]:
    """The arguments, and what is wrong with them: of this upstream alone, which is told when it is started."""
    if upstream.per != "gateway":
        return upstream.args, None
    try:
        return expand(upstream.args, environ), None
    except ConfigurationError as problem:
        return (), problem


def _raiser(problem: ConfigurationError) -> Callable[[], Mapping[str, str]]:
    def fail() -> Mapping[str, str]:
        raise problem

    return fail


def _limits(limits: Limits) -> Mapping[str, Any]:
    """The gateway's limits, as far as they are an upstream's."""
    return {
        "start_timeout": limits.start,
        "question": limits.question,
        "calls_in_flight": limits.calls_per_upstream,
        "most_instances": limits.instances,
        "most_subscriptions": limits.subscriptions,
        "most_tools": limits.tools_per_upstream,
        "most_resources": limits.resources_per_upstream,
        "most_templates": limits.templates_per_upstream,
        "most_prompts": limits.prompts_per_upstream,
        "most_instructions": limits.instructions,
        "largest_definition": limits.definition,
        "largest_list": limits.list,
        "line_limit": limits.line,
    }
