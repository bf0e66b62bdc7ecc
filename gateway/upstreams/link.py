"""One negotiated connection to an upstream: requests as plain values, stamped for this hop.

Negotiation is the SDK's; nothing here decides about calls or starts anything again.
"""

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import anyio
import msgspec
from mcp.client._probe import negotiate_auto
from mcp.client.session import ClientSession
from mcp.shared.dispatcher import CallOptions, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
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
    Implementation,
    JSONRPCRequest,
    RequestId,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway import __version__
from gateway.errors import UpstreamError
from gateway.transport.process import Command, Process, running
from gateway.transport.streams import MessageReader, MessageWriter
from gateway.upstreams.dispatcher import TrackedStream, UpstreamDispatcher
from gateway.upstreams.http import http_streams, was_sent
from gateway.upstreams.intake import AdmittingStream, Intake
from gateway.upstreams.spec import UpstreamSpec

CLIENT_INFO = Implementation(name="wardgate", version=__version__)
MOST_PAGES = 100
_FIRST_ID = 1000  # the SDK counts its own few requests from 1


class Link:
    """A connection that may be negotiated and used until `ended` is set."""

    def __init__(
        self, session: ClientSession, dispatcher: UpstreamDispatcher, intake: Intake, gone: anyio.Event
    ) -> None:
        self._session, self._dispatcher, self._intake = session, dispatcher, intake
        self.ended = gone
        self.process: Process | None = None  # none over HTTP
        self.silent: anyio.Event | None = None  # set when the program's stdout ended
        self._ids = itertools.count(_FIRST_ID)
        self._meta: Mapping[str, Any] = {}
        self._version_headers: Mapping[str, str] = {}
        self._param_headers: dict[str, Mapping[tuple[str, ...], str]] = {}
        self._handed_over: set[RequestId] = set()

    @property
    def is_http(self) -> bool:
        """Whether it is an HTTP connection, where one lost request doesn't end the link."""
        return self.process is None

    @property
    def over(self) -> bool:
        """Whether no answer can come any more."""
        return self.ended.is_set() or (self.silent is not None and self.silent.is_set())

    @property
    def modern(self) -> bool:
        """Whether a stateless revision was negotiated."""
        return self._session.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def heard(self) -> int:
        """How many messages came in so far."""
        return self._intake.heard

    @property
    def detail(self) -> str:
        """What is known about why it ended: lines that were no messages, and the end of stderr."""
        garbage = self._dispatcher.garbage
        parts = [f"{garbage} lines on stdout that were no JSON-RPC message"] if garbage else []
        if self.process is not None and (tail := self.process.stderr_tail.strip()):
            parts.append(f"stderr ends with: {tail[-300:]}".replace("\n", " | "))
        return "; ".join(parts)

    async def negotiate(self, era: str) -> None:
        """Agree on a revision: `auto` asks the modern question first, on the same connection; else exactly that era."""
        if era == "auto":
            await negotiate_auto(self._session)
        elif era in MODERN_PROTOCOL_VERSIONS:
            await self._session.discover()
        else:
            await self._session.initialize()
        version = self._session.protocol_version or ""
        self._version_headers = {MCP_PROTOCOL_VERSION_HEADER: version}
        if self.modern:
            self._meta = {
                PROTOCOL_VERSION_META_KEY: version,
                CLIENT_INFO_META_KEY: CLIENT_INFO.model_dump(by_alias=True, mode="json", exclude_none=True),
                CLIENT_CAPABILITIES_META_KEY: {},  # until questions can be passed on
            }

    def new_id(self) -> RequestId:
        """An id for `request`, so that `fate` can tell about it."""
        return next(self._ids)

    def forget(self, request_id: RequestId) -> bool:
        """Whether the request may have reached the upstream; nothing is remembered of it afterwards."""
        sent = request_id in self._handed_over
        self._handed_over.discard(request_id)
        return sent

    def lost(self, problem: MCPError) -> bool | None:
        """Whether an error means that a request which was handed over got lost; None if it provably never left."""
        on_the_wire = was_sent(problem.error.message, problem.error.data) if self.silent is None else None
        if on_the_wire is not None:
            return on_the_wire or None
        # A program may use this code for an error of its own, while its stdout is still open.
        return problem.error.code == CONNECTION_CLOSED and (self.silent is None or self.silent.is_set())

    def note_sent(self, request: JSONRPCRequest) -> None:
        """Called by the transport for each request that it took."""
        self._handed_over.add(request.id)

    async def request(
        self,
        method: str,
        params: Mapping[str, Any],
        request_id: RequestId | None = None,
        progress: ProgressFnT | None = None,
    ) -> dict[str, Any]:
        """Send a request with this hop's `_meta` and headers and return the raw result.

        Raises `MCPError`; has no deadline of its own. Cancelled, it tells the upstream.
        """
        meta = {**(params.get("_meta") or {}), **self._meta}
        opts: CallOptions = {"request_id": self.new_id() if request_id is None else request_id}
        if progress is not None:
            opts["on_progress"] = progress
        if self.is_http:
            opts["headers"] = self._headers(method, params)
        stamped = {**params, "_meta": meta} if meta else {key: params[key] for key in params if key != "_meta"}
        try:
            return await self._dispatcher.send_raw_request(method, stamped, opts)
        finally:
            if request_id is None:
                self._handed_over.discard(opts["request_id"])

    def pack(self, arguments: bytes) -> Any:
        """Encoded arguments as the transport takes them: exactly these bytes on stdio, the value over HTTP."""
        return msgspec.json.decode(arguments) if self.is_http else msgspec.Raw(arguments)

    async def list_tools(self, most: int, largest: int) -> list[Any]:
        """All pages of `tools/list`, unchecked.

        Raises `UpstreamError` beyond 100 pages, `most` tools or `largest` bytes.
        """
        capabilities = self._session.server_capabilities
        if capabilities is None or capabilities.tools is None:
            return []
        items: list[Any] = []
        seen: set[str] = set()
        size, cursor = 0, None
        for _ in range(MOST_PAGES):
            page = await self.request("tools/list", {} if cursor is None else {"cursor": cursor})
            tools, cursor = page.get("tools"), page.get("nextCursor")
            if not isinstance(tools, list) or not (cursor is None or isinstance(cursor, str)):
                raise UpstreamError("its answer to `tools/list` is no list of tools")
            items += tools
            size += len(msgspec.json.encode(tools))
            if len(items) > most:
                raise UpstreamError(f"it lists more than {most} tools")
            if size > largest:
                raise UpstreamError(f"its tools take more than {largest // 2**20} MiB")
            if cursor is None:
                self._param_headers = _header_maps(items) if self.is_http and self.modern else {}
                return items
            if cursor in seen:
                raise UpstreamError("its list of tools goes round in a circle")
            seen.add(cursor)
        raise UpstreamError(f"its list of tools has more than {MOST_PAGES} pages")

    def _headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        """This hop's headers, made from the body."""
        headers = dict(self._version_headers)
        if not self.modern:
            return headers
        headers[MCP_METHOD_HEADER] = method
        name = params.get("name")
        if method == "tools/call" and isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)
            headers.update(mcp_param_headers(self._param_headers.get(name, {}), params.get("arguments") or {}))
        return headers


