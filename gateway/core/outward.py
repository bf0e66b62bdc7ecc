"""Secrets in the arguments of calls that carry data out: what of them a decision is told. No I/O here.

A secret that stands in what is sent to somebody else is a leak of its own, whatever comes back.
"""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from gateway.core.model import Act, Effect, Finding, Grade, Surface, Tool

MOST = 8  # findings that a decision is told of
LEAVES = "it would send out "  # how the detail of a decision goes on where something would leave


def parted(detail: str) -> tuple[str, str]:
    """The detail of a decision without what would leave, and what would; empty where nothing is."""
    other, mark, leaves = detail.partition(LEAVES)
    return (other.removesuffix("; "), mark + leaves) if mark else (detail, "")


def excused(findings: Iterable[Finding], allowed: Callable[[str], bool]) -> tuple[Finding, ...]:
    """The findings, those that a person allowed by their fingerprint told as such; a secret of our own never is."""
    return tuple(
        replace(one, act=Act.ALLOWED) if not one.exact and allowed(one.fingerprint) else one for one in findings
    )


def spared(findings: Iterable[Finding]) -> bool:
    """Whether nothing was found but what a person allowed."""
    return all(one.act is Act.ALLOWED for one in findings)


def sends(tool: Tool | None) -> bool:
    """Whether a call of the tool hands its arguments to somebody outside: effect `egress`, or a read that fetches."""
    if tool is None or tool.surface is not Surface.TOOLS:
        return False
    return tool.effect is Effect.EGRESS or tool.labels.fetches


def leaving(tool: Tool | None, findings: Iterable[Finding]) -> tuple[str, ...]:
    """What would leave with a call, as `kind in arguments.place`; empty for a call that sends nothing outwards.

    Generic assignments don't count, for many are none, and neither does what a person allowed.
    """
    if not sends(tool):
        return ()
    weighty = (one for one in findings if one.grade is not Grade.GENERIC and one.act is not Act.ALLOWED)
    return tuple(dict.fromkeys(f"{one.kind} in arguments.{one.place}" for one in weighty))[:MOST]
