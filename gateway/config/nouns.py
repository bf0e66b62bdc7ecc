"""The settings of `upstreams.toml` as frozen values.

Nothing here reads a file, and no secret is in them: references only.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct, field

from gateway.core.model import Owner, Proof
from gateway.core.personal import PACKAGES
from gateway.core.policy import Known
from gateway.core.problems import Problem


class Gateway(Struct, frozen=True):
    """`[gateway]`. Paths are absolute, times in seconds."""

    policies: Path
    state: Path
    id: str = ""  # of the gateway to which the state folder belongs; empty: whichever comes
    host: str = "127.0.0.1"
    port: int = 8765
    call_timeout: float = 60.0
    session_meta: str = "dev.wardgate/session"
    prompt_meta: str = "dev.wardgate/prompt"
    log: str = "text"  # text | json


class ActsAs(Struct, frozen=True):
    """Whose authority an upstream's calls use."""

    identity: str
    kind: str  # human | service | agent
    scopes: tuple[str, ...] = ()


class OAuth(Struct, frozen=True):
    """`oauth` of an HTTP upstream: how the gateway gets a token of its own for it."""

    grant: str = "authorization_code"  # authorization_code | client_credentials
    client_id: str = ""  # empty: registered dynamically by `wardgate login`
    client_secret: str = ""  # a reference
    scopes: tuple[str, ...] = ()


class Upstream(Struct, frozen=True):
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
    per: str = "gateway"  # gateway | client | workspace
    expose: str = "prefixed"  # prefixed | bare
    elicit: str = "block"  # block | form | url
    sandbox: str = "none"  # none | bwrap
    sandbox_read: tuple[Path, ...] = ()  # what it may read besides the system's own folders and its program
    sandbox_write: tuple[Path, ...] = ()  # what it may read and change
    sandbox_network: bool = False
    era: str = "auto"  # auto | 2026-07-28 | 2025-11-25
    instructions: bool = False  # whether its instructions are believed, and passed on to clients
    oauth: "OAuth | None" = None


class ClientEntry(Struct, frozen=True):
    """One `[clients.NAME]`: who may call."""

    name: str
    owner: Owner | None = None
    trust: frozenset[str] = frozenset()  # session, prompt
    closed: bool = False
    metrics: bool = False  # whether it reads `/metrics`, and nothing else
    hold: float | None = None  # seconds for which its calls wait for a person; None: as `limits.hold`
    upstreams: tuple[str, ...] = ()  # that it is there for; empty: nobody said. Others are a signal, and not refused


class Approver(Struct, frozen=True):
    """One `[approvers.NAME]`: who may answer, and how that is known."""

    name: str
    roles: frozenset[str] = frozenset()
    proofs: frozenset[Proof] = frozenset({Proof.LOCAL})


class Auth(Struct, frozen=True):
    """`[auth]`: the issuer of JWTs for `serve`."""

    issuer: str
    audience: str
    principal: str = "sub"
    roles: str = ""


class Notify(Struct, frozen=True):
    """`[notify]`: where notices of waiting approvals go, as addresses of the extra `notify` or references to them."""

    to: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    after: str = "50%"
    desktop: bool = True


class Keeper(Struct, frozen=True):
    """Where checkpoints are sent: `file`, `syslog`, `command` or `witness`, with its path, facility or address."""

    kind: str
    target: str
    args: tuple[str, ...] = ()


class Recording(Struct, frozen=True):
    """`[record]`. Sizes in bytes, times in seconds."""

    checkpoint_rows: int = 1_000  # a checkpoint at the latest after so many records
    checkpoint_every: float = 300.0  # and so long after a record that none covers
    checkpoints: tuple[Keeper, ...] = ()
    origin: str = ""  # the name under which checkpoints are signed; empty: `wardgate/` and the gateway's id
    keep: float | None = None  # how old a record may get; None: any age
    size: int | None = None  # how large the record may get; None: any size
    low_space: int = 512 * 1024 * 1024  # free space below which a warning is given
    search: bool = True  # whether an index for texts is kept
    most: int = 64 * 1024  # of arguments, or of a result, that one record keeps


class Limits(Struct, frozen=True):
    """`[limits]`. Sizes in bytes, times in seconds; what exceeds one is refused."""

    line: int = 16 * 1024 * 1024  # one message of a client or an upstream
    nesting: int = 64  # levels of objects and arrays in the arguments of a call
    calls_per_client: int = 64  # calls_in_flight.client: principal and client together
    calls_per_upstream: int = 256  # calls_in_flight.upstream
    queue: int = 512  # calls of one client that wait for a place among those in flight; one more is busy
    queue_time: float = 30.0  # how long one of them waits before it is busy
    rate: int = 5_000  # calls per second of one client
    connections: int = 256  # clients at a time: pipes and HTTP sessions
    prompts_per_hour: int = 60
    grant: float = 28_800.0  # how long a grant may stand
    hold: float | None = None  # how long a call that waits for a person is held; None: what its client is known to bear
    question: float = 600.0  # how long an upstream's question waits for its answer
    rounds: int = 10  # how often an upstream may ask within one call
    waiting: int = 256  # calls at a time that wait for a modern client to come back with answers
    tools_per_upstream: int = 2_000
    resources_per_upstream: int = 10_000
    templates_per_upstream: int = 1_000
    prompts_per_upstream: int = 1_000
    definition: int = 256 * 1024  # one tool's definition, one resource's, one prompt's
    list: int = 16 * 1024 * 1024  # all definitions of one kind of an upstream
    page: int = 1_000  # entries in one page of a list that clients get
    instances: int = 32  # connections of one upstream that is run per client or workspace
    subscriptions: int = 256  # resources that one client may be told of at a time
    instructions: int = 2_000  # characters of an upstream's instructions
    start: float = 30.0  # an upstream's start and handshake
    drain: float = 10.0  # what running calls get when the gateway is told to stop


class Settings(Struct, frozen=True):
    """Everything that `upstreams.toml` says, valid as a whole."""

    file: Path
    gateway: Gateway
    upstreams: Mapping[str, Upstream]
    clients: Mapping[str, ClientEntry]
    approvers: Mapping[str, Approver]
    limits: Limits = Limits()
    recording: Recording = Recording()
    auth: Auth | None = None
    notify: Notify = Notify()
    warnings: tuple[Problem, ...] = ()
    text: str = ""  # the file as it was read

    @property
    def root(self) -> Path:
        """The folder to which paths in the configuration are relative."""
        return self.file.parent

    def known(self) -> Known:
        """The names that policies may use, and whether what finds personal data is installed."""
        return Known(
            frozenset(self.upstreams),
            frozenset(self.clients),
            {name: approver.roles for name, approver in self.approvers.items()},
            all(find_spec(name) for name in PACKAGES),
        )
