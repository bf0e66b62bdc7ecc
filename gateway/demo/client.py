"""A scripted MCP client over real stdio: one JSON object a line to a subprocess, and back. It knows nothing of
policies.
"""

import json
import queue
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

VERSION = "2025-11-25"
ANSWER_DEADLINE = 60.0


class ScriptedClient:
    """Speaks the handshake era with one server; progress notices go to a callback while a call waits."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(env), text=True, encoding="utf-8"
        )
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._next = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def open(self) -> list[str]:
        """Shake hands and return the names of the tools."""
        info = {"name": "demo-agent", "version": "1"}
        self.request("initialize", {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": info})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return [tool["name"] for tool in self.request("tools/list", {})["tools"]]

    def call(
        self, tool: str, arguments: Mapping[str, str], on_notice: Callable[[str], None] = lambda text: None
    ) -> dict[str, Any]:
        """Call a tool and return its result."""
        return self.request("tools/call", {"name": tool, "arguments": dict(arguments)}, on_notice)

    def request(
        self, method: str, params: dict[str, Any], on_notice: Callable[[str], None] = lambda text: None
    ) -> dict[str, Any]:
        """Send one request and wait for its result; raises `RuntimeError` for an error or no answer."""
        self._next += 1
        params = {**params, "_meta": {"progressToken": self._next}}
        self._send({"jsonrpc": "2.0", "id": self._next, "method": method, "params": params})
        while True:
            try:
                message = self._said.get(timeout=ANSWER_DEADLINE)
            except queue.Empty:
                raise RuntimeError(f"no answer to {method}") from None
            if message is None:
                raise RuntimeError(f"the gateway ended before it answered {method}")
            if message.get("method") == "notifications/progress":
                on_notice(str(message["params"].get("message", "")))
            elif message.get("id") == self._next:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return dict(message["result"])

    def close(self) -> int:
        """Close the pipes and wait for the server's exit code."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        try:
            return self._server.wait(15)
        except subprocess.TimeoutExpired:
            self._server.kill()
            return self._server.wait()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(message) + "\n")
        self._server.stdin.flush()

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)
