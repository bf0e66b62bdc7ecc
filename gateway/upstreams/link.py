"""One negotiated connection to an upstream: requests as plain values, stamped for this hop.

Negotiation is the SDK's; nothing here decides about calls or starts anything again.
"""

import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import anyio
import msgspec
from mcp.client._probe import negotiate_auto
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    find_invalid_x_mcp_header,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    CONNECTION_CLOSED,
    PROTOCOL_VERSION_META_KEY,
    ClientCapabilities,
    Implementation,
    JSONRPCRequest,
    RequestId,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from gateway import __version__
from gateway.transport.process import Command, Process, running
from gateway.transport.streams import MessageReader, MessageWriter
from gateway.upstreams.dispatcher import TrackedStream, UpstreamDispatcher
from gateway.upstreams.exchange import Exchange
from gateway.upstreams.http import http_streams, was_sent
from gateway.upstreams.intake import AdmittingStream, Intake
from gateway.upstreams.spec import MIRROR, UpstreamSpec

CLIENT_INFO = Implementation(name="wardgate", version=__version__)
STDERR = "stderr ends with: "
_VERSION = re.compile(r"[\w.+~:-]{1,64}", re.ASCII)
_FIRST_ID = 1000  # the SDK counts its own few requests from 1


class Link:
    """A connection that may be negotiated and used until `ended` is set."""

    def __init__(
        self, session: ClientSession, dispatcher: UpstreamDispatcher, intake: Intake, gone: anyio.Event
    ) -> None:
        self._session, self.dispatcher, self._intake = session, dispatcher, intake
        self.ended = gone
        self.process: Process | None = None  # none over HTTP
        self.silent: anyio.Event | None = None  # set when the program's stdout ended
        self.unauthorized = anyio.Event()  # set when the server asked who is there (status 401)
        self.modern = False  # whether a stateless revision was negotiated
        self.revision = ""  # the one that was negotiated
        self.meta: Mapping[str, Any] = {}  # what every request of this hop carries
        self.parked = 0  # calls that stay open here while a client is asked something
        self._ids = itertools.count(_FIRST_ID)
        self._version_headers: Mapping[str, str] = {}
        self._param_headers: dict[str, Mapping[tuple[str, ...], str]] = {}

    @property
    def is_http(self) -> bool:
        """Whether it is an HTTP connection, where one lost request doesn't end the link."""
        return self.process is None

    @property
    def over(self) -> bool:
        """Whether no answer can come any more."""
        return self.ended.is_set() or (self.silent is not None and self.silent.is_set())

    @property
    def heard(self) -> int:
        """How many messages came in so far."""
        return self._intake.heard

    @property
    def detail(self) -> str:
        """What is known about its end: lines that were no messages, and the end of stderr, whole and unscreened."""
        garbage = self.dispatcher.garbage
        parts = [f"{garbage} lines on stdout that were no JSON-RPC message"] if garbage else []
        if self.process is not None and (tail := self.process.stderr_tail.strip()):
            parts.append(f"{STDERR}{tail}")
        return "; ".join(parts)

    @property
    def instructions(self) -> str:
        """What the server tells models about itself; empty if nothing."""
        return self._session.instructions or ""

    @property
    def version(self) -> str:
        """The version that the server gives for itself; empty if it gives none that fits on a line."""
        about = self._session.server_info
        version = getattr(about, "version", None)
        return version if isinstance(version, str) and _VERSION.fullmatch(version) else ""

    def offers(self, kind: str) -> bool:
        """Whether the server declared a capability: tools, resources, prompts, completions, logging."""
        return getattr(self._session.server_capabilities, kind, None) is not None

    def learn_headers(self, tools: Sequence[Any]) -> None:
        """Note which arguments of these tools (as listed, unchecked) are repeated in headers."""
        self._param_headers = _header_maps(tools) if self.is_http and self.modern else {}

    async def negotiate(self, era: str) -> None:
        """Agree on a revision: `auto` asks the modern question first, on the same connection, `mirror` the legacy one;
        else exactly that era.
        """
        if era == "auto":
            await negotiate_auto(self._session)
        elif era in MODERN_PROTOCOL_VERSIONS:
            await self._session.discover()
        else:
            try:
                await self._session.initialize()
            except MCPError:
                if era != MIRROR:
                    raise
                await self._session.discover()
        version = self._session.protocol_version or ""
        self._version_headers = {MCP_PROTOCOL_VERSION_HEADER: version}
        self.modern = version in MODERN_PROTOCOL_VERSIONS
        self.revision = version
        if self.modern:
            self.meta = {
                PROTOCOL_VERSION_META_KEY: version,
                CLIENT_INFO_META_KEY: CLIENT_INFO.model_dump(by_alias=True, mode="json", exclude_none=True),
                CLIENT_CAPABILITIES_META_KEY: {},
            }

    def new_id(self) -> RequestId:
        """An id that no other request of this connection has."""
        return next(self._ids)

    def lost(self, problem: MCPError) -> bool | None:
        """Whether an error means that a request which was handed over got lost; None if it provably never left."""
        on_the_wire = was_sent(problem.error.message, problem.error.data) if self.silent is None else None
        if on_the_wire is not None:
            return on_the_wire or None
        # A program may use this code for an error of its own, while its stdout is still open.
        return problem.error.code == CONNECTION_CLOSED and (self.silent is None or self.silent.is_set())

    async def begin(self, exchange: Exchange, params: dict[str, Any], meta: Mapping[str, Any]) -> dict[str, Any] | None:
        """Send a request with `meta` (this hop's and what passes) and headers; see `UpstreamDispatcher.converse`."""
        if exchange.on_progress is not None:
            meta = {**meta, "progressToken": exchange.id}
        if meta:
            params["_meta"] = meta
        message = JSONRPCRequest.model_construct(jsonrpc="2.0", id=exchange.id, method=exchange.method, params=params)
        headers = self._headers(exchange.method, params) if self.process is None else None
        return await self.dispatcher.converse(exchange, message, headers)

    async def request(
        self, method: str, params: Mapping[str, Any], request_id: RequestId | None = None
    ) -> dict[str, Any]:
        """Send a request of the gateway's own and return the raw result.

        Raises `MCPError`; has no deadline of its own. Cancelled, it tells the upstream.
        """
        exchange = Exchange(self.new_id() if request_id is None else request_id, method)
        return await self.begin(exchange, dict(params), self.meta) or {}

    def pack(self, arguments: bytes) -> Any:
        """Encoded arguments as the transport takes them: exactly these bytes on stdio, the value over HTTP."""
        return msgspec.json.decode(arguments) if self.process is None else msgspec.Raw(arguments)

    def _headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        """This hop's headers, made from the body."""
        headers = dict(self._version_headers)
        if not self.modern:
            return headers
        headers[MCP_METHOD_HEADER] = method
        name = params.get(NAME_BEARING_METHODS.get(method, ""))
        if isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)
            if method == "tools/call" and (repeated := self._param_headers.get(name)):
                headers.update(mcp_param_headers(repeated, params.get("arguments") or {}))
        return headers


