"""The inventory: each live permission, for whom, who answers for it, how it is used; and what is wrong or due.

No I/O here, and nothing is decided: what rules let pass is read from their texts, no condition is evaluated.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.globs import matches
from gateway.core.lock import State
from gateway.core.mail import mail_to
from gateway.core.model import Grant, Tier, Tool, ToolRef
from gateway.core.passing import barred, ways
from gateway.core.policy import Policy, PolicyFile

TOOL, GRANT, CLIENT, LIST, POLICY = "tool", "grant", "client", "list", "policy"
KINDS = (TOOL, GRANT, CLIENT, LIST, POLICY)

ALLOW, SOME, PROVEN, ASK, BLOCK = "allow", "allow-some", "ask-unless-proven", "ask", "block"
CALLABLE = (ALLOW, SOME, PROVEN, ASK, BLOCK)
"""What becomes of calls of one tool by one client in a tainted session: all pass, some (under a condition, for listed
values), those whose values are proven, none without a person, none at all.
"""

ACCEPTED, UNLOCKED, HELD, NEW, CHANGED, GONE = "accepted", "unlocked", "held", *(state.value for state in State)
STATES = (ACCEPTED, NEW, CHANGED, GONE, HELD, UNLOCKED)
"""How a tool stands to the lock. `HELD`: accepted as it is, but what is run is not what was accepted."""

MAILBOX = "mailto://user@mail.invalid"  # to ask whether an owner is an address: nothing is sent to it
_REFERENCES = ("env", "file", "keyring", "cmd")  # what `[notify] to` may hold in place of an address
_NOBODYS = ("example.com", "example.net", "example.org", "example", "invalid", "localhost", "test")  # RFC 2606


class Ways(Struct, frozen=True):
    """How owners can be told of something: who looks at the console or a terminal, and whether mail can be sent."""

    approvers: frozenset[str] = frozenset()
    mailbox: bool = True


def ways_to(approvers: Iterable[str], targets: Sequence[str], user: str) -> Ways:
    """The ways that a configuration has: `[approvers]`, `[notify] to`, and the user whose gateway it is.

    A target that is a reference may be a mailbox.
    """
    mailbox = any(target.partition(":")[0] in _REFERENCES or mail_to("a@b.c", [target]) for target in targets)
    return Ways(frozenset((*approvers, user)) - {""}, mailbox)


def placeholder(owner: str) -> bool:
    """Whether an owner is an address of a domain that is there for documents: nobody reads it."""
    host = owner.rpartition("@")[2].lower() if "@" in owner else ""
    return any(host == name or host.endswith(f".{name}") for name in _NOBODYS)


def reachable(owner: str, ways: Ways = Ways()) -> str:
    """Why an owner can't be reached; empty where one can: an approver, or an address and a mailbox to write from.

    Without `ways` only the owner's form is judged.
    """
    if not owner.strip():
        return "nobody is named"
    if owner.removeprefix("os:") in ways.approvers:
        return ""
    if not mail_to(owner, [MAILBOX]):
        return f"`{owner}` is neither a mail address nor one of `[approvers]`"
    if placeholder(owner):
        return f"`{owner}` is a placeholder, whose mail nobody reads"
    return "" if ways.mailbox else f"`{owner}` gets no mail: `[notify] to` has no mailbox to write from"


class Finding(Struct, frozen=True):
    """Something that is wrong with a row of the inventory, and what mends it; `what` is a code."""

    what: str  # unowned | unreachable | overdue | unlabelled
    found: str
    do: str


class Use(Struct, frozen=True):
    """How a tool was used: when last (empty: never, as far as is known), and in the last 30 days."""

    last: str = ""
    calls: int = 0
    approvals: int = 0


class Permission(Struct, frozen=True):
    """One tool: what it does, for whom, by whose authority, and how it stands. `unused` counts days since it was used
    last, or of one that never was since it could be seen.
    """

    tool: Tool
    state: str
    who: Mapping[str, str]  # client -> one of `CALLABLE`
    use: Use = Use()
    unused: int = 0
    review_by: date | None = None
    changed_at: str = ""
    entry: str = ""  # the label that gives it its effect
    scopes: tuple[str, ...] = ()  # of the authority that it uses
    findings: tuple[Finding, ...] = ()

    kind = TOOL

    @property
    def name(self) -> str:
        """What it is called in a line."""
        return str(self.tool.ref)

    @property
    def owners(self) -> tuple[str, ...]:
        """Who answers for it, the business owner first."""
        owner = self.tool.owner
        return tuple(dict.fromkeys((owner.business, owner.technical))) if owner is not None else ("",)

    def item(self) -> dict[str, Any]:
        """A row of `tools --json`."""
        tool, owner = self.tool, self.tool.owner
        return {
            "kind": TOOL,
            "upstream": tool.ref.upstream,
            "tool": tool.ref.name,
            "exposed_as": tool.exposed_as,
            "effect": tool.effect.value,
            "tier": tool.tier.value,
            "entry": self.entry,
            "owner": self.owners[0],
            "business_owner": owner.business if owner is not None else "",
            "technical_owner": owner.technical if owner is not None else "",
            "acts_as": tool.acts_as,
            "scopes": list(self.scopes),
            "who": dict(self.who),
            "state": self.state,
            "held": tool.held,
            "digest": tool.digest,
            "changed_at": self.changed_at,
            "last_used": self.use.last,
            "calls_30d": self.use.calls,
            "approvals_30d": self.use.approvals,
            "unused_days": self.unused,
            "review_by": self.review_by.isoformat() if self.review_by else "",
            "findings": [told(one) for one in self.findings],
        }


class Row(Struct, frozen=True):
    """Something else that has an owner: a grant, a client, a list, a policy file."""

    kind: str
    name: str
    owner: str
    detail: str
    client: str = ""
    review_by: date | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def owners(self) -> tuple[str, ...]:
        """Who answers for it."""
        return (self.owner,)

    def item(self) -> dict[str, Any]:
        """A row of `tools --kind ... --json`."""
        return {
            "kind": self.kind,
            "name": self.name,
            "owner": self.owner,
            "detail": self.detail,
            "client": self.client,
            "review_by": self.review_by.isoformat() if self.review_by else "",
            "findings": [told(one) for one in self.findings],
        }


def told(one: Finding) -> dict[str, str]:
    """A finding as a row of `--json`."""
    return {"what": one.what, "found": one.found, "do": one.do}


class Callers:
    """Who may call which tool under a policy: what becomes of the calls of each client, as a word of `CALLABLE`."""

    def __init__(self, policy: Policy, clients: Iterable[str], today: date) -> None:
        self._policy, self._clients, self._today = policy, tuple(clients), today
        self._known: dict[tuple[Any, ...], Mapping[str, str]] = {}

    def of(self, tool: Tool) -> Mapping[str, str]:
        """By client; that the tool is held is said elsewhere. Tools of which the same rules speak are alike."""
        files = tuple(
            replace(file, rules=tuple(rule for rule in file.rules if rule.speaks_of(tool.ref)))
            for file in self._policy.files
            if file.upstream in ("", tool.ref.upstream)
        )
        key = (tool.tier, *((file.name, *(rule.id for rule in file.rules)) for file in files))
        if key not in self._known:
            policy = Policy(self._policy.revision, files, self._policy.lists)
            self._known[key] = {client: _may(policy, tool, client, self._today) for client in self._clients}
        return self._known[key]


def _may(policy: Policy, tool: Tool, client: str, today: date) -> str:
    """What becomes of the calls of one client, where all rules of a policy speak of the tool."""
    if barred(policy, tool, client):
        return BLOCK
    found = ways(policy, tool, client, today)
    if any(not (way.conditions or way.listed or way.proven) for way in found):
        # A rule with a condition may still stop some of the calls, one that allows too: by an error in it.
        rules = [rule for file in policy.files for rule in file.rules if rule.admits(client)]
        return SOME if any(rule.when is not None for rule in rules) else ALLOW
    if any(way.conditions or way.listed for way in found):
        return SOME
    return PROVEN if found else ASK


def concerning(policy: Policy, ref: ToolRef) -> tuple[PolicyFile, ...]:
    """The policy files that speak of a tool: by a label or a rule."""
    files = (file for file in policy.files if file.upstream in ("", ref.upstream))
    return tuple(file for file in files if file.entry(ref) or any(rule.speaks_of(ref) for rule in file.rules))


def review_of(policy: Policy, ref: ToolRef) -> date | None:
    """When a policy file that speaks of a tool is to be reviewed: the first of them."""
    return min((file.review_by for file in concerning(policy, ref) if file.review_by is not None), default=None)


def findings(owners: Iterable[str], place: str, ways: Ways, review_by: date | None, today: date) -> tuple[Finding, ...]:
    """What is wrong with whoever answers for something, named at `place`, and with its review."""
    found: list[Finding] = []
    for owner in dict.fromkeys(owners):
        if why := reachable(owner, ways):
            do = f"`owner` in {place} is to be an approver, or an address with a mailbox in `[notify] to` to write from"
            found.append(Finding("unreachable" if owner.strip() else "unowned", why, do))
    if review_by is not None and review_by < today:
        do = "review it, and set another `review_by`: until then what it allows above tier read asks"
        found.append(Finding("overdue", f"its policy was to be reviewed by {review_by}", do))
    return tuple(found)


def unlabelled(tool: Tool) -> tuple[Finding, ...]:
    """What is wrong with a tool that nobody labelled."""
    if tool.labelled:
        return ()
    do = "`wardgate tools --propose` prints a `[[tool]]` entry to confirm"
    return (Finding("unlabelled", "nobody said what it does: it counts as destructive", do),)


class Wanted(Struct, frozen=True):
    """What is looked for; what is empty or None is not asked for. `owner` is a part of the name of one of the owners,
    `client` one that some call of the tool passes for, `due` days until its review.
    """

    kinds: frozenset[str] = frozenset({TOOL})
    upstream: str = ""
    tool: str = ""  # a pattern
    effect: str = ""
    tier: str = ""
    state: str = ""
    owner: str = ""
    client: str = ""
    unused: int | None = None
    due: int | None = None

    @property
    def of_tools(self) -> bool:
        """Whether it asks for what only tools have."""
        return bool(self.upstream or self.tool or self.effect or self.tier or self.state) or self.unused is not None

    def admits(self, one: Permission | Row, today: date) -> bool:
        """Whether a row is what is looked for."""
        if one.kind not in self.kinds:
            return False
        if self.owner and not any(self.owner.lower() in owner.lower() for owner in one.owners):
            return False
        if self.due is not None and not is_due(one, self.due, today):
            return False
        if isinstance(one, Row):
            return not self.of_tools and self.client in ("", one.client)
        return self._admits_tool(one)

    def _admits_tool(self, one: Permission) -> bool:
        tool = one.tool
        named = not self.tool or any(matches(self.tool, name) for name in (tool.ref.name, tool.exposed_as, one.name))
        return (
            named
            and self.upstream in ("", tool.ref.upstream)
            and self.effect in ("", tool.effect.value)
            and self.tier in ("", tool.tier.value)
            and (self.state in ("", one.state) or (self.state == HELD and bool(tool.held)))
            and (not self.client or one.who.get(self.client, BLOCK) != BLOCK)
            and (self.unused is None or one.unused >= self.unused)
        )


def is_due(one: Permission | Row, days: int, today: date) -> bool:
    """Whether something is to be reviewed within so many days, or should have been."""
    return one.review_by is not None and (one.review_by - today).days <= days


class Due(Struct, frozen=True):
    """What one owner should look at: names, each with why."""

    owner: str
    what: tuple[tuple[str, str], ...]


def due(all_of: Iterable[Permission | Row], days: int, unused: int, today: date) -> tuple[Due, ...]:
    """What is due, by business owner, in the order of their names: reviews within `days`, what was not used for
    `unused` days, and what is new or changed.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for one in all_of:
        if why := _why(one, days, unused, today):
            found.setdefault(one.owners[0], []).append((one.name, why))
    return tuple(Due(owner, tuple(found[owner])) for owner in sorted(found) if owner.strip())


