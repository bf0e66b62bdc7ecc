"""How far the caller of a call was from the gateway: what the record of the call says its approval holds against.

Pure: what is known of the connection is handed in. What can't be told counts as the lesser level.
"""

from collections.abc import Mapping
from enum import IntEnum


class Isolation(IntEnum):
    """The levels of `approvals.md`, weakest first."""

    SAME_USER = 0
    PRESENCE = 1
    OWN_USER = 2
    CONFINED = 3
    ELSEWHERE = 4


ROOT = 0  # the uid that may do everything here, whoever the gateway is


def between(caller: int | None, gateway: int, *, loopback: bool) -> Isolation:
    """The level of a connection: `caller` is the uid of the process at its other end, None where nobody can tell, and
    `loopback` says that it is on this machine.

    Another machine can't be told from a container on this one: ELSEWHERE is never claimed.
    """
    if not loopback:
        return Isolation.CONFINED
    if caller is None or caller in (gateway, ROOT):
        return Isolation.SAME_USER
    return Isolation.OWN_USER


def of_call(connection: int, *, presence: bool) -> int:
    """The level of a call: one that somebody approved by touching a key is above what any process could approve."""
    return max(connection, Isolation.PRESENCE) if presence else connection


MEANS: Mapping[Isolation, tuple[str, str]] = {
    Isolation.SAME_USER: (
        "the caller runs as the user of the gateway",
        "what an agent does through its tools; not one that has a shell, which can go round the gateway altogether",
    ),
    Isolation.PRESENCE: (
        "the caller runs as the user of the gateway, and somebody touched a key to approve",
        "approvals that a process of the same user makes up; not a call that goes round the gateway",
    ),
    Isolation.OWN_USER: (
        "the gateway runs as a user of its own",
        "reading or changing its files, and speaking on its control socket; not what the caller may reach by itself",
    ),
    Isolation.CONFINED: (
        "the caller is in a container, or on another machine: which of the two can't be told",
        "the same, and whatever its confinement keeps it from reaching by itself",
    ),
    Isolation.ELSEWHERE: (
        "the caller is on another machine",
        "the same, without anything shared but the network",
    ),
}
"""For people, in the console and by `doctor`: what a level is, and what it holds against."""
