"""`wardgate sessions`: who is or was connected since the gateway started, and what they did."""

import sys
from collections.abc import Sequence

from gateway.cli.common import parser, print_json
from gateway.cli.talk import Unreachable, ask


def run(argv: Sequence[str]) -> int:
    """List the sessions that the monitor has seen; exit codes 0 and 3 (no gateway)."""
    given = parser("sessions", __doc__).parse_args(argv)
    try:
        items = ask(given.config, "sessions")["items"]
    except Unreachable as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return problem.code
    if given.json:
        print_json(items)
        return 0
    if not items:
        print("no session yet")
    for row in items:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(row["outcomes"].items()))
        who = f"{row['session']}  {row['principal']}  {row['client']}"
        print(f"{who}  {row['calls']} calls ({counts})  last {row['last_at']}")
    return 0