@contextlib.asynccontextmanager
async def connect(spec: UpstreamSpec, intake: Intake) -> AsyncIterator[Link]:
    """Start the program or open the address; enter and leave it in one task.

    Raises `ConfigurationError` if it can't be. The references in its environment or headers are resolved first, in a
    thread: they may run a command.
    """
    gone = anyio.Event()
    async with contextlib.AsyncExitStack() as stack:
        process, silent = None, None
        write: MessageWriter | TrackedStream
        read: MessageReader | AdmittingStream
        if spec.url:
            headers = await anyio.to_thread.run_sync(spec.headers)
            streams = http_streams(spec.url, headers, spec.line_limit, spec.calls_in_flight, gone)
            inner_read, inner_write = await stack.enter_async_context(streams)
            read, write = AdmittingStream(inner_read, intake), TrackedStream(inner_write)
        else:
            environment = await anyio.to_thread.run_sync(spec.environment)
            command = Command(spec.command, spec.args, environment, spec.cwd, spec.grace, spec.line_limit, intake.admit)
            reader, write, process = await stack.enter_async_context(running(command))
            read, silent = reader, reader.ended
        dispatcher = UpstreamDispatcher(read, write, spec.discover_timeout, gone)
        session = await stack.enter_async_context(ClientSession(dispatcher=dispatcher, client_info=CLIENT_INFO))
        link = Link(session, dispatcher, intake, gone)
        link.process, link.silent, write.on_sent = process, silent, link.note_sent
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
