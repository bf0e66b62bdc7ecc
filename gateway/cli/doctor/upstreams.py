"""The upstreams: whether each is there, what it offers, who answers for it, and the sandbox. Says nothing without a
gateway that runs, or was opened to look, but what the configuration tells.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.cli.doctor.case import Case
from gateway.cli.doctor.finding import Finding, Group, Line, Severity, warning

TRIAL = 5.0  # seconds that bwrap gets to do nothing
SLOW = 10.0  # seconds of a start after which it is told that many clients don't wait for it


def states(case: Case) -> Iterator[Finding]:
    """Whether each one started, in which era, with how many tools, and how long that took."""
    for row in _rows(case):
        name, detail = row["upstream"], f": {row['detail']}" if row["detail"] else ""
        if row["state"] != "ready":
            do = f"mend what `[upstreams.{name}]` runs or reaches: its calls are refused as `upstream-down` until then"
            yield warning(Line.UPSTREAM, f"{row['state']}{detail}", do, name, "upstreams.toml")
            continue
        parts = [f"{row['tools']} tool{'' if row['tools'] == 1 else 's'}"] if "tools" in row else []
        parts += [f"revision {row['era']}"] if row.get("era") else []
        parts += [f"started in {row['seconds']:.1f} s"] if row.get("seconds") else []
        slow = row.get("seconds", 0.0) > SLOW
        do = (
            "install what it runs instead of fetching it at each start: many clients don't wait so long" if slow else ""
        )
        found = f"ready{detail}" + "".join(f", {part}" for part in parts)
        yield Finding(Line.UPSTREAM, found, name, "upstreams.toml", do)


def unlooked(case: Case) -> Iterator[Finding]:
    """The upstreams of which nothing is known, since no gateway runs."""
    if case.status is None and case.settings is not None:
        why = "`wardgate doctor` without `--offline` starts it" if not case.start else case.unreachable
        for name in case.settings.upstreams:
            severity = Severity.WARNING if case.start else Severity.NOTE
            do = "start a gateway that can run: `wardgate serve` says what keeps it" if case.start else ""
            yield Finding(Line.UPSTREAM, f"not looked at: {why}", name, "upstreams.toml", do, severity)


def screening(case: Case) -> Iterator[Finding]:
    """How far each one is screened."""
    for row in _rows(case):
        less = [part for part in row["coverage"] if part["sight"] != "screened" and part["names"]]
        yield Finding(Line.SCREENING, row["screened"], row["upstream"], "policies", "; ".join(map(_less, less)))


def _less(part: Mapping[str, Any]) -> str:
    """What of an upstream is screened less than all, and which of its tools that concerns."""
    return f"{_names({'names': part['names'], 'count': len(part['names']) + part['more']})}: {part['note']}"


def labels(case: Case) -> Iterator[Finding]:
    """Tools that nobody labelled: people are asked about each of their calls."""
    for row in _rows(case):
        if (part := row.get("unlabelled")) and part["count"]:
            do = "`wardgate tools --propose` prints labels to confirm, for a file in `policies/`"
            yield warning(
                Line.LABELS, f"{_tools(part)} without a label: {_names(part)}", do, row["upstream"], "policies"
            )


def owners(case: Case) -> Iterator[Finding]:
    """Whether whoever answers for an upstream can be told of something."""
    from gateway.core.inventory import reachable, ways_to
    from gateway.people import user_name

    if case.settings is None:
        return
    told = ways_to(case.settings.approvers, case.settings.notify.to, user_name(os.getuid()))
    for upstream in case.settings.upstreams.values():
        for kind, owner in (("business", upstream.owner.business), ("technical", upstream.owner.technical)):
            of = upstream.name if kind == "business" else f"{upstream.name} ({kind})"
            if kind == "technical" and owner == upstream.owner.business:
                continue
            if problem := reachable(owner, replace(told, mailbox=True)):
                do = f"name somebody who is there as `owner` in `[upstreams.{upstream.name}]`"
                yield warning(Line.OWNER, problem, do, of, "upstreams.toml")
            elif problem := reachable(owner, told):
                do = "name a mail address in `[notify] to` to write from, if they shall be told"
                yield Finding(Line.OWNER, problem, of, "upstreams.toml", do)


def held(case: Case) -> Iterator[Finding]:
    """What is new or changed since somebody accepted it."""
    for row in _rows(case):
        if (part := row.get("held")) and part["count"]:
            do = "`wardgate lock` shows the difference and accepts it"
            found = f"{part['count']} new or changed, and held: {_names(part)}"
            yield warning(Line.HELD, found, do, row["upstream"], "policies/tools.lock")


def colliding(case: Case) -> Iterator[Finding]:
    """Tools that got another name because theirs was taken."""
    for row in _rows(case):
        if (part := row.get("collided")) and part["count"]:
            do = 'give the upstream another key in `upstreams.toml`, or take `expose = "bare"` out'
            found = f"{_tools(part)} under another name, since theirs is taken: {_names(part)}"
            yield warning(Line.COLLIDING, found, do, row["upstream"], "upstreams.toml")


def long(case: Case) -> Iterator[Finding]:
    """Names that a client cuts or leaves out, by the limits of those that Wardgate is registered in."""
    limits: dict[str, tuple[str, int]] = {}
    for file, servers in case.clients:
        if any(server.connected for server in servers):
            client = file.client
            limits[client.name] = (client.title, client.longest - len(client.before))
    for row in _rows(case):
        for name in row.get("longest", ()):
            cutting = [title for title, most in limits.values() if len(name) > most]
            if cutting:
                found = f"`{name}` is too long for {', '.join(cutting)}"
                do = "give the upstream a shorter key in `upstreams.toml`, or leave `expose` as it is"
                yield warning(Line.LONG, found, do, row["upstream"], "upstreams.toml")


def sandbox(case: Case) -> Iterator[Finding]:
    """Whether bwrap is there and works, where an upstream asks for it."""
    if case.settings is None:
        return
    asking = [upstream.name for upstream in case.settings.upstreams.values() if upstream.sandbox == "bwrap"]
    if not asking:
        yield Finding(Line.SANDBOX, "no upstream asks for one", where="upstreams.toml")
        return
    problem = _bwrap(case)
    if problem:
        do = 'install bubblewrap and allow user namespaces, or set `sandbox = "none"` to go without'
        yield warning(Line.SANDBOX, f"{', '.join(asking)} can't be started: {problem}", do, where="upstreams.toml")
    else:
        yield Finding(Line.SANDBOX, f"bwrap works, for {', '.join(asking)}", where="upstreams.toml")


def _bwrap(case: Case) -> str:
    """Why bwrap can't be used, or an empty text: it is run once, to do nothing. As for a gateway, it has to be in a
    folder with an absolute path, where nobody else may write it.
    """
    import shutil

    from gateway.config.trust import distrust

    folders = [folder for folder in case.environ.get("PATH", os.defpath).split(os.pathsep) if folder.startswith("/")]
    found = shutil.which("bwrap", path=os.pathsep.join(folders))
    nothing = next((path for path in ("/usr/bin/true", "/bin/true") if Path(path).exists()), None)
    if found is None or nothing is None:
        return "bwrap not found"
    path = Path(found).resolve()
    if reasons := (*distrust(path), *distrust(path.parent)):
        return reasons[0]
    words = [found, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--", nothing]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=TRIAL, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"bwrap can't be run ({type(problem).__name__})"
    return " ".join(done.stderr.decode("utf-8", "replace").split())[:200] if done.returncode else ""


def _rows(case: Case) -> Iterator[Mapping[str, Any]]:
    yield from (case.status or {}).get("items", ())


def _tools(part: Mapping[str, Any]) -> str:
    return f"{part['count']} tool{'' if part['count'] == 1 else 's'}"


def _names(part: Mapping[str, Any]) -> str:
    """Some names, and how many more there are."""
    more = part["count"] - len(part["names"])
    return ", ".join(f"`{name}`" for name in part["names"]) + (f" and {more} more" if more > 0 else "")


GROUP = Group("upstreams", (states, unlooked, screening, labels, owners, held, colliding, long, sandbox))
