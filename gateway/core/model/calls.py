"""Who calls what: principals, tools with their labels, and the call itself. Values only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from gateway.core.model.vocabulary import (
    CALL_TOOL,
    Effect,
    PersonalAction,
    SecretAction,
    SinkKind,
    Surface,
    Tier,
    Trust,
    Vote,
)


class Place(Struct, frozen=True):
    """Where something stands in a file of the user's."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Principal(Struct, frozen=True):
    """Who calls, and how that is known (`known_by`: os-user | token | jwt)."""

    id: str
    known_by: str
    roles: frozenset[str] = frozenset()


class Client(Struct, frozen=True):
    """The program that calls: its registered name (or `unknown`) and what it claims for itself, which proves
    nothing.
    """

    name: str = "unknown"
    claimed: str = ""

    @property
    def registered(self) -> bool:
        """Whether the user registered this client in `upstreams.toml`."""
        return self.name != "unknown"


class ToolRef(Struct, frozen=True):
    """A tool by its upstream's key in `upstreams.toml` and the upstream's own name for it.

    Of a resource `name` is the URI, of a prompt its own name, of a method the method.
    """

    upstream: str
    name: str

    def __str__(self) -> str:
        return f"{self.upstream}/{self.name}"


class OutputLabel(Struct, frozen=True):
    """What an output is: believed how far, private or not, and what a found secret or personal data leads to."""

    trust: Trust = Trust.UNTRUSTED
    private: bool = True
    secrets: SecretAction = SecretAction.REDACT
    strict: bool = False  # `redact` stands there in words: what is only called like a secret too, whatever the trust
    pii: PersonalAction = PersonalAction.OFF


class Preview(Struct, frozen=True):
    """A read that shows what a call would change: tool name, and its argument <- argument of the call."""

    tool: str
    args: Mapping[str, str]


class Labels(Struct, frozen=True):
    """What the upstream's owner says of a tool in `policies/` (one `[[tool]]` entry, whole)."""

    effect: Effect = Effect.DESTRUCTIVE
    sinks: Mapping[str, SinkKind] | None = None  # None: every argument leaf is a sink
    payload: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)  # argument -> list name
    output: OutputLabel = OutputLabel()
    preview: Preview | None = None
    record: str = ""  # full | digest; empty: by tier
    fetches: bool = False
    at: Place | None = None  # None: nobody labelled it


class Owner(Struct, frozen=True):
    """Who answers for something."""

    business: str
    technical: str


class Tool(Struct, frozen=True):
    """A tool as it is exposed: the upstream's definition, its digest, and what the labels make of it.

    Resources, prompts and methods are called along the same path, and are tools of another surface.
    """

    ref: ToolRef
    exposed_as: str
    definition: Mapping[str, Any]
    digest: str  # sha256 hex of the canonical definition
    effect: Effect
    tier: Tier
    labels: Labels
    owner: Owner | None = None
    surface: Surface = Surface.TOOLS
    acts_as: str = ""  # whose authority a call uses: `human alice`
    held: str = ""  # why calls of it are refused until a person has accepted what it is now; empty: it is not held

    @property
    def labelled(self) -> bool:
        """Whether somebody wrote a label for it."""
        return self.labels.at is not None


class Context(Struct, frozen=True):
    """Where a call comes from: session, transport, era, and the trace that it belongs to."""

    session: str
    transport: str = "stdio"  # stdio | http
    era: str = "modern"  # modern | legacy
    trace: str = ""  # traceparent, as sent
    connection: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)  # `_meta` that may pass on to the upstream
    seat: str = ""  # principal, client and connection: what upstreams with `per = "client"` are kept for
    workspace: str = ""  # the client's working directory, as its shim said; empty: unknown
    only: str = ""  # the one upstream that this endpoint shows (`/mcp/<upstream>`); empty: all
    capabilities: Mapping[str, Any] = field(default_factory=dict)  # what the client declared, as on the wire
    log_level: str = ""  # how much the client wants to hear of the upstream's log; empty: nothing
    tool_use: str = ""  # the client's own id of this call (`claudecode/toolUseId`), by which its hooks know it
    prompt: str | None = None  # the user's prompt, as a client handed it over that is trusted for it
    isolation: int = 0  # how far the caller is from the gateway, at least (`core/isolation.py`)


class Resume(Struct, frozen=True):
    """A further round of a modern call: the handle that the gateway gave, what the user answered to our own question
    (None: call again), and the answers to the upstream's by the keys that we gave out, as they came from the wire.
    """

    handle: str
    vote: Vote | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)


class Call(Struct, frozen=True):
    """One request for one tool (or resource, prompt, completion: `method` says which).

    `canonical` is what is checked, hashed and sent; `digest` is keyed (HMAC-SHA256 hex). `exposed` and `arguments` are
    of `resources/read`, `subscribe` and `unsubscribe` the URI and `{"uri": ...}`; of `prompts/get` the exposed name and
    its arguments; of `completion/complete` the exposed name or the URI template that is referred to, and
    `{"ref": ..., "argument": ..., "context": ...}` as the client sent them.
    """

    id: str
    principal: Principal
    client: Client
    exposed: str
    arguments: Mapping[str, Any]
    canonical: bytes
    digest: str
    at: datetime
    context: Context
    resume: Resume | None = None
    method: str = CALL_TOOL
    alias: str = ""  # what is written down for `exposed`, where that holds a secret

    @property
    def recorded_method(self) -> str:
        """`method` as records hold it: that of a tool's call goes without saying."""
        return "" if self.method == CALL_TOOL else self.method

    @property
    def told(self) -> str:
        """`exposed` as it may be written down."""
        return self.alias or self.exposed

    def name_of(self, tool: Tool) -> str:
        """The upstream's own name of what is called, as it may be written down."""
        return self.alias or tool.ref.name
