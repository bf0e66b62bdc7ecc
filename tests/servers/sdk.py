"""An MCP server made with the SDK, as most are: both eras, stdio or HTTP.

    sdk.py [--legacy] [--http]

`--legacy`: knows nothing of the modern era. `--http` prints its port on stdout.
"""

import argparse
import json
import socket

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

FORM = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
URI = "note://one"
BUS = InMemorySubscriptionBus()
SUBSCRIBERS = set()


def said(value):
    return types.CallToolResult(content=[types.TextContent(type="text", text=json.dumps(value))])


async def list_tools(ctx, params):
    names = ("ask", "touch", "log", "able")
    return types.ListToolsResult(tools=[types.Tool(name=name, input_schema={"type": "object"}) for name in names])


async def call_tool(ctx, params):
    modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
    if params.name == "ask":
        if not modern:
            answer = await ctx.session.elicit_form("Which?", FORM, related_request_id=ctx.request_id)
            return said(answer.content)
        if params.input_responses:
            return said(params.input_responses["k"].content)
        asked = types.ElicitRequest(params=types.ElicitRequestFormParams(message="Which?", requested_schema=FORM))
        return types.InputRequiredResult(input_requests={"k": asked}, request_state="s")
    if params.name == "touch":
        await BUS.publish(ResourceUpdated(uri=URI))
        for session in SUBSCRIBERS:
            await session.send_resource_updated(URI)
    elif params.name == "log":
        await ctx.session.send_log_message("warning", "a line", "sdk", related_request_id=ctx.request_id)
    elif params.name == "able":
        able = ctx.session.client_capabilities
        return said(able.model_dump(by_alias=True, exclude_none=True) if able else None)
    return said("done")


async def list_resources(ctx, params):
    return types.ListResourcesResult(resources=[types.Resource(uri=URI, name="one")])


async def read_resource(ctx, params):
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text="text")])


async def list_prompts(ctx, params):
    return types.ListPromptsResult(prompts=[types.Prompt(name="hello")])


async def get_prompt(ctx, params):
    content = types.TextContent(type="text", text="hello")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])


async def complete(ctx, params):
    return types.CompleteResult(completion=types.Completion(values=[params.argument.value + "!"]))


async def subscribe(ctx, params):
    SUBSCRIBERS.add(ctx.session)
    return types.EmptyResult()


async def unsubscribe(ctx, params):
    SUBSCRIBERS.discard(ctx.session)
    return types.EmptyResult()


async def set_level(ctx, params):
    return types.EmptyResult()


async def legacy_only(ctx, call_next):
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS or ctx.method == "server/discover":
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found")
    return await call_next(ctx)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--legacy", action="store_true")
    parser.add_argument("--http", action="store_true")
    options = parser.parse_args()
    server = Server(
        "sdk",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=unsubscribe,
        on_set_logging_level=set_level,
        on_subscriptions_listen=ListenHandler(BUS),
    )
    anyio.run(over_http if options.http else over_stdio, server, options.legacy)


async def over_stdio(server, legacy):
    async with stdio_server() as (read, write), anyio.create_task_group() as tasks:
        put, get = anyio.create_memory_object_stream(100)
        tasks.start_soon(pass_on, read, put, write, legacy)
        await server.run(get, write, server.create_initialization_options(NotificationOptions(True, True, True)))


async def pass_on(read, put, write, legacy):
    """A server of the older era doesn't know the modern question."""
    async with put:
        async for item in read:
            if legacy and getattr(item.message, "method", "") == "server/discover":
                error = types.ErrorData(code=types.METHOD_NOT_FOUND, message="Method not found")
                await write.send(SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=item.message.id, error=error)))
            else:
                await put.send(item)


async def over_http(server, legacy):
    if legacy:
        server.middleware.append(legacy_only)
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        app = server.streamable_http_app(host="127.0.0.1")
        await uvicorn.Server(uvicorn.Config(app, log_level="error")).serve(sockets=[listening])


if __name__ == "__main__":
    main()
