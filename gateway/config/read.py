"""Read the text of upstreams.toml into `Settings`, noting every problem. Opens no file."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from gateway.config.hosts import is_loopback, may_carry_tokens
from gateway.config.limits import HOLD, read_limits
from gateway.config.nouns import Approver, Auth, ClientEntry, Gateway, Notify, Settings
from gateway.config.record import read_recording
from gateway.config.references import flaw, looks_secret, split_reference
from gateway.config.upstreams import read_upstreams
from gateway.core.model import Proof
from gateway.core.policy.read import read_owner
from gateway.core.problems import nearest
from gateway.core.section import Document, Section

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ISSUER = "an address that starts with https:// (or http:// on loopback)"
META = r"[A-Za-z0-9.-]+/[A-Za-z0-9._-]+"


def read_settings(document: Document, file: Path) -> Settings:
    """Read the whole document; the settings are only fit for use if no problem in the document is an error."""
    section = document.section()
    schema = section.raw("schema")
    if "schema" not in section:
        section.required("schema", "schema = 1")
    elif schema != 1 or isinstance(schema, bool):
        section.wrong("schema", "1", schema)
    gateway = _gateway(section.section("gateway"), file)
    upstreams = read_upstreams(section, file.parent, gateway.call_timeout)
    settings = Settings(
        file=file,
        gateway=gateway,
        upstreams=upstreams,
        clients=_clients(section.section("clients"), upstreams),
        approvers=_approvers(section.section("approvers")),
        limits=read_limits(section.section("limits")),
        recording=read_recording(section.section("record"), file.parent),
        auth=_auth(section.section("auth")) if "auth" in section else None,
        notify=_notify(section.section("notify")),
    )
    if settings.auth is None and not is_loopback(gateway.host):
        section.section("gateway").problem(
            "listen", f"expected a loopback address without [auth], found `{gateway.host}`", gateway.host, "127.0.0.1"
        )
    section.close(also=("auth",))
    return settings


def absolute(base: Path, named: str) -> Path:
    """A path of the configuration: `~` expanded, relative to the configuration's folder, symlinks kept."""
    return Path(os.path.abspath(base / Path(named).expanduser()))  # noqa: PTH100 - resolve() would follow symlinks


def _gateway(section: Section, file: Path) -> Gateway:
    state = section.text("state", expected="the path of a folder")
    if state:
        folder = absolute(file.parent, state)
    else:
        from platformdirs import user_state_path  # most configurations name it

        folder = user_state_path("wardgate")
    host, port = _listen(section)
    gateway = Gateway(
        policies=absolute(file.parent, section.text("policies", "policies", expected="the path of a folder")),
        state=folder,
        id=section.text("id", "", NAME, "an id from letters, digits and . _ -"),
        host=host,
        port=port,
        call_timeout=section.duration("call_timeout", 60.0, 0.1, 86400),
        session_meta=section.text("session_meta", "dev.wardgate/session", META, "a key such as `example.com/session`"),
        prompt_meta=section.text("prompt_meta", "dev.wardgate/prompt", META, "a key such as `example.com/prompt`"),
        log=section.text("log", "text", "text|json", "text or json"),
    )
    section.close()
    return gateway


def _listen(section: Section) -> tuple[str, int]:
    text = section.text("listen", "127.0.0.1:8765", expected="an address such as `127.0.0.1:8765`")
    found = re.fullmatch(r"\[([0-9A-Fa-f:.%]+)\]:(\d{1,5})|([A-Za-z0-9.-]+):(\d{1,5})", text)
    port = int(found[2] or found[4]) if found else 0
    if found is None or port > 65535:
        section.wrong("listen", "an address such as `127.0.0.1:8765` or `[::1]:8765`", text)
        return "127.0.0.1", 8765
    return found[1] or found[3], port


def _clients(section: Section, upstreams: Collection[str]) -> Mapping[str, ClientEntry]:
    clients: dict[str, ClientEntry] = {}
    for name, child in section.children():
        if not re.fullmatch(NAME, name) or name == "unknown":
            section.problem(
                name, f"expected a name from letters, digits and . _ - other than `unknown`, found `{name}`"
            )
        trust = child.texts("trust", "a list of session and prompt")
        for word in trust:
            if word not in ("session", "prompt"):
                child.problem("trust", f"expected session or prompt, found `{word}`", word)
        if "owner" in child:
            owner = read_owner(child)
        else:
            owner = None
            child.warn("owner", "missing: say who answers for this client")
        closed, hold = child.flag("closed", False), child.duration("hold", 0.0, *HOLD)
        known = child.texts("upstreams", "a list of upstreams")
        for upstream in known:
            if upstream not in upstreams:
                child.problem("upstreams", f"unknown upstream `{upstream}`", upstream, nearest(upstream, upstreams))
        metrics = child.flag("metrics", False)
        clients[name] = ClientEntry(name, owner, frozenset(trust), closed, metrics, hold or None, known)
        child.close(also=("owner",))
    return clients


def _approvers(section: Section) -> Mapping[str, Approver]:
    approvers: dict[str, Approver] = {}
    words = {proof.word: proof for proof in Proof}
    for name, child in section.children():
        if not re.fullmatch(NAME, name):
            section.problem(name, f"expected a name from letters, digits and . _ -, found `{name}`")
        roles = child.texts("roles")
        proofs = child.texts("proofs", "a list of client, local and signed") or ("local",)
        for word in proofs:
            if word not in words:
                child.problem("proofs", f"expected client, local or signed, found `{word}`", word)
        known = frozenset(words[word] for word in proofs if word in words)
        approvers[name] = Approver(name, frozenset(roles), known)
        child.close()
    return approvers


def _auth(section: Section) -> Auth:
    auth = Auth(
        issuer=section.text("issuer", expected=ISSUER),
        audience=section.text("audience"),
        principal=section.text("principal", "sub", expected="the name of a claim"),
        roles=section.text("roles", "", expected="the name of a claim"),
    )
    if auth.issuer and (not may_carry_tokens(auth.issuer, loopback=True) or re.search(r"[?#]", auth.issuer)):
        section.wrong("issuer", ISSUER, auth.issuer)
    for key in ("issuer", "audience"):
        if key not in section:
            section.required(key, "whose JWTs count" if key == "issuer" else "for whom they must be made out")
    section.close()
    return auth


def _notify(section: Section) -> Notify:
    notify = Notify(
        section.texts("to", "a list of addresses", single=True),
        section.texts("second", "a list of addresses", single=True),
        section.text("after", "50%", r"\d{1,2}%|\d{1,6}(s|m|h)", "a share such as `50%` or a duration"),
        section.flag("desktop", True),
    )
    for key, targets in (("to", notify.to), ("second", notify.second)):
        for place, target in enumerate(targets, 1):
            if wrong := _unfit(target):
                section.problem(key, f"address {place}: {wrong}")
    section.close()
    return notify


def _unfit(target: str) -> str:
    """What is wrong with where notices are to go, in words that don't hold it; empty for a good one."""
    if split_reference(target)[0]:
        return flaw(target)
    parts = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)\S*", target)
    if parts is None:
        return "expected one such as `ntfy://TOPIC`, or a reference"
    if ":" in parts[1].rpartition("@")[0] or looks_secret(target.replace("/", " ")):
        return "it looks as if it held a secret: hand it over by a reference such as `env:NAME`"
    return ""
