"""`wardgate verify`: check from the file alone that the record is whole and unchanged."""

from collections.abc import Sequence

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, parser, print_json, state_dir


def run(argv: Sequence[str]) -> int:
    """Walk the record; exit codes 0 all is well, 1 something is wrong with it, 3 there is no record."""
    given = parser("verify", __doc__).parse_args(argv)
    state = state_dir(given.config)

    from gateway.errors import StateError  # imported late: wrong options need none of it
    from gateway.reading import verify_folder

    try:
        found = verify_folder(state)
    except StateError as problem:
        fail(UNREACHABLE, str(problem))
    if given.json:
        told = {"ok": found.ok, "size": found.size, "root": found.root}
        print_json([{**told, "first_bad": found.first_bad, "detail": found.detail}])
    elif found.ok:
        print(f"the record is whole: {found.size} rows, root {found.root}")
    else:
        where = f"row {found.first_bad}: " if found.first_bad is not None else ""
        print(f"the record is NOT whole: {where}{found.detail}")
    return FINE if found.ok else FINDINGS
