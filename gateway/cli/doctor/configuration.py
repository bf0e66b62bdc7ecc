"""The configuration: what `wardgate check` tells of the files, which of it counts, and references that lead nowhere.

No program of a `cmd:` reference is run, and no value is kept or told.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from gateway.cli.doctor.case import Case, there
from gateway.cli.doctor.finding import Finding, Group, Line, warning
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway.config import Settings

PATIENCE = 5.0  # seconds that a keychain gets to answer
RESOLVED = ("env", "file", "keyring")  # references that are looked up here


def gateway(case: Case) -> Iterator[Finding]:
    """Whether a gateway runs."""
    where = str(case.state or case.file)
    if case.status is None:
        do = "a client starts it, or `wardgate serve` does; without one, upstreams and their tools are not looked at"
        yield Finding(Line.GATEWAY, case.unreachable, where=where, do=do)
    elif case.alone:
        yield Finding(Line.GATEWAY, "none runs: one was opened to look, and ended", where=where)
    else:
        yield Finding(Line.GATEWAY, f"version {case.status['version']} runs", where=where)


def files(case: Case) -> Iterator[Finding]:
    """Everything that is wrong in the files; what others may write is told by its own line."""
    try:
        case.file.stat()
    except FileNotFoundError:
        yield warning(Line.CONFIGURATION, "there is none", "`wardgate init` makes one", where=str(case.file))
        return
    except OSError as problem:
        found = f"can't be read: {str(problem.strerror).lower()}"
        yield warning(Line.CONFIGURATION, found, "run this as the user whose it is", where=str(case.file))
        return
    open_to_others = {reason for _, reason in distrusted(case)}
    rows = [row for row in case.problems if row["do"] not in open_to_others]
    for row in rows:
        found, where = row["do"], row["where"]
        of = "" if row["what"] == "file" else row["what"]
        if row["severity"] == "error":
            do = f"mend it in `{where}`; `wardgate check` lists everything that is wrong"
            yield warning(Line.CONFIGURATION, found, do, of, where)
        else:
            yield Finding(Line.CONFIGURATION, found, of, where)
    if not rows and case.settings is not None:
        count = len(case.settings.upstreams)
        found = f"valid, with {count} upstream{'' if count == 1 else 's'}"
        yield Finding(Line.CONFIGURATION, found, where=str(case.file))


def permissions(case: Case) -> Iterator[Finding]:
    """Who else may write what is configured."""
    for path, reason in distrusted(case):
        yield warning(Line.PERMISSIONS, reason, f"`chmod go-w {shlex.quote(str(path))}`", where=str(path))


def distrusted(case: Case) -> Iterator[tuple[Path, str]]:
    """The configuration, its folder and the policies, as far as others could change them, and why that is."""
    from gateway.config.trust import distrust

    policies = case.settings.gateway.policies if case.settings is not None else case.file.parent / "policies"
    told: set[str] = set()
    files = (*sorted(policies.glob("*.toml")), policies / "tools.lock") if there(policies) else ()
    for path in (case.file.parent, case.file, policies, *files):
        for reason in distrust(path) if there(path) else ():
            if reason not in told:
                told.add(reason)
                yield path, reason


def counts(case: Case) -> Iterator[Finding]:
    """Which policy counts, and what does not count of the files that stand there now."""
    policy: Mapping[str, Any] = (case.status or {}).get("policy", {})
    if not policy:  # nothing runs, or what runs is older and says nothing of it
        return
    accepted = f"{policy.get('accepted_how', '')}, by {policy.get('accepted_by', '')}"
    yield Finding(Line.POLICY, f"revision {policy.get('revision', '')[:12]}: {accepted}", where="policies")
    for held in policy.get("held", ()):
        line = Line.POLICY_HELD if held["what"] == "policy" else Line.UPSTREAMS_HELD
        do = f"the last accepted text goes on; `{held['do']}` lets this one count"
        yield warning(line, "; ".join(held["differences"]), do, where="policies")
    if policy.get("refused"):
        do = "the last good one goes on: mend the file; `wardgate check` lists everything that is wrong"
        yield warning(Line.REFUSED, policy["refused"], do, where="policies")
    if policy.get("restart"):
        do = "end the gateway and start it anew to let it count"
        yield warning(Line.RESTART, "it changed", do, where="upstreams.toml")


def references(case: Case) -> Iterator[Finding]:
    """References that lead nowhere. Variables are those of the gateway: of one that runs nothing is known here."""
    from gateway.config.references import resolve, split_reference

    if case.settings is None:
        return
    root, usable = case.settings.root, 0
    for of, reference in named(case.settings):
        scheme, rest = split_reference(reference)
        if scheme not in RESOLVED or (scheme == "env" and case.running):
            continue
        line = Line.KEYRING if scheme == "keyring" else Line.REFERENCE
        try:
            within(PATIENCE, lambda value=reference: resolve(value, root, case.environ))
        except (ConfigurationError, TimeoutError) as problem:
            do = {"env": f"set `{rest}` where the gateway is started", "file": f"put the value into `{rest}`, mode 600"}
            put = f"`keyring set {' '.join(shlex.quote(part) for part in rest.split('/', 1))}`"
            yield warning(line, str(problem), do.get(scheme, put), of, case.file.name)
        else:
            usable += scheme == "keyring"
    if usable:
        yield Finding(Line.KEYRING, f"usable: {usable} value{'' if usable == 1 else 's'} found")


def named(settings: "Settings") -> Iterator[tuple[str, str]]:
    """Every value that may be a reference, and what it is for."""
    for upstream in settings.upstreams.values():
        for values in (upstream.env, upstream.headers):
            yield from ((f"{upstream.name}.{name}", value) for name, value in values.items())
        if upstream.oauth is not None and upstream.oauth.client_secret:
            yield f"{upstream.name}.oauth", upstream.oauth.client_secret
    for key, targets in (("to", settings.notify.to), ("second", settings.notify.second)):
        yield from ((f"notify.{key}[{place}]", target) for place, target in enumerate(targets, 1))


def weak(case: Case) -> Iterator[Finding]:
    """Secrets of the gateway's own that honest texts may hold."""
    for name, why in (case.status or {}).get("left_out", {}).items():
        do = "honest texts hold such a value, so none is searched for: give it a stronger one"
        yield Finding(Line.SECRET, f"{why}: it is not looked for", name, "upstreams.toml", do)


def within(seconds: float, work: Any) -> None:
    """Do something that may hang, and raise what it raises; `TimeoutError` where it takes longer."""
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
        except Exception as problem:  # noqa: BLE001 - it is raised again where it was asked for
            ended.append(problem)
        else:
            ended.append(None)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise TimeoutError(f"no answer within {seconds:g} s")
    if ended[0] is not None:
        raise ended[0]


GROUP = Group("configuration", (gateway, files, permissions, counts, references, weak))
