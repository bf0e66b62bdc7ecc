"""What the tests of signed approvals share: a desk with proofs on a store of its own, people, and their keys."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from gateway.approvals import Approvals
from gateway.approvals.proofs import Proofs
from gateway.config import Approver
from gateway.core.approval import Chosen, Voter
from gateway.core.model import Approval, Call, Choice, Decision, Held, Kind, Proof, Record, Tool
from gateway.store import SqliteStore, open_store
from tests.authenticator import Passkey, SecurityKey
from tests.fakes import DEADLINE, KEY, FakeCaller, FakeClock, a_call, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE, on_disk, whole

ORIGIN = "http://localhost:8765"
BOTH, ONLY_SIGNED, ONLY_LOCAL = (
    frozenset({Proof.LOCAL, Proof.SIGNED}),
    frozenset({Proof.SIGNED}),
    frozenset({Proof.LOCAL}),
)
APPROVERS = {
    "ada": Approver("ada", frozenset({"mail-admin"}), BOTH),
    "bob": Approver("bob", frozenset(), ONLY_SIGNED),
    "cy": Approver("cy", frozenset(), ONLY_LOCAL),
    "alice": Approver("alice", frozenset(), BOTH),  # who also asks: `os:alice` is the principal of these calls
}
SIGNED = an_ask(Proof.SIGNED)
ONCE = {"choice": "once"}


@dataclass
class Office:
    """A gateway's approvals and proofs, and what a test does with them."""

    store: SqliteStore
    clock: FakeClock
    approvals: Approvals
    proofs: Proofs
    state: Path

    async def asks(self, decision: Decision = SIGNED, call: Call | None = None, tool: Tool | None = None) -> Approval:
        """A row that waits, and of which its caller was told."""
        given = a_wait(call or a_call(), tool or a_tool(), decision, {"path": "a.txt"}, self.clock.now())
        held = await self.approvals.obtain(*given, FakeCaller(budget=0))
        assert isinstance(held, Held)
        return held.approval

    async def obtain(self, decision: Decision = SIGNED, call: Call | None = None) -> Approval | Held:
        """The same call again."""
        given = a_wait(call or a_call(), a_tool(), decision, {"path": "a.txt"}, self.clock.now())
        return await self.approvals.obtain(*given, FakeCaller(budget=0))

    async def passkey(self, name: str = "ada", **more: Any) -> Passkey:
        """A passkey that was enrolled for an approver who had no key."""
        made = Passkey(**more)
        options = await self.proofs.enrol_options(name, ORIGIN)
        await self.proofs.enrol(name, made.create(options), f"os:{name}", ORIGIN)
        return made

    async def security_key(self, name: str = "ada", **more: Any) -> SecurityKey:
        """An ssh security key, the same way."""
        made = SecurityKey(**more)
        await self.proofs.enrol_ssh(name, made.line, "", "", f"os:{name}")
        return made

    async def touch(self, key: Passkey, *rows: Approval, body: Mapping[str, Any] = ONCE) -> Voter:
        """Who signed an answer to rows by touching a passkey."""
        options = await self.proofs.sign_options(rows, body, ORIGIN)
        return await self.proofs.signed(rows, body, key.get(options), ORIGIN)

    async def sign(self, key: Any, *rows: Approval, body: Mapping[str, Any] = ONCE) -> Voter:
        """Who signed an answer to rows by an ssh key."""
        made = self.proofs.document(rows, body)
        signature = await anyio.to_thread.run_sync(key.sign, made["document"])
        return await self.proofs.ssh_signed(rows, body, made["nonce"], signature)

    async def settle(self, row: Approval, voter: Voter, chosen: Chosen | None = None) -> Approval:
        """Settle a row as it was signed."""
        terms = voter.terms
        if chosen is None and terms is not None:
            chosen = Chosen(terms.choice, until=terms.until, uses=terms.uses, values=terms.values)
        return await self.approvals.settle(row.id, chosen or Chosen(Choice.ONCE), voter)

    def records(self, kind: Kind = Kind.APPROVAL) -> list[Record]:
        """The records of a kind."""
        return [record for record in on_disk(self.state) if record.kind is kind]


@asynccontextmanager
async def an_office(tmp_path: Path, *, verified: bool = True) -> AsyncIterator[Office]:
    """An office, whose record is verified once it closes."""
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            approvals = Approvals(store, clock, KEY, longest=timedelta(hours=8))
            yield Office(store, clock, approvals, Proofs(store, clock, KEY, APPROVERS), tmp_path / "state")
    if verified:
        await whole(tmp_path / "state")


async def in_thread(work: Any, *given: Any, **more: Any) -> Any:
    """Do what blocks off the loop."""
    return await anyio.to_thread.run_sync(partial(work, *given, **more))
