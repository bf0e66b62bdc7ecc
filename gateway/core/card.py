"""What a person sees before deciding: one text for elicitation and terminal, made from the same data.

The headline comes from a template and the gateway's own line comes last; what the agent controls is bounded. No I/O
here.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import Approval
from gateway.core.record import stamp

VALUE_LIMIT = 600  # characters of one value before it is folded
TEXT_LIMIT = 6000  # characters of all arguments together


def visible(text: str) -> str:
    """Show control, format and direction-changing characters as `\\u{..}`; line breaks and tabs as `\\n` and `\\t`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char == "\n":
        return "\\n"
    if char == "\t":
        return "\\t"
    category = unicodedata.category(char)
    hidden = category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or (category == "Zs" and char != " ")
    return f"\\u{{{ord(char):x}}}" if hidden else char


def value_line(name: str, value: Any) -> str:
    """One argument on one line: its name, its exact value with hidden characters visible, folded when it is long."""
    shown = visible(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    if len(shown) > VALUE_LIMIT:
        size = len(value) if isinstance(value, str) else len(canonical(value))
        shown = f"{shown[:VALUE_LIMIT]}… ({size} characters in all)"
    return f"  {visible(name)}: {shown}"


def arguments_lines(approval: Approval) -> tuple[str, ...]:
    """The arguments, a line each, in a fixed order, bounded in all."""
    lines: list[str] = []
    room = TEXT_LIMIT
    for name, value in sorted(approval.arguments.items()):
        line = value_line(name, value)
        room -= len(line)
        if room < 0:
            lines.append(f"  … {len(approval.arguments) - len(lines)} more")
            break
        lines.append(line)
    return tuple(lines) or ("  (no arguments)",)


def card(approval: Approval) -> str:
    """The whole card as plain text; the last line is the gateway's own."""
    who = f"{approval.principal} with {approval.client}, session {approval.session}"
    asks = f"no rule allows it, and effect {approval.effect.value} asks"
    why = f"rule {approval.rule} ({approval.reason.value})" if approval.rule else asks
    lines = (
        f"Allow `{visible(approval.exposed)}` once? Its effect: {approval.effect.value} (tier {approval.tier.value}).",
        f"Asked by: {visible(who)}",
        f"Stopped because: {visible(why)}",
        "Arguments:",
        *arguments_lines(approval),
        f"Without an answer by {approval.expires_at:%H:%M} UTC it is not executed.",
        f"— Wardgate, approval {approval.id}. Nothing has been executed yet.",
    )
    return "\n".join(lines)


def statement(approval: Approval, gateway: str, key: bytes) -> Mapping[str, str]:
    """What an approver answers for, exactly: the call, what was shown of it (keyed digest of the card), until when.

    It stands in the record of the approval; `approvals.md` names its parts.
    """
    return {
        "gateway": gateway,
        "approval": approval.id,
        "call": approval.call,
        "principal": approval.principal,
        "upstream": approval.upstream,
        "tool": approval.tool,
        "definition": approval.definition,
        "arguments_digest": approval.arguments_digest,
        "policy_revision": approval.policy_revision,
        "shown": keyed_digest(key, card(approval).encode()),
        "expires_at": stamp(approval.expires_at),
    }
