"""What the console asks of the gateway, as a Protocol, and the values that its pages show. No implementation here."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol

from msgspec import Struct, field

from gateway.core.approval import Voter
from gateway.core.canon import digest
from gateway.core.coverage import Part
from gateway.core.figures import Figures
from gateway.core.leaks import Leak
from gateway.core.model import Approval, Choice, Freeze, Grant
from gateway.core.query import Query
from gateway.core.spare import Proposal
from gateway.core.view import Card
from gateway.reading import Row, Story


class ToolRow(Struct, frozen=True):
    """One tool as the page of upstreams lists it; `changed_at` is when its definition became another one."""

    name: str
    exposed: str
    effect: str
    tier: str
    labelled: str  # "file:line" of the label; empty: nobody labelled it
    digest: str
    description: str
    calls: int = 0  # in 30 days
    last_used: str = ""
    changed_at: str = ""
    difference: tuple[str, ...] = ()  # lines of a unified diff, where both definitions are known
    held: str = ""  # why nobody may call it until somebody accepts what it is


class UpstreamRow(Struct, frozen=True):
    """One upstream with its tools."""

    name: str
    state: str
    detail: str
    owner: str
    technical: str
    acts_as: str
    frozen: str
    tools: tuple[ToolRow, ...] = ()
    screened: str = ""  # how far its surfaces are screened, in a few words
    coverage: tuple[Part, ...] = ()


class HeldRow(Struct, frozen=True):
    """One thing of an upstream that is held because it is new or changed, as a person has to see it to accept it.

    `kind` is `tools`, `prompts`, `templates`, `runtime` or `instructions`; `name` is the upstream's own.
    """

    upstream: str
    kind: str
    name: str
    exposed: str
    state: str  # new or changed
    digest: str  # whole
    before: str = ""  # digest of what was accepted
    command: str = ""  # what accepts it at a terminal
    confirm: str = ""  # what has to be typed to accept it
    effect: str = ""  # of a tool: what it would count as
    tier: str = ""
    entry: str = ""  # the label's entry that says so, and where; empty: nobody labelled it
    proposed: str = ""  # what its name suggests then
    remarks: tuple[str, ...] = ()
    difference: tuple[str, ...] = ()  # `- `, `+ ` or two spaces in front of each line

    @property
    def mark(self) -> str:
        """What tells whether it is as it was shown: with another effect or remark it is another question."""
        parts = (self.upstream, self.kind, self.name, self.state, self.digest, self.before)
        return "held " + digest([*parts, self.effect, self.tier, self.entry, *self.remarks])


class HeldPolicy(Struct, frozen=True):
    """A policy (or an upstreams.toml) that waits for a person, by its digest, and how it differs."""

    digest: str
    command: str  # what accepts it at a terminal
    differences: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """What tells that it was shown."""
        return f"policy {self.digest}"


class LeakChoice(str, Enum):
    """What can be said of a leak on its page."""

    ROTATING = "rotating"
    ROTATED = "rotated"  # with what proves it
    ACCEPT = "accept"  # with a reason, for a while
    ALLOW = "allow"  # it is no secret: what was found passes for a while
    OPEN = "open"  # it counts again


class LeakWord(Struct, frozen=True):
    """What a person said of a leak."""

    choice: LeakChoice
    note: str = ""
    lasts: timedelta | None = None  # of what is accepted or allowed


class LeakStory(Struct, frozen=True):
    """One leak, the newest calls that saw it, and what was said and told of it; of what this person may see.

    `known`: whoever asks may see everybody's records, and so with whom else it was seen. `may`: such a one, or its
    owner, who may say what becomes of it.
    """

    leak: Leak
    calls: tuple[Row, ...] = ()
    history: tuple[Row, ...] = ()
    known: bool = True
    may: bool = True


class FileRow(Struct, frozen=True):
    """One file of `policies/`."""

    name: str
    owner: str
    technical: str
    upstream: str
    review_by: str
    overdue: bool
    observe_until: str
    rules: int
    labels: int


class PolicyRow(Struct, frozen=True):
    """The policy in force, and what is to be said about the files on the disk now."""

    revision: str
    accepted: Mapping[str, str]
    files: tuple[FileRow, ...]
    problems: tuple[tuple[str, str], ...] = ()  # severity, message
    held: tuple[HeldPolicy, ...] = ()


class Counts(Struct, frozen=True):
    """Calls by hour (`2026-11-22T14`) and a word: tier, or verdict."""

    hours: tuple[str, ...]
    by: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Told(Struct, frozen=True):
    """The figures of some days, with what the plots are drawn from."""

    days: int
    figures: Figures
    rows: tuple[Approval, ...]
    tiers: Counts
    verdicts: Counts
    proposals: Mapping[str, Sequence[Proposal]] = field(default_factory=dict)  # by rule that is waved through


class Gate(Protocol):
    """The gateway as people use it. Votes that don't count raise `ApprovalError`, what broke `GatewayError`."""

    def voter(self, name: str) -> Voter:
        """Who votes under a name: proof `local`, with the roles of the configuration."""

    async def waiting(self) -> Sequence[Approval]:
        """The rows that wait for a person, oldest first."""

    async def row(self, prefix: str) -> Approval:
        """One row by the beginning of its id."""

    async def card(self, row: Approval) -> Card:
        """Its card."""

    async def plan(self, row: Approval) -> Sequence[Approval]:
        """The other rows that wait in its session, oldest first."""

    async def would_cover(self, row: Approval, choice: Choice, voter: Voter) -> tuple[int, int]:
        """How many questions of the last 30 days a grant would have spared, and of how many."""

    async def answer(self, row: Approval, body: Mapping[str, Any], voter: Voter) -> Approval:
        """Settle a row as a person chose."""

    async def label(self, row: Approval, effect: str, voter: Voter) -> int:
        """Write down what the tool of a row does; returns how many rows are decided anew."""

    async def grants(self) -> Sequence[Grant]:
        """All grants, the newest first."""

    async def revoke(self, prefix: str, voter: Voter) -> Grant:
        """End a grant."""

    def held_policies(self) -> Sequence[str]:
        """The digests of the policies, or of upstreams.toml, that wait for a person."""

    def freezes(self) -> Sequence[Freeze]:
        """All that is held now."""

    async def freeze(self, upstream: str, session: str, voter: Voter, note: str = "") -> Freeze:
        """Hold everything, one upstream or one session."""

    async def thaw(self, upstream: str, session: str, voter: Voter, *, everything: bool = False) -> Sequence[Freeze]:
        """Let go what was held."""

    async def decisions(self, name: str, query: Query) -> Sequence[Row]:
        """One page of the record, of what this person may see; newest first."""

    async def story(self, name: str, prefix: str) -> Story | None:
        """All records of one call; None for one that is unknown, or not this person's to see."""

    def sessions(self, name: str) -> Sequence[Mapping[str, Any]]:
        """What the monitor has seen of each session, the most recently active last; with sentences of those that this
        person may see.
        """

    async def upstreams(self) -> Sequence[UpstreamRow]:
        """All upstreams with their tools."""

    def may_accept(self, name: str) -> bool:
        """Whether this person's word lets count what is held."""

    async def holdings(self, most: int) -> tuple[Sequence[HeldRow], int]:
        """What of the upstreams is held because it is new or changed, and how many more than `most` there are."""

    async def accept(self, shown: HeldRow, voter: Voter) -> None:
        """Accept one thing, if it is as it was shown; raises `ApprovalError` where it is not."""

    async def accept_policy(self, digest: str, voter: Voter) -> bool:
        """Let a policy that is held count, by its whole digest; returns whether it does at the next start only."""

    async def leaks(self, name: str) -> Sequence[Leak]:
        """The leaks that this person may see; what is to be done first comes first."""

    async def leak(self, name: str, prefix: str) -> LeakStory | None:
        """One leak by the beginning of its id; None for one that is unknown, or not this person's to see."""

    async def settle_leak(self, leak: Leak, word: LeakWord, voter: Voter) -> Leak:
        """Write down what a person said of a leak that was read before."""

    async def policy(self) -> PolicyRow:
        """The policy in force."""

    async def told(self, days: int) -> Told:
        """The figures of some days."""

    def now(self) -> datetime:
        """Aware UTC wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def longest_grant(self) -> int:
        """How many minutes a grant may stand."""


class Proofs(Protocol):
    """Passkeys: enrolment, sign-in, and signatures over what a card says. All raise `ApprovalError`.

    `origin` is that of the page, as the console has checked it; an `answer` is what the browser gave.
    """

    async def enrol_options(self, name: str, origin: str) -> Mapping[str, Any]:
        """What `navigator.credentials.create` is given."""

    async def enrol(self, name: str, answer: Mapping[str, Any], by: str, origin: str) -> tuple[str, str]:
        """Keep the new key of an approver: its id; or (with an empty id) what it waits under for a signature of another
        key of that name.
        """

    async def endorse_options(self, nonce: str) -> Mapping[str, Any]:
        """What `navigator.credentials.get` is given so that another passkey signs for one that waits."""

    async def endorse(self, answer: Mapping[str, Any], origin: str) -> str:
        """Keep a key that waited; returns its id."""

    async def sign_in_options(self, origin: str) -> Mapping[str, Any]:
        """What `navigator.credentials.get` is given to sign in."""

    async def sign_in(self, answer: Mapping[str, Any], origin: str) -> str:
        """The approver whose key it is."""

    async def sign_options(self, rows: Sequence[Approval], body: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
        """What `navigator.credentials.get` is given to sign an answer to these rows."""

    async def signed(
        self, rows: Sequence[Approval], body: Mapping[str, Any], answer: Mapping[str, Any], origin: str
    ) -> Voter:
        """Who signed that, for which rows."""
