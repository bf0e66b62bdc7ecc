"""An MCP server that puts a secret on every surface that it has; standard library only, legacy era, stdio.

    leaky.py SECRETS [gone | mute]

SECRETS is a JSON file: the name of a surface -> the secret to plant there. Every tool answers with its own; `crash`
says a last word on stderr and ends; as `gone` it does so at once, and as `mute` it refuses to list its tools. Requests
to the client are answered before the call is.
"""

import base64
import json
import os
import sys
from pathlib import Path

PLANTED = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
MODE = "".join(sys.argv[2:])
VERSION = "2025-11-25"
ANY = {"type": "object"}
CAPABILITIES = {
    "tools": {},
    "prompts": {},
    "completions": {},
    "logging": {},
    "resources": {"subscribe": True},
}
TOOLS = (
    *("text", "structured", "embedded", "blob", "link", "meta", "block_meta", "failed", "error", "error_data", "echo"),
    *("progress", "notice", "elicit", "sample", "allowed", "asked", "blocked", "write", "image", "encoded", "crash"),
    *("two_blocks", "annotated", "hex", "link_meta", "roots", "post", "touch"),
)


def put(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def of(surface):
    return PLANTED[surface]


def words(secret):
    return f"see {secret} and that is all"


def said(surface):
    """The secret of a surface in a text that tells of both."""
    return f"at {surface}: {words(of(surface))}"


def text(words):
    return {"type": "text", "text": words}


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
    surface = f"result-{name}"
    plain = of(surface) if surface in PLANTED else ""
    told = said(surface) if plain else "done"
    resource = {"uri": "leak://file", "mimeType": "text/plain"}
    match name:
        case "structured":
            return {"content": [], "structuredContent": {"deep": [{"value": told, plain: 1}]}}
        case "embedded":
            return {"content": [{"type": "resource", "resource": {**resource, "text": told}}]}
        case "blob":
            blob = base64.b64encode(told.encode()).decode()
            return {"content": [{"type": "resource", "resource": {**resource, "blob": blob}}]}
        case "link":
            link = {"type": "resource_link", "uri": f"https://x.example/?t={plain}", "name": plain}
            return {"content": [{**link, "description": told}]}
        case "link_meta":
            link = {"type": "resource_link", "uri": "https://x.example/", "name": "x", "title": told}
            return {"content": [{**link, "_meta": {"vendor/x": [told]}}]}
        case "meta":
            return {"content": [], "_meta": {"vendor/x": told}}
        case "block_meta":
            return {"content": [{"type": "text", "text": "x", "_meta": {"vendor/x": {plain: told}}}]}
        case "annotated":
            return {"content": [{"type": "text", "text": "x", "annotations": {"audience": ["user"], "x": told}}]}
        case "two_blocks":
            begin, end = told[: told.index(plain) + 20], told[told.index(plain) + 20 :]
            return {"content": [text(begin), text(end)]}
        case "failed":
            return {"content": [text(told)], "isError": True}
        case "error":
            return {"code": -32050, "message": told}
        case "error_data":
            return {"code": -32050, "message": "no", "data": {"why": [told]}}
        case "image":
            data = base64.b64encode(b"\x89PNG " + told.encode()).decode()
            return {"content": [{"type": "image", "mimeType": "image/png", "data": data}]}
        case "encoded":
            return {"content": [text(base64.b64encode(words(plain).encode()).decode())]}
        case "hex":
            return {"content": [text(words(plain).encode().hex())]}
        case "progress":
            token = params.get("_meta", {}).get("progressToken")
            note = {"progressToken": token, "progress": 1, "total": 2, "message": said("progress")}
            put(method="notifications/progress", params=note)
        case "notice":
            note = {"level": "error", "logger": said("notice-logger"), "data": {"said": said("notice")}}
            put(method="notifications/message", params=note)
        case "elicit":
            field = {"type": "string", "title": said("elicit-title"), "default": said("elicit-default")}
            field |= {"description": said("elicit-description")}
            choice = {"type": "string", "enum": [said("elicit-choice"), "b"]}
            form = {"type": "object", "properties": {"x": field, "y": choice}}
            answer = question("elicitation/create", {"message": said("elicit"), "requestedSchema": form})
            return {"content": [text(json.dumps(answer))]}
        case "sample":
            asked = [{"role": "user", "content": text(said("sample"))}]
            more = {"maxTokens": 5, "systemPrompt": said("sample-system")}
            answer = question("sampling/createMessage", {"messages": asked, **more})
            return {"content": [text(json.dumps(answer))]}
        case "roots":
            return {"content": [text(json.dumps(question("roots/list", {})))]}
        case "touch":
            for uri in (f"leak://text/{of('updated-uri')}", "leak://text"):
                put(method="notifications/resources/updated", params={"uri": uri})
        case "crash":
            sys.stderr.write(said("stderr-last") + "\n")
            sys.stderr.flush()
            sys.stdout.write(f"no message: {of('stdout-banner')}\n")
            sys.stdout.flush()
            os._exit(3)
        case "echo" | "write" | "post":
            return {"content": [text(json.dumps(params.get("arguments")))]}
    return {"content": [text(told)]}


def tools():
    listed = [{"name": name, "inputSchema": ANY} for name in TOOLS]
    field = {"type": "string", "default": said("tool-schema"), "enum": [said("tool-enum")]}
    schema = {"type": "object", "properties": {"x": field, of("tool-argument"): {"type": "string"}}}
    listed[0] |= {"description": said("tool-description"), "title": said("tool-title"), "inputSchema": schema}
    listed[0] |= {"annotations": {"title": said("tool-annotation")}, "_meta": {"vendor/x": said("tool-meta")}}
    listed[1] |= {"outputSchema": {**ANY, "description": said("tool-output")}}
    listed.append({"name": of("tool-name"), "inputSchema": ANY})
    return {"tools": listed}


def simple(method, params):
    """The result of a request that is no tool call; None for an unknown one."""
    match method:
        case "initialize":
            info = {"name": "leaky", "version": said("server-version")}
            more = {"serverInfo": info, "instructions": said("instructions")}
            return {"protocolVersion": VERSION, "capabilities": CAPABILITIES, **more}
        case "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe":
            return {}
        case "tools/list" if MODE == "mute":
            return {"code": -32050, "message": said("list-error")}
        case "tools/list":
            return tools()
        case "resources/list":
            listed = {"uri": "leak://text", "name": said("resource-name"), "description": said("resource-listed")}
            more = {"title": said("resource-title"), "_meta": {"vendor/x": said("resource-meta")}}
            return {"resources": [{**listed, **more}, {"uri": f"leak://{of('resource-uri')}", "name": "x"}]}
        case "resources/templates/list":
            listed = {"uriTemplate": "leak://t/{id}", "name": "t", "description": said("template-listed")}
            return {"resourceTemplates": [listed, {"uriTemplate": f"leak://{of('template-uri')}/{{id}}", "name": "x"}]}
        case "prompts/list":
            argument = {"name": "who", "description": said("prompt-argument-listed")}
            listed = {"name": "hello", "description": said("prompt-listed"), "arguments": [argument]}
            return {"prompts": [listed, {"name": of("prompt-name")}]}
        case "resources/read":
            if params["uri"].endswith("/gone"):
                return {"code": -32002, "message": said("resource-error"), "data": {"uri": said("resource-error-data")}}
            blob = base64.b64encode(words(of("resource-blob")).encode()).decode()
            both = [{"uri": params["uri"], "text": said("resource-text")}, {"uri": params["uri"], "blob": blob}]
            return {"contents": both}
        case "prompts/get":
            resource = {"uri": "leak://file", "mimeType": "text/plain", "text": said("prompt-resource")}
            return {
                "description": said("prompt-description"),
                "messages": [
                    {"role": "user", "content": text(said("prompt-text"))},
                    {"role": "user", "content": {"type": "resource", "resource": resource}},
                ],
            }
        case "completion/complete":
            return {"completion": {"values": [said("completion")]}}
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
    sys.stderr.write(said("stderr-start" if MODE == "gone" else "stderr") + "\n")
    sys.stderr.flush()
    for line in sys.stdin if MODE != "gone" else ():
        answer(json.loads(line))


if __name__ == "__main__":
    main()
