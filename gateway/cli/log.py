"""`wardgate log`: the record, newest first."""

from collections.abc import Sequence

from gateway.cli.common import FINE, UNREACHABLE, aligned, fail, parser, print_json, state_dir


def run(argv: Sequence[str]) -> int:
    """Print one page of the record; exit codes 0, 2 wrong options, 3 no record."""
    options = parser("log", __doc__)
    options.add_argument("--limit", type=int, default=50, metavar="N", help="rows at most (50; 1,000 is the most)")
    options.add_argument("--after", type=int, metavar="CURSOR", help="go on after a page: what its `next` said")
    for name in ("kind", "session", "tool", "upstream", "verdict", "outcome"):
        options.add_argument(f"--{name}", metavar=name.upper(), help=f"only rows with this {name}")
    given = options.parse_args(argv)
    if given.limit < 1:
        options.error(f"--limit: expected 1 or more, found `{given.limit}`")
    state = state_dir(given.config)

    from gateway.core.card import visible  # imported late: wrong options need none of it
    from gateway.core.query import FILTERS, Query
    from gateway.errors import StateError
    from gateway.reading import log_item, newest, reading

    filters = {name: getattr(given, name) for name in FILTERS if getattr(given, name, None)}
    try:
        with reading(state) as db:
            rows = newest(db, Query(filters, before=given.after, limit=given.limit))
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    if given.json:
        more = str(rows[-1].seq) if rows and rows[-1].seq > 1 else None
        print_json([log_item(row) for row in rows], more)
        return FINE
    lines = []
    for seq, record in rows:
        where = f"{record.upstream}/{record.tool}" if record.tool else record.kind.value
        ended = record.outcome or str(record.extra.get("state", ""))
        at = f"{record.at:%Y-%m-%d %H:%M:%S}"
        cells = (str(seq), at, record.kind.value, record.id, record.client, where, record.verdict, ended, record.reason)
        lines.append([visible(cell) or "-" for cell in cells])
    print(aligned(lines) or "nothing is on the record that fits")
    return FINE
