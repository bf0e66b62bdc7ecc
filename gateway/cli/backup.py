"""`wardgate backup FOLDER`: a copy of the record as it is at one moment, of a running gateway or a stopped one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, parser, print_json, state_dir
from gateway.cli.progress import progress

KEYS = "it holds the keys: whoever has it can sign checkpoints as this gateway, and find values by trying them"


def run(argv: Sequence[str]) -> int:
    """Copy, verify the copy, say what it is; exit codes 0, 1 not whole or not written, 2 wrong options, 3 no record."""
    options = parser("backup", __doc__)
    options.add_argument("folder", metavar="FOLDER", help="where to make the copy; nothing may be there yet")
    options.add_argument("--keys", action="store_true", help="copy the keys too, and keep the copy as you keep keys")
    given = options.parse_args(argv)
    state = state_dir(given.config)

    from gateway.backup import back_up  # imported late: wrong options need none of it
    from gateway.errors import StateError, UnreadableError

    target = Path(os.path.abspath(Path(given.folder).expanduser()))  # noqa: PTH100 - links are not to be followed
    try:
        with progress("copying the record, and verifying the copy", given.json):
            found, keys = back_up(state, target, keys=given.keys)
    except StateError as problem:
        fail(UNREACHABLE if isinstance(problem, UnreadableError) else FINDINGS, str(problem))
    except OSError as problem:
        fail(FINDINGS, f"`{target}` can't be made: {problem.strerror or problem}")
    if given.json:
        told = {"ok": found.ok, "size": found.size, "root": found.root, "first_bad": found.first_bad}
        print_json([{"folder": str(target), **told, "detail": found.detail, "keys": keys}])
    elif found.ok:
        print(f"the copy is whole: {found.size} rows, root {found.root}, in {target}")
    else:
        print(f"the copy is NOT whole, as the record isn't: {found.detail}; it is in {target}")
    if keys:
        print(f"wardgate: {KEYS}", file=sys.stderr)
    return FINE if found.ok else FINDINGS
