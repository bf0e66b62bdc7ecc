"""The card for a terminal: what `core/view.py` tells, laid out by rich. The gateway's own line comes last.

Text is never read as markup, and what is hidden in it was made visible before it came here. Imported only where a card
is drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.cli.answers import CHOICES, KEYS

FOLD = 240  # characters of a folded value that are shown
MOST_LINES = 12  # of a preview, folded
_CHANGES = {"changed": "changed", "new": "new here", "gone": "left out"}

View = Mapping[str, Any]


def draw(view: View, *, unfolded: bool = False, keys: bool = False) -> Group:
    """The whole card; with `keys` also what can be chosen, by key."""
    parts: list[RenderableType] = [_headline(view), _facts(view), _arguments(view, unfolded)]
    parts += _preview(view, unfolded)
    parts += _others(view)
    if keys:
        parts += [Text(), choices(view)]
    parts += [Text(), Text(_deadline(view)), Text(f"— {view['last_line']}", style="bold")]
    return Group(*parts)


def grid(columns: int = 2) -> Table:
    """A table without lines, in which what is too wide goes on below: nothing is ever cut off."""
    table = Table.grid(padding=(0, 2))
    for _ in range(columns):
        table.add_column(overflow="fold")
    return table


def choices(view: View) -> RenderableType:
    """What can be chosen on a card, by key."""
    if not view["choices"]:
        return Text(f"settled: {view['state']}" + (f" by {view['decided_by']}" if view["decided_by"] else ""))
    table = grid()
    for choice in view["choices"]:
        table.add_row(Text(KEYS[choice], style="bold"), Text(_choice(view, choice)))
    return table


def _choice(view: View, choice: str) -> str:
    words = CHOICES[choice]
    if choice == "pattern":
        words = f"this pattern, for a while: any {', '.join(view['free'])}, and the rest as it is"
    typed = choice in ("once", "arguments", "pattern", "session") and view["confirm"]
    return f"{words} (the tool's name is typed)" if typed else words


def _headline(view: View) -> RenderableType:
    edited = " A person changed the arguments." if view["edited"] else ""
    return Padding(Text(f"{view['headline']}{edited}", style="bold"), (0, 0, 1, 0))


def _facts(view: View) -> RenderableType:
    table = grid()
    for name, value in _told(view):
        table.add_row(Text(name, style="dim"), Text(value))
    return Padding(table, (0, 0, 1, 0))


def _told(view: View) -> Iterator[tuple[str, str]]:
    known = f" ({view['known_by']})" if view["known_by"] else ""
    claims = f", which calls itself {view['claimed']}" if view["claimed"] else ""
    yield "who", f"{view['who']}{known} with {view['client']}{claims}"
    yield "session", view["session"]
    yield "tool", f"{view['exposed']}: effect {view['effect']}, tier {view['tier']}"
    if view["owner"]:
        yield "owner", view["owner"]
    if view["acts_as"]:
        yield "acts as", view["acts_as"]
    yield "why", ", ".join((view["why"], *view["places"]))
    if not view["labelled"]:
        yield "label", f"nobody said what this tool does; proposed: {view['proposed']}"
    if view["definition_changed"]:
        yield "changed", "the tool's definition is not the one of the last approved call"
    for remark in view.get("remarks", ()):
        yield "tool says", remark
    yield "needs", _needs(view)
    yield "before", _history(view)


def _needs(view: View) -> str:
    who = f" of {', '.join(view['approve_by'])}" if view["approve_by"] else ""
    count = view["approvers_required"]
    return f"proof {view['proof_required']}, {count} approver{'s' if count > 1 else ''}{who}"


def _history(view: View) -> str:
    if not view["approved_before"] and not view["denied_before"]:
        return "never decided for this principal"
    by = f" by {', '.join(view['decided_by_before'])}" if view["decided_by_before"] else ""
    last = f", last {view['last_approved_at'][:16]}Z" if view["last_approved_at"] else ""
    return f"approved {view['approved_before']}, denied {view['denied_before']}{by}{last}"


def _arguments(view: View, unfolded: bool) -> RenderableType:
    if not view["arguments"]:
        return Text("no arguments")
    table = grid()
    for value in view["arguments"]:
        table.add_row(Text(value["name"], style="bold"), _value(value, unfolded))
    redacted = [Text("A secret was taken out for the card.")] if view["redacted"] else []
    return Group(table, *redacted)


def _value(value: View, unfolded: bool) -> Text:
    whole = value["text"] if value["change"] != "gone" else value["before"]
    folded = value["folded"] and not unfolded
    text = Text(f"{whole[:FOLD]}…" if folded else whole)
    notes = []
    if value["folded"]:
        notes.append(f"{value['length']} characters in all, sha256 {value['digest']}")
    if value["hidden"]:
        notes.append("has hidden characters, shown as \\u{..}")
    if value["change"] in _CHANGES:
        notes.append(_CHANGES[value["change"]])
    if value["sources"]:
        how = ", in look-alike letters, with hidden characters, or encoded" if value.get("disguised") else ""
        notes.append(f"stood in the output of {', '.join(value['sources'])}{how}")
    if notes:
        text.append(f"  [{'; '.join(notes)}]", style="bold" if value["hidden"] or value["sources"] else "italic")
    if value["change"] == "changed":
        text.append(f"\nbefore: {value['before'][:FOLD]}", style="dim")
    return text


def _preview(view: View, unfolded: bool) -> list[RenderableType]:
    shown = view["preview"]
    if not shown:
        return []
    if "text" not in shown:
        return [Text(f"\nno preview by {shown.get('tool', '')}: {shown.get('why', '')}")]
    lines = shown["text"].split("\n")
    kept = lines if unfolded else lines[:MOST_LINES]
    rest = [f"| … {len(lines) - len(kept)} more lines"] if len(lines) > len(kept) else []
    told = [f"\nwhat it would change, by {shown.get('tool', '')}:", *(f"| {line}" for line in kept), *rest]
    return [Text("\n".join(told))]


def _others(view: View) -> list[RenderableType]:
    also: Sequence[Mapping[str, str]] = view["also"]
    if not also:
        return []
    same = sum(bool(other["same"]) for other in also)
    told = [f"\nalso waiting in this session: {len(also)}{f', {same} with the same arguments' if same else ''}"]
    told += [f"  {other['id']}  {other['exposed']}" for other in also[:5]]
    return [Text("\n".join([*told, *(["  …"] if len(also) > 5 else [])]))]


def _deadline(view: View) -> str:
    left = view["seconds_left"]
    if view["state"] != "waiting":
        return f"{view['state']}: {view['note']}" if view["note"] else str(view["state"])
    return f"{left // 60}:{left % 60:02} left. {view['at_the_deadline']}"
