"""Take the inventory of one gateway: its tools, grants, clients, lists and policies, from what lies there. Read only.

It starts nothing and imports neither the SDK nor the condition language; what a running gateway tells is added to it.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.accepted import Accepted
from gateway.agreed import POLICY as COUNTS
from gateway.agreed import Agreed
from gateway.config import Settings, Upstream, load_lock, policy_of, policy_texts
from gateway.config.locked import entry_of
from gateway.core import inventory as core
from gateway.core.canon import digest
from gateway.core.exposed import expose
from gateway.core.inventory import Callers, Permission, Row, Ways
from gateway.core.lock import NAME, TO_DO, Lock, Locked
from gateway.core.model import Effect, Grant, Owner, Tier, Tool, ToolRef
from gateway.core.policy import Known, Policy
from gateway.core.risk import classify, labels_for
from gateway.errors import StateError
from gateway.reading import grants_now, reading
from gateway.schema import STORE_NAME
from gateway.tokens import Tokens
from gateway.usage import Counted, Tally, counted

MOST_GRANTS = 10_000  # that are told
MOST_VALUES = 5  # of a list that are named
OTHERS = "unknown"  # the client that is not registered

Live = Mapping[str, Any]
"""One tool as a running gateway tells it: see `app/consent.py`, `tools`."""


class Inventory(Struct, frozen=True):
    """All that there is, and what could not be found out."""

    permissions: tuple[Permission, ...]
    others: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Permission | Row, ...]:
        """Both."""
        return (*self.permissions, *self.others)


class _Scene(Struct, frozen=True):
    """What the rows are made from."""

    settings: Settings
    policy: Policy
    ways: Ways
    callers: Callers
    now: datetime

    @property
    def today(self) -> date:
        """The day in UTC, by which reviews are due."""
        return self.now.date()


def take(
    settings: Settings,
    now: datetime,
    user: str,
    live: Mapping[str, Sequence[Live]] | None = None,
) -> Inventory:
    """The inventory, for the `user` whose gateway it is. `live` holds what a running gateway tells, by upstream, as far
    as that has been heard of. Blocks; raises `ConfigurationError`, and `StateError` for a record that can't be read.
    """
    policy, texts, note = policy_now(settings)
    ways = core.ways_to(settings.approvers, settings.notify.to, user)
    callers = Callers(policy, (*sorted(settings.clients), OTHERS), now.date())
    scene = _Scene(settings, policy, ways, callers, now)
    lock, notes = load_lock(settings), [note] if note else []
    tools, missing = _tools(scene, lock, live or {})
    uses, grants = _recorded(settings, now, [tool.ref for tool, _ in tools])
    notes += [*missing, *([uses.lacking] if uses.lacking else [])]
    seen = Accepted(settings.gateway.state)
    permissions = [_permission(scene, tool, state, uses, seen) for tool, state in tools]
    others = (*_grants(scene, grants), *_clients(scene), *_lists(scene, texts), *_policies(scene))
    return Inventory(tuple(sorted(permissions, key=core.strict_first)), others, tuple(notes))


def live_of(answer: Mapping[str, Any]) -> dict[str, list[Live]]:
    """What a gateway's answer to `tools` tells, by upstream, of those that it has heard of."""
    silent = {each["upstream"] for each in answer["unasked"]}
    found: dict[str, list[Live]] = {name: [] for name in answer.get("upstreams", ())}
    for row in answer["items"]:
        found.setdefault(row["upstream"], []).append(row)
    return {name: rows for name, rows in found.items() if name not in silent}


def policy_now(settings: Settings) -> tuple[Policy, Mapping[str, str], str]:
    """The policy that counts, its texts, and a word where that is not the one on the disk. Its conditions are not
    compiled: it is not fit to decide.
    """
    texts = policy_texts(settings)
    agreed = Agreed(settings.gateway.state)
    mark = agreed.mark(COUNTS)
    if mark is not None and mark.revision != digest(dict(texts)):
        kept = agreed.texts(mark.revision)
        if kept is not None:
            note = f"the policies on the disk are others than those that count ({mark.revision[:12]}): these are told"
            return policy_of(kept, Known(compiles=False)), kept, note
    return policy_of(texts, replace(settings.known(), compiles=False)), texts, ""


def _tools(
    scene: _Scene, lock: Lock | None, live: Mapping[str, Sequence[Live]]
) -> tuple[list[tuple[Tool, str]], list[str]]:
    """Every tool that is known with how it stands to the lock, and of which upstreams nothing is."""
    found: list[tuple[Tool, str]] = []
    missing: list[str] = []
    seen = Accepted(scene.settings.gateway.state)
    for name, upstream in scene.settings.upstreams.items():
        locked = (lock or {}).get(name)
        accepted = (locked or Locked()).tools
        offered = {row["tool"]: row for row in live.get(name, ())}
        if locked is None and name not in live:
            where = f"isn't in `{NAME}`" if lock is not None else f"may offer anything: there is no `{NAME}`"
            missing.append(f"upstream `{name}` {where}; {TO_DO}, or `wardgate tools --start` asks it")
        definitions = seen.all_of(accepted.values())
        names = expose(name, list(accepted), upstream.expose == "bare")
        for tool in dict.fromkeys((*offered, *accepted)):
            made = _tool(scene, upstream, tool, names.get(tool, ""), accepted.get(tool, ""), definitions)
            row = offered.get(tool)
            gone = name in live and row is None
            found.append((_as_told(made, row), core.GONE if gone else row["state"] if row else core.ACCEPTED))
    return found, missing


