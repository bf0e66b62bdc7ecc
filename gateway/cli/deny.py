"""`wardgate deny ID --reason TEXT`: deny one waiting call; the model reads the reason."""

from collections.abc import Sequence

from gateway.cli.decide import vote


def run(argv: Sequence[str]) -> int:
    """Deny; see `decide.vote` for the exit codes."""
    return vote(argv, approve=False)
