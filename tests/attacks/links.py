"""How an agent is connected to the gateway: by the pipes of `wardgate stdio`, or over streamable HTTP.

Knows nothing of what is played.
"""

import json
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.abc

PATIENCE = 30.0  # seconds that one call may take, a person's answer included


class Link:
    """One connection of an agent."""

    def __init__(self) -> None:
        self._number, self._meta = 0, dict[str, Any]()

    async def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer: the result, or the error as a result that is one."""
        self._number += 1
        meta = {"_meta": {**self._meta, **params.get("_meta", {})}}
        with anyio.fail_after(PATIENCE):
            answer = await self._exchange(
                {"jsonrpc": "2.0", "id": self._number, "method": method, "params": {**params, **meta}}
            )
        return dict(answer.get("result") or {"isError": True, "content": [], "error": answer.get("error")})

    async def greet(self, era: str) -> None:
        """Open the conversation in this era."""
        about = {"name": "agent", "version": "1"}
        if era == "modern":
            said = {"protocolVersion": "2026-07-28", "clientInfo": about, "clientCapabilities": {}}
            self._meta = {f"io.modelcontextprotocol/{name}": value for name, value in said.items()}
            await self.ask("server/discover", {})
            return
        await self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about})
        await self._put({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def _exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def _put(self, message: Mapping[str, Any]) -> None:
        raise NotImplementedError


class Pipes(Link):
    """The pipes of `wardgate stdio`, with answers told apart by their ids."""

    def __init__(self, process: anyio.abc.Process) -> None:
        super().__init__()
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._waiting: dict[int, tuple[anyio.Event, list[dict[str, Any]]]] = {}

    async def _exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        event, box = self._waiting[message["id"]] = anyio.Event(), []
        await self._put(message)
        await event.wait()
        return box[0]

    async def _put(self, message: Mapping[str, Any]) -> None:
        await self._stdin.send(json.dumps(message).encode() + b"\n")

    async def listen(self) -> None:
        """Hand every answer to whoever waits for it, until the connection ends."""
        rest = b""
        try:
            async for chunk in self._stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    event, box = self._waiting.pop(message.get("id"), (None, []))
                    if event is not None and "method" not in message:
                        box.append(message)
                        event.set()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


class Http(Link):
    """Streamable HTTP: a request of its own for each message."""

    def __init__(self, http: Any, url: str) -> None:
        super().__init__()
        self._http, self._url, self._session = http, url, dict[str, str]()

    async def _exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self._send(message)
        told = answer.headers.get("mcp-session-id")
        self._session |= {"mcp-session-id": told} if told else {}
        lines = answer.text.splitlines()
        events = [line.removeprefix("data:") for line in lines if line.startswith("data:") and line.strip() != "data:"]
        found = [json.loads(each) for each in events or [answer.text]]
        return next(each for each in found if each.get("id") == message["id"] and "method" not in each)

    async def _put(self, message: Mapping[str, Any]) -> None:
        await self._send(message)

    async def _send(self, message: Mapping[str, Any]) -> Any:
        version = "2026-07-28" if self._meta else "2025-11-25"
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": version,
            **(self._named(message) if self._meta else {}),
            **self._session,
        }
        return await self._http.post(self._url, json=message, headers=headers, timeout=PATIENCE)

    @staticmethod
    def _named(message: Mapping[str, Any]) -> dict[str, str]:
        """What the modern era says in headers, too."""
        params = message.get("params", {})
        name = params.get("name", params.get("uri"))
        return {"mcp-method": message["method"], **({"mcp-name": name} if name else {})}
