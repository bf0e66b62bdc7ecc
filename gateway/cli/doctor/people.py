"""People: keys that they sign with, how they are told, and how far whoever runs this is from the gateway."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.cli.doctor.case import Case
from gateway.cli.doctor.finding import Finding, Group, Line, warning
from gateway.errors import ConfigurationError, StateError

TRIAL = 10.0  # seconds that apprise gets to look at one address


def keys(case: Case) -> Iterator[Finding]:
    """The keys of approvers: those that sign with nobody there prove little."""
    for item in _keys(case):
        of, found = f"of {item['name']}", f"{item['kind']} {item['id']}, signs with "
        if item["attended"]:
            yield Finding(Line.KEY, f"{found}somebody there", of, item["id"])
        else:
            do = "what it signs weighs as `local`: give it a passphrase or take one that is touched, and add it anew"
            yield warning(Line.KEY, f"{found}nobody there", f"{do}: `wardgate approver add`", of, item["id"])


def _keys(case: Case) -> Sequence[Mapping[str, Any]]:
    """The keys, by the gateway that runs, or by the store of one that doesn't."""
    if case.running:
        from gateway.cli.talk import Unreachable, ask

        try:
            return tuple(ask(case.config, "keys")["items"])
        except Unreachable:
            return ()
    from gateway.reading import reading

    if case.state is None:
        return ()
    try:
        with reading(case.state) as db:
            found = db.execute("SELECT id, name, kind, attended FROM approver_key ORDER BY name, id").fetchall()
    except (StateError, OSError):
        return ()
    return tuple(dict(zip(("id", "name", "kind", "attended"), row, strict=True)) for row in found)


def notices(case: Case) -> Iterator[Finding]:
    """Whether anybody is told of what waits."""
    if case.settings is None:
        return
    notify, where = case.settings.notify, "upstreams.toml"
    if notify.desktop and not _desktop(case):
        do = "install `notify-send` (libnotify), or say `desktop = false` in `[notify]`"
        told = (
            "nobody is told of what waits, unless a console is open" if not notify.to else "the targets are told alone"
        )
        yield Finding(Line.NOTICES, f"no desktop can be reached: {told}", where=where, do=do)
    elif notify.desktop:
        yield Finding(Line.NOTICES, "the desktop can be reached", where=where)
    elif not notify.to:
        do = "name a target in `[notify] to`, or keep a console or `wardgate approvals watch` open"
        yield Finding(
            Line.NOTICES, "nobody is told of what waits: there is no desktop and no target", where=where, do=do
        )
    for key, targets in (("to", notify.to), ("second", notify.second)):
        for place, target in enumerate(targets, 1):
            if problem := _refused(case, target):
                do = "pip install 'wardgate[notify]'" if "needs the extra" in problem else f"mend `{key}` in `[notify]`"
                yield warning(Line.NOTICES, problem, do, f"{key}[{place}]", where)


def _desktop(case: Case) -> bool:
    """Whether a desktop can be told something: by the gateway, whose environment counts, or else from here."""
    if case.status is not None and "desktop" in case.status:
        return bool(case.status["desktop"])
    from gateway.notices.desktop import find_desktop  # more than the rest of this command

    return find_desktop(case.environ, case.platform) is not None


def _refused(case: Case, target: str) -> str:
    """Why a target can't be told anything, as far as that shows without telling it something; else an empty text."""
    from importlib.util import find_spec

    from gateway.config.references import resolve, split_reference

    assert case.settings is not None
    scheme = split_reference(target)[0]
    if find_spec("apprise") is None:
        return "it needs the extra `notify`"
    if scheme == "cmd" or (scheme == "env" and case.running):
        return ""  # no program is run here, and the variables are the gateway's
    try:
        address = resolve(target, case.settings.root, case.environ)
    except ConfigurationError:
        return ""  # told with the references
    from gateway import notices as room

    program = os.path.join(os.path.dirname(room.__file__), "send.py")  # noqa: PTH118, PTH120 - text throughout
    try:
        done = subprocess.run(
            [sys.executable, "-I", program],
            input=json.dumps({"address": address}).encode(),
            capture_output=True,
            timeout=TRIAL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "apprise took too long to look at it"
    return done.stdout.decode("utf-8", "replace")[:200]


def isolation(case: Case) -> Iterator[Finding]:
    """How far whoever runs this is from the gateway: by whose the state folder is."""
    from gateway.core.isolation import MEANS, Isolation, between

    if case.state is None:
        return
    try:
        owner = case.state.stat().st_uid
    except FileNotFoundError:
        owner = os.getuid()  # whoever starts the gateway makes the folder
    except PermissionError:
        yield Finding(Line.ISOLATION, "can't be told: the state folder may not be looked at", where=str(case.state))
        return
    level = between(os.getuid(), owner, loopback=True)
    means, against = MEANS[level]
    touched = f"; {Isolation.PRESENCE.value} for a call that is approved by signature" * (level < Isolation.PRESENCE)
    found = f"level {level.value}: {means}{touched}"
    yield Finding(Line.ISOLATION, found, where=str(case.state), do=f"it holds against {against}")


GROUP = Group("people", (keys, notices, isolation))
