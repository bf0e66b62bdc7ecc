"""The clients' own files: what servers they name, and how the gateway is put there and taken out again.

No server is started here, and no client is run; light, for commands: neither the SDK nor the condition language.
"""

from gateway.clients.kept import Connection, connected_files, connections
from gateway.clients.read import ClientFile, Server, elsewhere, files, read, servers
from gateway.clients.secrets import written_secrets

__all__ = [
    "ClientFile",
    "Connection",
    "Server",
    "connected_files",
    "connections",
    "elsewhere",
    "files",
    "read",
    "servers",
    "written_secrets",
]