def _tool(
    scene: _Scene, upstream: Upstream, name: str, exposed: str, made: str, definitions: Mapping[str, Any]
) -> Tool:
    ref, definition = ToolRef(upstream.name, name), definitions.get(made)
    acts_as = f"{upstream.acts_as.kind} {upstream.acts_as.identity}" if upstream.acts_as else ""
    labels = labels_for(scene.policy, ref)
    value = definition if isinstance(definition, Mapping) else {}
    return classify(value, ref, exposed, made, labels, upstream.owner, acts_as=acts_as)


def _as_told(tool: Tool, row: Live | None) -> Tool:
    """A tool as the running gateway has it, which knows what is offered now."""
    if row is None:
        return tool
    effect, tier = Effect(row["effect"]), Tier(row["tier"])
    return replace(
        tool, exposed_as=row["exposed_as"], digest=row["digest"], effect=effect, tier=tier, held=row.get("held", "")
    )


def _recorded(settings: Settings, now: datetime, refs: Iterable[ToolRef]) -> tuple[Counted, tuple[Grant, ...]]:
    """What the record tells of uses, and the grants that stand; nothing where no gateway has run."""
    state = settings.gateway.state
    if not (state / STORE_NAME).exists():
        return Counted(Tally(), None, ""), ()
    uses = counted(state, now, [(ref.upstream, ref.name) for ref in refs])
    with reading(state) as db:
        return uses, tuple(grants_now(db, now, MOST_GRANTS))


def _permission(scene: _Scene, tool: Tool, state: str, uses: Counted, seen: Accepted) -> Permission:
    settings, today = scene.settings, scene.today
    upstream = settings.upstreams[tool.ref.upstream]
    use = uses.tally.use(tool.ref.upstream, tool.ref.name, today)
    review_by = core.review_of(scene.policy, tool.ref)
    permission = Permission(
        tool,
        state,
        scene.callers.of(tool),
        use,
        core.days_unused(use.last, (uses.begin, _first_seen(seen, tool.digest)), scene.now),
        review_by,
        uses.tally.changed.get(tool.exposed_as, ""),
        entry_of(scene.policy, tool.ref),
        upstream.acts_as.scopes if upstream.acts_as else (),
    )
    place = f"[upstreams.{upstream.name}]"
    found = core.findings(permission.owners, place, scene.ways, review_by, today)
    return replace(permission, findings=(*found, *core.unlabelled(tool)))


def _first_seen(seen: Accepted, digest: str) -> datetime | None:
    """When a definition was accepted here."""
    try:
        return datetime.fromtimestamp((seen.folder / digest).stat().st_mtime, UTC) if digest else None
    except OSError:
        return None


def _grants(scene: _Scene, grants: Iterable[Grant]) -> Iterator[Row]:
    for grant in grants:
        yield core.grant_row(grant, scene.ways)


def _clients(scene: _Scene) -> Iterator[Row]:
    """The clients of the configuration, and tokens of others."""
    clients = scene.settings.clients
    try:
        tokens = {token.name: token for token in Tokens(scene.settings.gateway.state).all()}
    except StateError:
        tokens = {}
    for name in (*clients, *(name for name in tokens if name not in clients)):
        entry, token = clients.get(name), tokens.get(name)
        trust = f"trusted for {', '.join(sorted(entry.trust))}" if entry is not None and entry.trust else ""
        parts = [trust, _token(token.expires_at, scene.now) if token is not None else ""]
        detail = ", ".join(part for part in parts if part) or "over stdio"
        owner = entry.owner if entry is not None and entry.owner is not None else Owner("", "")
        yield _row(scene, core.CLIENT, name, owner, detail, f"[clients.{name}]", client=name)


def _token(expires_at: datetime | None, now: datetime) -> str:
    if expires_at is None:
        return "has a token without an end"
    return f"has a token until {expires_at:%Y-%m-%d}" if expires_at > now else "has a token that expired"


def _lists(scene: _Scene, texts: Mapping[str, str]) -> Iterator[Row]:
    for file in scene.policy.files:
        for name, values in tomllib.loads(texts.get(file.name, "")).get("lists", {}).items():
            more = f" and {len(values) - MOST_VALUES} more" if len(values) > MOST_VALUES else ""
            detail = f"{', '.join(values[:MOST_VALUES])}{more}, in {file.name}"
            yield _row(scene, core.LIST, name, file.owner, detail, file.name, file.review_by)


def _policies(scene: _Scene) -> Iterator[Row]:
    for file in scene.policy.files:
        detail = f"{len(file.tools)} labels and {len(file.rules)} rules for {file.upstream or 'all upstreams'}"
        yield _row(scene, core.POLICY, file.name, file.owner, detail, file.name, file.review_by)


def _row(
    scene: _Scene,
    kind: str,
    name: str,
    owner: Owner,
    detail: str,
    place: str,
    review_by: date | None = None,
    client: str = "",
) -> Row:
    found = core.findings((owner.business, owner.technical), place, scene.ways, review_by, scene.today)
    return Row(kind, name, owner.business, detail, client, review_by, found)
