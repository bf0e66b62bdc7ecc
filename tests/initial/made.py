"""Servers as clients' files name them, for the tests of this room."""

import random
import string
from pathlib import Path
from typing import Any

from gateway.clients import Server

FILE = Path("/home/ada/.client.json")
PROJECT = "/home/ada/repo"
HOME = {"HOME": "/home/ada", "PATH": "/usr/bin:/bin"}


def a_server(name: str = "files", **more: Any) -> Server:
    """A server of a user's own file."""
    client, scope = more.pop("client", "claude-code"), more.pop("scope", "user")
    if "url" not in more:
        more.setdefault("command", "npx")
    else:
        more.setdefault("transport", "http")
    return Server(client, scope, FILE, name, **more)


def a_token(seed: int = 1) -> str:
    """A token as a vendor makes them, made up here and now."""
    source = random.Random(seed)
    return "".join(("ghp", "_", *(source.choice(string.ascii_letters + string.digits) for _ in range(36))))
