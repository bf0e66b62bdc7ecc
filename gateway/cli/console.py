"""`wardgate console`: the link that signs a browser in to the console, once and within a minute."""

import sys
from collections.abc import Sequence

from gateway.cli.common import parser, print_json
from gateway.cli.talk import Unreachable, ask


def run(argv: Sequence[str]) -> int:
    """Print the link; exit codes 0, 1 there is no console here, 3 no gateway."""
    options = parser("console", __doc__)
    given = options.parse_args(argv)
    try:
        items = ask(given.config, "console")["items"]
    except Unreachable as problem:
        print(f"wardgate: {problem}", file=sys.stderr)
        return problem.code
    if given.json:
        print_json(items)
    else:
        print(items[0]["url"])
    return 0
