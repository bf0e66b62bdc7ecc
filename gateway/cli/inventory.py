"""How the inventory is printed: as a table, as one tool on one screen, as findings, as comma-separated values.

What upstreams, clients and files say is shown with its hidden characters. Nothing is looked up here.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from textwrap import wrap
from typing import Any
from unicodedata import normalize

from gateway.cli.common import FINDINGS, aligned, columns, fail
from gateway.cli.options import hint
from gateway.core.inventory import ACCEPTED, Finding, Permission, Row, usually
from gateway.core.visible import visible

HEAD = ("tool", "effect", "may call", "used", "30 d", "owner", "mend")
ROW_HEAD = ("kind", "name", "owner", "review by", "what")
MEND = {"overdue": "review", "unlabelled": "label"}  # findings, in a word; those of the owner stand beside it
WORDS = {"allow-some": "some", "ask-unless-proven": "proven"}  # of who may call
SHORT = 12  # digits of a digest
LONGEST_OWNER = 12  # characters of one in the table
BESIDE = 16  # columns of a screen before what is said
FORMULA = frozenset("=+-@")  # with which a spreadsheet begins what it computes

Each = Permission | Row


def named(rows: Sequence[Each], name: str) -> list[Each]:
    """The tools of that name, as clients see it or as their upstream calls them; ends the command where none is."""
    known = {word: one for one in rows if isinstance(one, Permission) for word in _names(one)}
    found = [one for one in rows if isinstance(one, Permission) and name in _names(one)]
    if not found:
        fail(FINDINGS, f"unknown tool `{name}`{hint(name, known)}")
    return list(found)


def _names(one: Permission) -> tuple[str, ...]:
    return (one.tool.exposed_as, one.name, one.tool.ref.name)


def print_rows(rows: Sequence[Each], today: date, *, whole: bool, check: bool) -> None:
    """Print them as lines; `whole`: all about each, `check`: what is wrong alone."""
    if check:
        print("\n".join(_checked(rows)) or "nothing was found")
        return
    tools = [one for one in rows if isinstance(one, Permission)]
    others = [one for one in rows if isinstance(one, Row)]
    if whole:
        print("\n\n".join("\n".join(_screen(one, today)) for one in tools))
        return
    if tools:
        table = [HEAD, *(_cells(one, today) for one in tools)]
        told = any(cells[-1] for cells in table[1:])
        print(_aligned(table if told else [cells[:-1] for cells in table]))
    if others:
        print(("\n" if tools else "") + _aligned([ROW_HEAD, *map(_row_cells, others)]))
    if not rows:
        print("nothing fits")
    elif count := sum(bool(one.findings) for one in rows):
        print(f"\n{count} of {len(rows)} with findings: `wardgate tools --check`")


def print_notes(notes: Sequence[str]) -> None:
    """Say on standard error what is not known."""
    for note in notes:
        print(f"wardgate: {visible(note)}", file=sys.stderr)


def print_told(items: Sequence[Mapping[str, Any]]) -> None:
    """Print who was told of what is due."""
    if not items:
        print("nothing is due")
    for item in items:
        said = f"{'told' if item['told'] else 'not told'} of {item['count']}{item['why'] and ': '}{item['why']}"
        print(visible(f"{item['owner']}  {said}"))


def print_csv(rows: Sequence[Each]) -> None:
    """Print them as comma-separated values. No cell is computed: one that would be begins with a quote."""
    items = [one.item() for one in rows]
    names = list(dict.fromkeys(name for item in items for name in item))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([plain(item.get(name, "")) for name in names] for item in items)


def plain(value: Any) -> str:
    """A cell of comma-separated values."""
    match value:
        case Mapping():
            text = " ".join(f"{name}={word}" for name, word in value.items())
        case list():
            text = "; ".join(one["found"] if isinstance(one, dict) else str(one) for one in value)
        case _:
            text = str(value)
    shown = visible(text)
    begins = normalize("NFKC", shown.lstrip()[:1])  # some programs take a wide sign for the plain one
    return f"'{shown}" if begins in FORMULA else shown


def ago(at: str, today: date) -> str:
    """How long ago something was, in days."""
    if not at:
        return "never"
    days = (today - date.fromisoformat(at[:10])).days
    return "today" if days <= 0 else f"{days} d"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    return aligned([[visible(cell) for cell in row] for row in rows])


def _cells(one: Permission, today: date) -> tuple[str, ...]:
    owner = one.owners[0] or "nobody"
    owner = owner if len(owner) <= LONGEST_OWNER else f"{owner[: LONGEST_OWNER - 1]}…"
    return (
        one.name,
        one.tool.effect.value,
        _may(one.who),
        ago(one.use.last, today),
        str(one.use.calls),
        f"{owner} !" if any(found.what not in MEND for found in one.findings) else owner,
        ", ".join(_marks(one)),
    )


def _may(who: Mapping[str, str]) -> str:
    """What most clients may, and for how many it is otherwise."""
    usual, others = usually(who)
    return f"{WORDS.get(usual, usual)}{f' +{len(others)}' if others else ''}"


def _marks(one: Permission) -> Iterator[str]:
    if one.state != ACCEPTED:
        yield one.state
    yield from (MEND[found.what] for found in one.findings if found.what in MEND)


def _row_cells(one: Row) -> tuple[str, ...]:
    what = ", ".join(dict.fromkeys(found.what for found in one.findings))
    detail = f"{one.detail} ({what})" if what else one.detail
    return (one.kind, one.name, one.owner or "nobody", str(one.review_by or ""), detail)


def _checked(rows: Sequence[Each]) -> Iterator[str]:
    """Each finding once, with what it is of."""
    found: dict[Finding, list[str]] = {}
    for one in rows:
        for finding in one.findings:
            found.setdefault(finding, []).append(one.name if isinstance(one, Permission) else f"{one.kind} {one.name}")
    for finding, names in found.items():
        yield visible(f"{finding.what}: {finding.found}; {finding.do}")
        yield visible(f"    {', '.join(names)}")


def _screen(one: Permission, today: date) -> Iterator[str]:
    """All about one tool."""
    tool, owner = one.tool, one.tool.owner
    label = one.entry or "nobody labelled it: `wardgate tools --propose`"
    scopes = f", scopes {', '.join(one.scopes)}" if one.scopes else ""
    both = owner is not None and owner.technical != owner.business
    technical = f" (business), {owner.technical} (technical)" if owner is not None and both else ""
    changed = f", changed {ago(one.changed_at, today)}" if one.changed_at else ""
    held = f" ({tool.held})" if tool.held else ""
    yield visible(f"{one.name}, which clients see as {tool.exposed_as}")
    rows = [
        ("effect", f"{tool.effect.value}, tier {tool.tier.value}; {label}"),
        ("owner", f"{one.owners[0] or 'nobody'}{technical}"),
        ("acts as", f"{tool.acts_as or 'nobody said'}{scopes}"),
        *(("who may call" if first else "", f"{client}: {word}") for first, client, word in _who(one)),
        ("state", f"{one.state}{held}, {tool.digest[:SHORT] or 'never seen'}{changed}"),
        ("used", f"{ago(one.use.last, today)}{f' ({one.use.last})' if one.use.last else ''}"),
        ("in 30 days", f"{one.use.calls} calls, {one.use.approvals} approvals"),
        ("unused", f"for {one.unused} days"),
        ("review by", str(one.review_by or "no day was set")),
        *(("finding", f"{found.found}; {found.do}") for found in one.findings),
    ]
    width = (columns() or sys.maxsize) - BESIDE
    for name, text in rows:
        for place, line in enumerate(wrap(visible(text), max(width, BESIDE), break_on_hyphens=False)):
            yield f"  {'' if place else name:<{BESIDE - 2}}{line}"


def _who(one: Permission) -> Iterator[tuple[bool, str, str]]:
    for place, (client, word) in enumerate(one.who.items()):
        yield place == 0, client, word
