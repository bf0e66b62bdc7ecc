"""The SDK's server as clients first meet it: what it says that it can do, in both eras, on every transport.

It serves nothing by itself: every method is answered by the face's middleware.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp_types import SetLevelRequestParams, SubscriptionsListenRequestParams, SubscriptionsListenResult

from gateway import __version__

Listen = Callable[
    [ServerRequestContext[Any, Any], SubscriptionsListenRequestParams], Awaitable[SubscriptionsListenResult]
]
ALL = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)


class DualEraServer(Server[Any]):
    """The SDK's server, with `listChanged` advertised on every transport (the HTTP manager leaves it out)."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """The options of a handshake."""
        return super().create_initialization_options(notification_options or ALL, experimental_capabilities, extensions)


async def _unreachable(ctx: Any, params: Any) -> NoReturn:
    raise AssertionError("the relay answers this method itself")


def dual_era_server(listen: Listen, input_schema: Callable[[str], Mapping[str, Any] | None]) -> DualEraServer:
    """A server that advertises every kind of thing; `input_schema` is for checking `Mcp-Param-*` headers."""
    server = DualEraServer(
        "wardgate",
        version=__version__,
        title="Wardgate",
        on_list_tools=_unreachable,
        on_call_tool=_unreachable,
        on_list_resources=_unreachable,
        on_list_resource_templates=_unreachable,
        on_read_resource=_unreachable,
        on_subscribe_resource=_unreachable,
        on_unsubscribe_resource=_unreachable,
        on_list_prompts=_unreachable,
        on_get_prompt=_unreachable,
        on_completion=_unreachable,
        on_subscriptions_listen=listen,
        get_tool_input_schema=input_schema,
    )
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, _unreachable)
    server.middleware.clear()
    return server