def _why(one: Permission | Row, days: int, unused: int, today: date) -> str:
    reasons = []
    if is_due(one, days, today):
        reasons.append(f"to be reviewed by {one.review_by}")
    if isinstance(one, Permission):
        reasons += [one.state] if one.state in (NEW, CHANGED, GONE) else []
        reasons += [f"unused for {one.unused} days"] if one.unused >= unused else []
    return ", ".join(reasons)


def grant_row(grant: Grant, ways: Ways) -> Row:
    """A grant that stands."""
    uses = f"{grant.used} of {grant.uses} uses, until {grant.expires_at:%Y-%m-%d %H:%M} UTC"
    detail = f"{grant.scope.value} of {grant.upstream}/{grant.tool}, {uses}"
    why = reachable(grant.owner, ways)
    found = (Finding("unreachable", why, f"`wardgate grants revoke {grant.id}` ends it"),) if why else ()
    return Row(GRANT, grant.id, grant.owner, detail, grant.client, findings=found)


def state_of(lock: Mapping[str, str] | None, name: str, digest: str, held: str) -> str:
    """How a tool stands to what was accepted of its upstream (None: there is no lock)."""
    if lock is None:
        return UNLOCKED
    if name not in lock:
        return NEW
    return CHANGED if lock[name] != digest else HELD if held else ACCEPTED


def days_unused(last: str, since: Iterable[datetime | None], now: datetime) -> int:
    """Days since a tool was used last; of one that never was, since it is known that it wasn't."""
    begin = datetime.fromisoformat(last) if last else max((at for at in since if at is not None), default=now)
    return max(0, (now - begin).days)


def usually(who: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """What most clients may, and the clients for which it is otherwise."""
    words = list(who.values())
    usual = max(dict.fromkeys(words), key=words.count, default="")
    return usual, tuple(client for client, word in who.items() if word != usual)


def strict_first(one: Permission) -> tuple[int, str]:
    """To sort permissions by: what can do most harm first."""
    return -list(Tier).index(one.tool.tier), one.name
