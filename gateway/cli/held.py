"""What `wardgate accept policy@DIGEST` does: ask the running gateway, or where none runs, let the next one take it."""

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, print_json
from gateway.cli.talk import Unreachable, ask

if TYPE_CHECKING:
    from gateway.acceptance import Held

Item = Mapping[str, Any]


def accept_policy(given: Namespace, digest: str) -> int:
    """Accept a policy, or an upstreams.toml, that is held; without a digest what is held is shown. Exit codes 0, 1 it
    was not accepted, 3 a state folder or record that can't be used.
    """
    try:
        shown = ask(given.config, "accept-policy", digest=digest, look=True)["items"]
        accepted = ask(given.config, "accept-policy", digest=digest)["items"] if digest else []
    except Unreachable as problem:
        if problem.code != UNREACHABLE:
            fail(problem.code, str(problem))
        return _alone(given, digest)
    if given.json:
        print_json(accepted or shown)
    else:
        for item in shown:
            _show(item["digest"], item["differences"])
        print(_said(accepted) if accepted else _hint(shown))
    return FINE if accepted else FINDINGS


def _alone(given: Namespace, digest: str) -> int:
    """No gateway runs: the store is opened as one would, and what the next start will take is written into it."""
    import anyio

    from gateway.acceptance import accept_alone
    from gateway.errors import ConfigurationError, GatewayError, LockedError

    os.umask(0o077)

    def agree(held: "Held") -> bool:
        if not given.json:
            _show(held.digest, held.told)
        return True

    try:
        whole = anyio.run(accept_alone, Path(given.config) if given.config else None, digest, agree)
    except ConfigurationError as problem:
        fail(FINDINGS, str(problem))
    except LockedError as problem:
        fail(UNREACHABLE, f"{problem}, and doesn't answer: it is starting, ending or stuck. Try again, or end it")
    except GatewayError as problem:
        fail(UNREACHABLE, str(problem))
    if given.json:
        print_json([{"what": "policy", "digest": whole, "restart": True}])
    else:
        print(f"accepted: policy@{whole}")
        print("wardgate: no gateway runs; the next one starts with this", file=sys.stderr)
    return FINE


def _show(digest: str, differences: Sequence[str]) -> None:
    from gateway.core.visible import visible

    print(f"policy@{digest}")
    for line in differences or ("it is not known how it differs from what was accepted last",):
        print(f"  {visible(line)}")


def _said(accepted: Sequence[Item]) -> str:
    later = " (it counts from the next start on)"
    return "\n".join(f"accepted: policy@{item['digest']}{later if item['restart'] else ''}" for item in accepted)


def _hint(shown: Sequence[Item]) -> str:
    if not shown:
        return "no policy is held"
    return "nothing was accepted: `wardgate accept policy@DIGEST` does, with the digest that stands here"
