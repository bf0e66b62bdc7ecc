"""Bounded transports for JSON-RPC messages over file descriptors; the one package that may use asyncio.

Knows nothing of policies, upstreams or clients, and imports nothing here: the shim needs `journal` without the SDK.
"""
