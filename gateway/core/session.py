"""Which session what is known of a call belongs to: its flow, and that it is raised. No I/O here.

A session without a trusted name of its own is all that its principal and client do, until that was idle.
"""

from datetime import timedelta

IDLE = timedelta(hours=12)  # after which a session without a name of its own begins anew

Key = tuple[str, str, str]  # principal, client, and the session's trusted name; empty: all that those two do


def key_of(principal: str, client: str, session: str) -> Key:
    """The session that a call belongs to: one with a trusted name, else all that a principal and client do."""
    return principal, client, session if session.startswith(f"{principal}/{client}/") else ""
