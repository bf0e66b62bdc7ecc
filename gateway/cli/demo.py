"""`wardgate demo`: the main job on embedded upstreams, played and checked in under a minute."""

from collections.abc import Sequence

HELP = """usage: wardgate demo

Plays a read that flows, a write that asks, a secret that is redacted, a hijack that is stopped, and shows the record.
Works in a temporary folder and leaves nothing behind; exits 0 only if all of it really happened."""


def run(argv: Sequence[str]) -> int:
    """Play the demo; exit codes 0 all of it happened, 1 something did not, 2 usage."""
    if argv:
        print(HELP)
        return 0 if argv[0] in ("--help", "-h") else 2
    from gateway.demo.play import play

    return play()
