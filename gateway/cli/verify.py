"""`wardgate verify`: check from the file alone that the record is whole and unchanged."""

from collections.abc import Sequence
from pathlib import Path

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, parser, print_json, state_dir
from gateway.cli.progress import progress


def run(argv: Sequence[str]) -> int:
    """Walk the record; exit codes 0 all is well, 1 something is wrong with it, 3 there is no record."""
    options = parser("verify", __doc__)
    options.add_argument("--against", metavar="FILE", help="checkpoints that were kept elsewhere, one or several")
    options.add_argument("--key", default="", metavar="VKEY", help="the key to trust, instead of the state folder's")
    options.add_argument(
        "--state", metavar="FOLDER", help="a state folder or a copy of one, instead of the configured one"
    )
    given = options.parse_args(argv)
    state = Path(given.state) if given.state else state_dir(given.config)

    from gateway.errors import StateError  # imported late: wrong options need none of it
    from gateway.verifying import verify_folder

    try:
        against = Path(given.against).read_text(encoding="utf-8") if given.against else ""
        with progress("verifying the record", given.json):
            found = verify_folder(state, against, given.key)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    except OSError as problem:
        fail(FINDINGS, f"`{given.against}` can't be read: {problem.strerror}")
    except ValueError as problem:
        fail(FINDINGS, f"the checkpoints can't be used: {problem}")
    if given.json:
        told = {"ok": found.ok, "size": found.size, "root": found.root}
        holds = {} if found.ok else {"holds": found.holds}
        print_json([{**told, "first_bad": found.first_bad, "detail": found.detail, **holds}])
    elif found.ok:
        print(f"the record is whole: {found.size} rows, root {found.root}")
    else:
        where = f"row {found.first_bad}: " if found.first_bad is not None else ""
        print(f"the record is NOT whole: {where}{found.detail}")
        if found.holds:
            print(f"what still holds: {found.holds}")
    return FINE if found.ok else FINDINGS
