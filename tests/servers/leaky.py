"""An MCP server that puts a secret on every surface that it has; standard library only, legacy era, stdio.

    leaky.py SECRETS

SECRETS is a JSON file: the name of a surface -> the secret to plant there. Every tool answers with its own; `crash`
says a last word on stderr and ends. Requests to the client are answered before the call is.
"""

import base64
import json
import os
import sys
from pathlib import Path

PLANTED = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
VERSION = "2025-11-25"
ANY = {"type": "object"}
CAPABILITIES = {"tools": {}, "resources": {}, "prompts": {}, "completions": {}, "logging": {}}
TOOLS = (
    *("text", "structured", "embedded", "blob", "link", "meta", "block_meta", "failed", "error", "error_data", "echo"),
    *("progress", "notice", "elicit", "sample", "allowed", "asked", "blocked", "write", "image", "encoded", "crash"),
)


def put(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def of(surface):
    return PLANTED[surface]


def words(secret):
    return f"the token is {secret} and that is all"


def text(secret):
    return {"type": "text", "text": words(secret)}


def question(method, params):
    """Ask the client, and wait for the answer; None where it is refused."""
    put(id="question", method=method, params=params)
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == "question" and "method" not in message:
            return message.get("result")
    raise SystemExit


def call(name, params):
    """The result of a tool; an error as a mapping with `code`."""
    plain = of(f"result-{name}") if f"result-{name}" in PLANTED else ""
    resource = {"uri": "leak://file", "mimeType": "text/plain"}
    match name:
        case "structured":
            return {"content": [], "structuredContent": {"deep": [{"value": words(plain), plain: 1}]}}
        case "embedded":
            return {"content": [{"type": "resource", "resource": {**resource, "text": words(plain)}}]}
        case "blob":
            blob = base64.b64encode(words(plain).encode()).decode()
            return {"content": [{"type": "resource", "resource": {**resource, "blob": blob}}]}
        case "link":
            link = {"type": "resource_link", "uri": f"https://x.example/?t={plain}", "name": plain}
            return {"content": [{**link, "description": words(plain)}]}
        case "meta":
            return {"content": [], "_meta": {"vendor/x": words(plain)}}
        case "block_meta":
            return {"content": [{"type": "text", "text": "x", "_meta": {"vendor/x": {plain: words(plain)}}}]}
        case "failed":
            return {"content": [text(plain)], "isError": True}
        case "error":
            return {"code": -32050, "message": words(plain)}
        case "error_data":
            return {"code": -32050, "message": "no", "data": {"why": [words(plain)]}}
        case "image":
            data = base64.b64encode(b"\x89PNG " + words(plain).encode()).decode()
            return {"content": [{"type": "image", "mimeType": "image/png", "data": data}]}
        case "encoded":
            return {"content": [{"type": "text", "text": base64.b64encode(words(plain).encode()).decode()}]}
        case "progress":
            token = params.get("_meta", {}).get("progressToken")
            note = {"progressToken": token, "progress": 1, "total": 2, "message": words(of("progress"))}
            put(method="notifications/progress", params=note)
        case "notice":
            said = {"level": "error", "logger": of("notice-logger"), "data": {"said": words(of("notice"))}}
            put(method="notifications/message", params=said)
        case "elicit":
            field = {"type": "string", "title": words(of("elicit-title")), "default": words(of("elicit-default"))}
            form = {"type": "object", "properties": {"x": field}}
            answer = question("elicitation/create", {"message": words(of("elicit")), "requestedSchema": form})
            return {"content": [{"type": "text", "text": json.dumps(answer)}]}
        case "sample":
            said = [{"role": "user", "content": text(of("sample"))}]
            more = {"maxTokens": 5, "systemPrompt": words(of("sample-system"))}
            answer = question("sampling/createMessage", {"messages": said, **more})
            return {"content": [{"type": "text", "text": json.dumps(answer)}]}
        case "crash":
            sys.stderr.write(words(of("stderr-last")) + "\n")
            sys.stderr.flush()
            sys.stdout.write(f"no message: {of('stdout-banner')}\n")
            sys.stdout.flush()
            os._exit(3)
        case "echo" | "write":
            return {"content": [{"type": "text", "text": json.dumps(params.get("arguments"))}]}
    return {"content": [text(plain)] if plain else [{"type": "text", "text": "done"}]}


def tools():
    listed = [{"name": name, "inputSchema": ANY} for name in TOOLS]
    schema = {"type": "object", "properties": {"x": {"type": "string", "default": of("tool-schema")}}}
    listed[0] |= {"description": words(of("tool-description")), "title": of("tool-title"), "inputSchema": schema}
    listed.append({"name": of("tool-name"), "inputSchema": ANY})
    return {"tools": listed}


def simple(method, params):
    """The result of a request that is no tool call; None for an unknown one."""
    match method:
        case "initialize":
            info = {"name": "leaky", "version": words(of("server-version"))}
            more = {"serverInfo": info, "instructions": words(of("instructions"))}
            return {"protocolVersion": VERSION, "capabilities": CAPABILITIES, **more}
        case "ping" | "logging/setLevel":
            return {}
        case "tools/list":
            return tools()
        case "resources/list":
            listed = {"uri": "leak://text", "name": of("resource-name"), "description": words(of("resource-listed"))}
            return {"resources": [listed]}
        case "resources/templates/list":
            listed = {"uriTemplate": "leak://t/{id}", "name": "t", "description": words(of("template-listed"))}
            return {"resourceTemplates": [listed]}
        case "prompts/list":
            return {"prompts": [{"name": "hello", "description": words(of("prompt-listed"))}]}
        case "resources/read":
            blob = base64.b64encode(words(of("resource-blob")).encode()).decode()
            both = [{"uri": params["uri"], "text": words(of("resource-text"))}, {"uri": params["uri"], "blob": blob}]
            return {"contents": both}
        case "prompts/get":
            return {
                "description": words(of("prompt-description")),
                "messages": [{"role": "user", "content": text(of("prompt-text"))}],
            }
        case "completion/complete":
            return {"completion": {"values": [of("completion")]}}
    return None


def answer(message):
    id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if id is None or method is None:
        return
    result = call(params["name"], params) if method == "tools/call" else simple(method, params)
    if result is None:
        put(id=id, error={"code": -32601, "message": "no such method"})
    elif "code" in result:
        put(id=id, error=result)
    else:
        put(id=id, result=result)


def main():
    sys.stderr.write(words(of("stderr")) + "\n")
    sys.stderr.flush()
    for line in sys.stdin:
        answer(json.loads(line))


if __name__ == "__main__":
    main()
