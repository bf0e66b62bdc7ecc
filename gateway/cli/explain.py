"""`wardgate explain ID`: one screen on why a call ended as it did, from the record."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, columns, fail, parser, print_json, state_dir
from gateway.core.told import Telling

WIDTH, LABEL = 100, 12  # columns of the screen at most, and of the labels on its left


def run(argv: Sequence[str]) -> int:
    """Tell all that is known of one call, or record; exit codes 0, 1 unknown or ambiguous id, 2 usage, 3 no record."""
    options = parser("explain", __doc__)
    options.add_argument(
        "id", help="a call's (d_...), approval's (a_...) or record's (l_...) id, or 4 characters or more of it"
    )
    options.add_argument(
        "--as", dest="seen_as", default="", metavar="PRINCIPAL", help="see what that principal may see"
    )
    given = options.parse_args(argv)
    state = state_dir(given.config)

    from gateway.errors import StateError  # imported late: wrong options need none of it

    try:
        told = _look(state, given.config, given.id, given.seen_as)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    if given.json:
        from gateway.core.told import item
        from gateway.reading import Row, log_item

        records = [log_item(Row(*row)) for row in told.rows]
        print_json([{**log_item(Row(*told.main)), "records": records, **item(told)}])
    else:
        print("\n".join(screen(told)))
    return FINE


def _look(state: Path, config: str | None, id: str, seen_as: str) -> Telling:
    """What is told of the one id that begins so; ends the command where it isn't one, or isn't this viewer's to see."""
    from gateway.core.visible import visible  # imported late, as above
    from gateway.place import config_file
    from gateway.reading import reading, viewer_in
    from gateway.telling import find, tell

    shown = visible(id)
    with reading(state) as db:
        viewer = viewer_in(config_file(config, os.environ), state, seen_as)
        found = find(db, id, viewer)
        if len(found) > 1:
            fail(FINDINGS, f"`{shown}` is the beginning of several ids: give more of it")
        told = tell(db, found[0], viewer, datetime.now(UTC)) if found else None
        if told is None:
            from gateway.cli.completion import near

            hint = near("explain id", id, config) if viewer.auditor else ""  # whoever isn't hears of no other id
            fail(FINDINGS, f"unknown id `{shown}`{hint}")
        return told


def screen(told: Telling) -> list[str]:
    """The lines for people: labels on the left, long lines broken and set under their beginning."""
    from textwrap import wrap  # imported late: `--json` does without

    from gateway.core.explain import headline, sections

    width = min(WIDTH, columns() or WIDTH)
    lines = wrap(headline(told), width, subsequent_indent=" " * (LABEL + 4))  # where no label can be feigned
    for label, texts in sections(told):
        broken = [part for text in texts for part in wrap(text, width - LABEL - 2, subsequent_indent="  ")]
        lines += [f"  {label if not at else '':<{LABEL}}{part}" for at, part in enumerate(broken)]
    return lines
