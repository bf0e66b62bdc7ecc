"""`wardgate doctor`: how far you are from the gateway, its upstreams, and the keys of approvers. It only looks."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gateway.cli.common import FINDINGS, FINE, aligned, parser, print_json, state_dir
from gateway.cli.talk import Unreachable, ask


class Finding(NamedTuple):
    """One thing that was looked at; `severity` is note or warning."""

    what: str
    where: str
    found: str
    do: str
    severity: str = "note"


def run(argv: Sequence[str]) -> int:
    """Tell what is so; exit codes 0, 1 something is wrong or the configuration can't be read, 2 usage.

    A gateway that doesn't run is nothing wrong: clients start it.
    """
    given = parser("doctor", __doc__).parse_args(argv)
    found = list(_look(given.config, state_dir(given.config)))
    if given.json:
        print_json([each._asdict() for each in found])
    else:
        from gateway.core.card import visible

        print(aligned([[visible(cell) for cell in (each.severity, each.what, each.found)] for each in found]))
        for each in found:
            if each.do:
                print(f"\n{visible(each.what)}: {visible(each.do)}")
    return FINDINGS if any(each.severity == "warning" for each in found) else FINE


def _look(config: str | None, state: Path) -> Iterator[Finding]:
    yield _isolation(state)
    try:
        status, keys = ask(config, "status"), ask(config, "keys")["items"]
    except Unreachable as problem:
        told = "a client starts it, or `wardgate serve` does; without one upstreams and keys are not looked at"
        yield Finding("gateway", str(state), str(problem), told)
        return
    yield Finding("gateway", str(state), f"version {status['version']} runs", "")
    for row in status["items"]:
        detail = f": {row['detail']}" if row["detail"] else ""
        ready = row["state"] == "ready"
        do = "" if ready else "its calls are refused as `upstream-down` until it is there"
        found = f"{row['state']}{detail}"
        yield Finding(f"upstream {row['upstream']}", "upstreams.toml", found, do, "note" if ready else "warning")
        less = [part for part in row["coverage"] if part["sight"] != "screened" and part["names"]]
        yield Finding(f"screening {row['upstream']}", "policies", row["screened"], "; ".join(map(_less, less)))
    yield from _policy(status.get("policy", {}))
    for name, why in status.get("left_out", {}).items():
        do = "honest texts hold such a value, so none is searched for: give it a stronger one"
        yield Finding(f"secret {name}", "upstreams.toml", f"{why}: it is not looked for", do)
    yield from map(_key, keys)


def _policy(policy: Mapping[str, Any]) -> Iterator[Finding]:
    """Which policy counts, and what does not count of the files that stand there now."""
    if not policy:  # an older gateway says nothing of it
        return
    accepted = f"{policy.get('accepted_how', '')}, by {policy.get('accepted_by', '')}"
    yield Finding("policy", "policies", f"revision {policy.get('revision', '')[:12]}: {accepted}", "")
    for held in policy.get("held", ()):
        do = f"the last accepted text goes on; `{held['do']}` lets this one count"
        yield Finding(f"{held['what']} held", "policies", "; ".join(held["differences"]), do, "warning")
    if policy.get("refused"):
        do = "the last good one goes on: mend the file; `wardgate check` lists everything that is wrong"
        yield Finding("policy refused", "policies", policy["refused"], do, "warning")
    if policy.get("restart"):
        yield Finding("restart", "upstreams.toml", "it changed", "start the gateway anew to let it count", "warning")


def _less(part: Mapping[str, Any]) -> str:
    """What of an upstream is screened less than all, and which of its tools that concerns."""
    names = ", ".join(f"`{name}`" for name in part["names"])
    more = f" and {part['more']} more" if part["more"] else ""
    return f"{names}{more}: {part['note']}"


def _isolation(state: Path) -> Finding:
    """How far whoever runs this is from the gateway of a state folder: by whose that folder is."""
    from gateway.core.isolation import MEANS, Isolation, between

    try:
        owner = state.stat().st_uid
    except FileNotFoundError:
        owner = os.getuid()  # whoever starts the gateway makes the folder
    level = between(os.getuid(), owner, loopback=True)
    means, against = MEANS[level]
    touched = f"; {Isolation.PRESENCE.value} for a call that is approved by signature" * (level < Isolation.PRESENCE)
    return Finding("isolation", str(state), f"level {level.value}: {means}{touched}", f"it holds against {against}")


def _key(item: Mapping[str, Any]) -> Finding:
    """One key that an approver signs with."""
    what = f"key of {item['name']}"
    if item["attended"]:
        return Finding(what, item["id"], f"{item['kind']} {item['id']}, signs with somebody there", "")
    do = "what it signs weighs as proof `local`: give it a passphrase or take one that is touched, and add it anew"
    return Finding(what, item["id"], f"{item['kind']} {item['id']}, signs with nobody there", do, "warning")