class _Session(ClientSession):
    """The SDK's session, declaring exactly what it is told to; the SDK would go by its callbacks."""

    def __init__(self, dispatcher: UpstreamDispatcher, declared: Mapping[str, Any]) -> None:
        super().__init__(dispatcher=dispatcher, client_info=CLIENT_INFO)
        try:
            self._declared = ClientCapabilities.model_validate(declared)
        except ValidationError:
            self._declared = ClientCapabilities()

    def _build_capabilities(self, version: str) -> ClientCapabilities:
        return self._declared


@contextlib.asynccontextmanager
async def connect(spec: UpstreamSpec, intake: Intake, declared: Mapping[str, Any]) -> AsyncIterator[Link]:
    """Start the program or open the address; enter and leave it in one task.

    `declared` are the capabilities of the client that it is for. Raises `ConfigurationError` if it can't be. The
    references in its environment, headers or address are resolved first, in a thread: they may run a command.
    """
    gone, unauthorized = anyio.Event(), anyio.Event()
    async with contextlib.AsyncExitStack() as stack:
        process, silent = None, None
        write: MessageWriter | TrackedStream
        read: MessageReader | AdmittingStream
        if spec.url:
            headers = await anyio.to_thread.run_sync(spec.headers)
            url = spec.url if spec.address is None else await anyio.to_thread.run_sync(spec.address)
            streams = http_streams(url, headers, spec.line_limit, spec.calls_in_flight, gone, unauthorized, spec.auth)
            inner_read, inner_write = await stack.enter_async_context(streams)
            read, write = AdmittingStream(inner_read, intake), TrackedStream(inner_write)
        else:
            environment = await anyio.to_thread.run_sync(spec.environment)
            command = Command(spec.command, spec.args, environment, spec.cwd, spec.grace, spec.line_limit, intake.admit)
            if spec.confine is not None:
                command = await anyio.to_thread.run_sync(spec.confine, command, spec.workspace)
            reader, write, process = await stack.enter_async_context(running(command))
            read, silent = reader, reader.ended
        dispatcher = UpstreamDispatcher(read, write, spec.discover_timeout, gone)
        session = await stack.enter_async_context(_Session(dispatcher, declared))
        link = Link(session, dispatcher, intake, gone)
        link.process, link.silent, write.on_sent = process, silent, dispatcher.note_sent
        link.unauthorized = unauthorized
        yield link


def _header_maps(items: Sequence[Any]) -> dict[str, Mapping[tuple[str, ...], str]]:
    """Per tool, which arguments are repeated in headers (`x-mcp-header` in its schema)."""
    return {
        item["name"]: x_mcp_header_map(item["inputSchema"])
        for item in items
        if isinstance(item, dict)
        and isinstance(item.get("name"), str)
        and isinstance(item.get("inputSchema"), dict)
        and find_invalid_x_mcp_header(item["inputSchema"]) is None
    }
