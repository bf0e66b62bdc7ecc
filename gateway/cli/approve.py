"""`wardgate approve ID`: approve one waiting call with proof `local`."""

from collections.abc import Sequence

from gateway.cli.decide import vote


def run(argv: Sequence[str]) -> int:
    """Approve; see `decide.vote` for the exit codes."""
    return vote(argv, approve=True)
