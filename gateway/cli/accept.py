"""`wardgate accept NAME@DIGEST`: accept one held thing exactly as it was shown; without a digest it is shown.

NAME is a tool or prompt as clients see it, a resource template, an upstream (what is run, or its instructions), or
`policy` for a policy that is held.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

from gateway.cli.common import FINDINGS, FINE, fail, parser, print_json
from gateway.cli.confirm import typed
from gateway.cli.conversing import Answer, Request, converse
from gateway.cli.lock import print_items
from gateway.cli.talk import Unreachable, with_near

ALL = 10_000  # lines of a difference


def run(argv: Sequence[str]) -> int:
    """Accept or show; exit codes 0, 1 it was not accepted, or is another one now, 2 usage, 3 no state folder or record
    that can be used.
    """
    options = parser("accept", __doc__)
    options.add_argument("name", metavar="NAME@DIGEST", help="what, and at least 8 digits of the digest that was shown")
    options.add_argument("--yes", action="store_true", help="accept a NAME without a digest as it is now")
    given = options.parse_args(argv)
    name, digest = _parted(given.name)
    try:
        if name == "policy":
            from gateway.cli.held import accept_policy  # imported late: tools are accepted more often

            return accept_policy(given, digest)
        return _accept(given, name, digest)
    except Unreachable as problem:
        fail(problem.code, with_near(problem, "accept name", name, given.config))


def _parted(text: str) -> tuple[str, str]:
    """Name and digest; a template may hold an `@` of its own."""
    name, _, digest = text.rpartition("@")
    return (
        (name, digest.lower()) if name and digest and not set(digest.lower()) - set("0123456789abcdef") else (text, "")
    )


def _accept(given: Namespace, name: str, digest: str) -> int:
    def then(shown: Answer) -> Request | None:
        items = shown["items"]
        if not given.json:
            print_items(items, ALL)
        if digest:
            return {"op": "accept", "name": name, "digest": digest}
        if len(items) == 1 and (given.yes or _agreed(name)):
            return {"op": "accept", "name": name, "digest": items[0]["digest"]}
        if given.json:
            print_json(items)
        return None

    settled = converse(
        given.config, {"op": "accept", "name": name, "digest": digest, "look": True}, then, quiet=given.json
    )
    if settled is None:
        if not given.json:
            print("nothing was accepted: `wardgate accept NAME@DIGEST` does, with the digest that stands here")
        return FINDINGS
    if given.json:
        print_json(settled["items"])
    else:
        print("\n".join(f"accepted: {item['accept']}" for item in settled["items"]))
    return FINE


def _agreed(name: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return typed(f"Accept `{name}`, exactly as shown?")
