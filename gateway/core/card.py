"""What a person sees before deciding: one text for elicitation and terminal, made from the same data.

The headline comes from a template and the gateway's own line comes last; what the agent controls is bounded. No I/O
here.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import Approval, Shown
from gateway.core.record import stamp

VALUE_LIMIT = 600  # characters of one value before it is folded
TEXT_LIMIT = 6000  # characters of all arguments together
PREVIEW_LINES = 12
MOST_CARRIED = 12


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


def why(approval: Approval) -> str:
    """Why a call stopped, in words: the rule or the tier's default."""
    if approval.rule:
        return f"rule {approval.rule} ({approval.reason.value})"
    told = f"no rule allows it, and effect {approval.effect.value} asks"
    return (
        told if approval.shown.labelled else f"nobody said what this tool does, so it counts as {approval.effect.value}"
    )


def card(approval: Approval) -> str:
    """The whole card as plain text; the last line is the gateway's own.

    A row that was opened without more to show has just the lines of its call.
    """
    shown = approval.shown
    known = f" ({shown.known_by})" if shown.known_by else ""
    claims = f" (it calls itself {shown.claimed!r})" if shown.claimed else ""
    who = f"{approval.principal}{known} with {approval.client}{claims}, session {approval.session}"
    lines = (
        f"Allow `{visible(approval.exposed)}` once? Its effect: {approval.effect.value} (tier {approval.tier.value}).",
        f"Asked by: {visible(who)}",
        *([f"Acts as: {visible(shown.acts_as)}"] if shown.acts_as else []),
        f"Stopped because: {visible(why(approval))}{_places(shown)}",
        "Arguments:" if not approval.follows else "Arguments, as a person changed them:",
        *arguments_lines(approval),
        *_provenance(shown),
        *_preview(shown),
        f"Without an answer by {approval.expires_at:%H:%M} UTC it is not executed.",
        f"— Wardgate, approval {approval.id}. Nothing has been executed yet.",
    )
    return "\n".join(lines)


def _places(shown: Shown) -> str:
    return f", {visible(', '.join(shown.places))}" if shown.places else ""


def _provenance(shown: Shown) -> list[str]:
    """Which values stood in something that was read before: a fact, not a verdict."""
    found = [
        f"  {visible(str(one.get('argument')))}: stood in the output of {one.get('source')}" for one in shown.carried
    ]
    return ["Read before:", *found[:MOST_CARRIED]] if found else []


def _preview(shown: Shown) -> list[str]:
    if not shown.preview:
        return []
    tool = visible(shown.preview.get("tool", ""))
    if "text" not in shown.preview:
        return [f"No preview by `{tool}`: {shown.preview.get('why', '')}."]
    lines = shown.preview["text"].splitlines()
    told = [f"  | {visible(line)[:VALUE_LIMIT]}" for line in lines[:PREVIEW_LINES]]
    rest = [f"  | … {len(lines) - PREVIEW_LINES} more lines"] if len(lines) > PREVIEW_LINES else []
    return [f"What it would change, by `{tool}`:", *told, *rest]


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
