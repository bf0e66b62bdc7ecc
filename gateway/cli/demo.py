"""`wardgate demo`: the main job on embedded upstreams, played and checked in under a minute.

Plays a read that flows, a write that asks, a secret that is redacted, a hijack that is stopped, and shows the record.
It works in a temporary folder with a configuration of its own, and leaves nothing behind.
"""

from collections.abc import Sequence

from gateway.cli.common import parser, print_json


def run(argv: Sequence[str]) -> int:
    """Play the demo; exit codes 0 all of it happened, 1 something did not, 2 usage. With `--json` the story is told on
    standard error, and which scenes happened on standard output.
    """
    given = parser("demo", __doc__).parse_args(argv)
    from gateway.demo.play import SCENES, play

    happened = play(aside=given.json)
    if given.json:
        print_json([{"scene": scene, "happened": scene in happened} for scene in SCENES])
    return 0 if len(happened) == len(SCENES) else 1
