"""A start imports of the SDK what it uses, and the rest is there for whoever asks."""

import subprocess
import sys

BEFORE = """
import sys
from gateway.sdk import import_lightly
import_lightly()
"""


def run(program: str) -> list[str]:
    """What a program prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_a_gateway_imports_neither_the_sdks_own_servers_nor_its_clients() -> None:
    loaded = set(run(f"{BEFORE}import gateway.app.run, gateway.app.web\nprint(*sys.modules)"))
    assert {"mcp", "mcp.server.lowlevel.server", "mcp.client.session"} <= loaded
    assert not {"mcp.server.mcpserver", "mcp.client.client", "mcp.client.stdio"} & loaded


def test_every_name_of_the_sdk_is_there_for_who_asks_later() -> None:
    asked = """
import gateway.app.run
import mcp
from mcp.server import Server
from mcp.client import Client
print(*(each for each in mcp.__all__ if not hasattr(mcp, each)))
print(mcp.Client is Client, Server.__module__, hasattr(mcp, "nonesuch"), mcp.types.Tool.__name__)
"""
    assert run(BEFORE + asked) == ["True", "mcp.server.lowlevel.server", "False", "Tool"]


def test_where_the_sdk_is_imported_nothing_is_put_off() -> None:
    assert run(f"import mcp\n{BEFORE}print('mcp.client.client' in sys.modules, '__getattr__' in vars(mcp))") == [
        "True",
        "False",
    ]
