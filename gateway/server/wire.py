"""Wire -> `Call`: what a request asks for, and what came with it. Pure translation of dicts: no I/O, no decision."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from mcp.shared.exceptions import MCPError
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    INVALID_PARAMS,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)
from msgspec import Struct

from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import Call, Client, Context, Resume
from gateway.holding import PREVIEW
from gateway.server.caller import COME_BACK, LEVELS, QUESTION, vote_of
from gateway.server.peer import Peer
from gateway.transport.wire import deeper

PER_HOP = frozenset(
    {
        PROTOCOL_VERSION_META_KEY,
        CLIENT_INFO_META_KEY,
        CLIENT_CAPABILITIES_META_KEY,
        LOG_LEVEL_META_KEY,
        SERVER_INFO_META_KEY,
        "progressToken",
    }
)
NAME_LIMIT = 128
PROMPT_LIMIT = 256 * 1024  # characters of a prompt that a client hands over; a longer one is ignored
TOOL_USE = "claudecode/toolUseId"  # the key under which Claude Code tells its own id of a call


class Hop(NamedTuple):
    """Who sent a request, and what it declared: of its session (legacy), or with the request (modern)."""

    peer: Peer
    claimed: str
    modern: bool
    capabilities: Mapping[str, Any]
    log_level: str


def invalid(message: str) -> MCPError:
    """The error for params that no handler can take."""
    return MCPError(INVALID_PARAMS, message)


def claimed_name(info: Any) -> str:
    """A client's own words for itself (`clientInfo` as on the wire), bounded and printable: `name version`. One that
    calls itself as only the gateway's own calls are called is told with a `?`.
    """
    if not isinstance(info, dict):
        return ""
    name, version = info.get("name"), info.get("version")
    return _claimed(
        name[:NAME_LIMIT] if isinstance(name, str) else "", version[:NAME_LIMIT] if isinstance(version, str) else ""
    )


@lru_cache(maxsize=256)
def _claimed(name: str, version: str) -> str:
    said = "".join(char for char in f"{name} {version}".strip() if char.isprintable())[:NAME_LIMIT]
    return f"?{said}"[:NAME_LIMIT] if said.casefold().startswith(PREVIEW) else said


def modern_hop(params: Mapping[str, Any] | None, peer: Peer) -> Hop:
    """What a modern request says of its sender."""
    meta = (params or {}).get("_meta")
    if not isinstance(meta, dict):
        return Hop(peer, "", True, {}, "")
    capabilities, level = meta.get(CLIENT_CAPABILITIES_META_KEY), meta.get(LOG_LEVEL_META_KEY)
    return Hop(
        peer,
        claimed_name(meta.get(CLIENT_INFO_META_KEY)),
        True,
        capabilities if isinstance(capabilities, dict) else {},
        level if isinstance(level, str) and level in LEVELS else "",
    )


class Reader(Struct, frozen=True):
    """Makes calls of requests.

    `nesting` is how many levels of objects and arrays the arguments may have; `private` are keys of `_meta` that are
    for the gateway.
    """

    key: bytes  # of the keyed digests
    session_meta: str
    prompt_meta: str
    private: frozenset[str]
    nesting: int
    new_id: Callable[[], str]
    now: Callable[[], datetime]

    def read(self, method: str, params: Mapping[str, Any], hop: Hop) -> Call:
        """The call that a request is; raises `MCPError` (-32602) for shapes that can't be one."""
        exposed, arguments = _address(method, params)
        meta = params.get("_meta")
        meta = meta if isinstance(meta, dict) else {}
        sealed = self._seal(arguments)
        peer = hop.peer
        tool_use = meta.get(TOOL_USE)
        return Call(
            id=self.new_id(),
            principal=peer.principal,
            client=Client(peer.client, hop.claimed),
            exposed=exposed,
            arguments=arguments,
            canonical=sealed,
            digest=keyed_digest(self.key, sealed),
            at=self.now(),
            context=Context(
                session=self._session(meta, peer),
                transport=peer.transport,
                era="modern" if hop.modern else "legacy",
                trace=str(meta.get("traceparent", ""))[:NAME_LIMIT],
                connection=peer.connection,
                meta=self._passing(meta),
                seat=peer.seat,
                workspace=peer.workspace,
                only=peer.only,
                capabilities=hop.capabilities,
                log_level=hop.log_level,
                tool_use=tool_use if isinstance(tool_use, str) and _is_name(tool_use) else "",
                prompt=self._prompt(meta) if peer.trust_prompt else None,
                isolation=peer.isolation,
            ),
            resume=self._resume(params) if hop.modern and method in COME_BACK else None,
            method=method,
        )

    def _seal(self, arguments: Mapping[str, Any]) -> bytes:
        try:
            sealed = canonical(arguments)
        except ValueError:
            self._check_depth(arguments, "arguments")
            raise invalid("`arguments` must be JSON that can be encoded again: no lone surrogates") from None
        # What has no more openings than levels are allowed can't be too deep: most calls need no look at each value.
        if sealed.count(b"{") + sealed.count(b"[") > self.nesting:
            self._check_depth(arguments, "arguments")
        return sealed

    def _check_depth(self, value: Any, name: str) -> None:
        if deeper(value, self.nesting):
            raise invalid(f"`{name}` are nested deeper than {self.nesting} levels (`nesting` in `[limits]`)")

    def _passing(self, meta: Mapping[str, Any]) -> Mapping[str, Any]:
        """What of `_meta` may go on to the upstream."""
        passing = {name: value for name, value in meta.items() if name not in self.private}
        if passing:
            self._check_depth(passing, "_meta")
        return passing

    def _session(self, meta: Mapping[str, Any], peer: Peer) -> str:
        if peer.trust_session:
            named = meta.get(self.session_meta)
            if isinstance(named, str) and _is_name(named):
                return f"{peer.principal.id}/{peer.client}/{named}"
        return peer.session

    def _prompt(self, meta: Mapping[str, Any]) -> str | None:
        """The user's prompt, as a client hands it over that is trusted for it; None for anything odd."""
        prompt = meta.get(self.prompt_meta)
        return prompt if isinstance(prompt, str) and len(prompt) <= PROMPT_LIMIT else None

    def _resume(self, params: Mapping[str, Any]) -> Resume | None:
        state, answers = params.get("requestState"), params.get("inputResponses")
        if state is None:
            return None
        if not isinstance(state, str):
            raise invalid("`requestState` must be the string that the gateway gave")
        if answers is None:
            return Resume(state)
        if not isinstance(answers, dict):
            raise invalid("`inputResponses` must be a JSON object")
        self._check_depth(answers, "inputResponses")
        answer = answers.get(QUESTION)
        return Resume(state, None if answer is None else vote_of(answer), answers)


def _is_name(text: str) -> bool:
    """Whether a text can be the client's name for something."""
    return 0 < len(text) <= NAME_LIMIT and text.isprintable()


def _address(method: str, params: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """What a call is for, and its arguments; see `Call`."""
    if method in ("tools/call", "prompts/get"):
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or not name:
            raise invalid(f"`name` must be the name of a {'tool' if method == 'tools/call' else 'prompt'}")
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            raise invalid("`arguments` must be a JSON object")
        return name, arguments
    if method == "completion/complete":
        ref = params.get("ref")
        named = (ref.get("name") if ref.get("type") == "ref/prompt" else ref.get("uri")) if isinstance(ref, dict) else 0
        if not isinstance(named, str) or not named:
            raise invalid("`ref` must name a prompt or the URI template of a resource")
        return named, {key: params[key] for key in ("ref", "argument", "context") if params.get(key) is not None}
    uri = params.get("uri")
    if not isinstance(uri, str) or not uri:
        raise invalid("`uri` must be the URI of a resource")
    return uri, {"uri": uri}
