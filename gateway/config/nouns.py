"""The settings of `upstreams.toml` as frozen values.

Nothing here reads a file, and no secret is in them: references only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.model import Owner, Proof
from gateway.core.policy import Known
from gateway.core.problems import Problem


@dataclass(frozen=True, slots=True)
class Gateway:
    """`[gateway]`. Paths are absolute, times in seconds."""

    policies: Path
    state: Path
    id: str
    host: str = "127.0.0.1"
    port: int = 8765
    call_timeout: float = 60.0
    session_meta: str = "dev.wardgate/session"
    prompt_meta: str = "dev.wardgate/prompt"


@dataclass(frozen=True, slots=True)
class ActsAs:
    """Whose authority an upstream's calls use."""

    identity: str
    kind: str  # human | service | agent
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upstream:
    """One `[upstreams.NAME]`: either `command` with `args` and `env`, or `url` with `headers`.

    Values of `env` and `headers` are literals or references for `resolve`; `args` may hold `${WORKSPACE}`.
    """

    name: str
    owner: Owner
    base: Path  # folder of upstreams.toml, to which references are relative
    timeout: float
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    inherit_env: tuple[str, ...] = ()
    cwd: Path | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    acts_as: ActsAs | None = None
    per: str = "gateway"
    expose: str = "prefixed"  # prefixed | bare
    elicit: str = "block"  # block | form | url
    sandbox: str = "none"
    era: str = "auto"  # auto | 2026-07-28 | 2025-11-25


@dataclass(frozen=True, slots=True)
class ClientEntry:
    """One `[clients.NAME]`: who may call."""

    name: str
    owner: Owner | None = None
    trust: frozenset[str] = frozenset()  # session, prompt
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Approver:
    """One `[approvers.NAME]`: who may answer, and how that is known."""

    name: str
    roles: frozenset[str] = frozenset()
    proofs: frozenset[Proof] = frozenset({Proof.LOCAL})


@dataclass(frozen=True, slots=True)
class Auth:
    """`[auth]`: the issuer of JWTs for `serve`."""

    issuer: str
    audience: str
    principal: str = "sub"
    roles: str = ""


@dataclass(frozen=True, slots=True)
class Notify:
    """`[notify]`: where notices about waiting approvals go."""

    to: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    after: str = "50%"


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]`. Sizes in bytes, times in seconds; what exceeds one is refused."""

    line: int = 16 * 1024 * 1024  # one message of a client or an upstream
    calls_per_client: int = 64  # calls_in_flight.client
    calls_per_upstream: int = 256  # calls_in_flight.upstream
    prompts_per_hour: int = 60
    hold: float | None = None  # how long a call that waits for a person is held; None: what its client is known to bear
    tools_per_upstream: int = 2_000
    definition: int = 256 * 1024  # one tool's definition
    start: float = 30.0  # an upstream's start and handshake


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `upstreams.toml` says, valid as a whole."""

    file: Path
    gateway: Gateway
    upstreams: Mapping[str, Upstream]
    clients: Mapping[str, ClientEntry]
    approvers: Mapping[str, Approver]
    limits: Limits = Limits()
    auth: Auth | None = None
    notify: Notify = Notify()
    warnings: tuple[Problem, ...] = ()

    @property
    def root(self) -> Path:
        """The folder to which paths in the configuration are relative."""
        return self.file.parent

    def known(self) -> Known:
        """The names that policies may use."""
        return Known(
            frozenset(self.upstreams),
            frozenset(self.clients),
            {name: approver.roles for name, approver in self.approvers.items()},
        )
