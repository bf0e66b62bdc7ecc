"""`verify` on records of signed approvals: whatever of a signature, its document or its key was changed, is found.

The changed record is made whole again each time, with all its hashes: only the signatures tell.
"""

import copy
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from gateway import verifying
from gateway.approvals.proofs import EndorsementError
from gateway.core.approval import Chosen
from gateway.core.merkle import Tree, leaf_hash
from gateway.core.model import Choice, Kind, Proof
from gateway.core.record import COLUMNS
from gateway.errors import StateError
from gateway.schema import STORE_NAME
from gateway.signers import ssh
from gateway.store import people, rows
from gateway.verifying import verify_folder
from tests.authenticator import SecurityKey, SshKey, b64u
from tests.fakes import a_call, an_ask
from tests.signing import SIGNED, an_office, in_thread
from tests.test_settling import ALIKE, LABELLED

SECRET = "correct horse"
Body = dict[str, Any]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of keys and of approvals that were signed in every way."""
    place = tmp_path_factory.mktemp("signed")

    async def fill() -> Path:
        async with an_office(place) as office:
            passkey, second = await office.passkey("ada"), SecurityKey()
            locked = await in_thread(SshKey.make, place / "locked", SECRET)
            await office.proofs.enrol_ssh("bob", locked.line, str(locked.file), "", "os:bob")
            bare = await in_thread(SshKey.make, place / "bare")
            await office.proofs.enrol_ssh("alice", bare.line, str(bare.file), "", "os:alice")
            try:
                await office.proofs.enrol_ssh("ada", second.line, "", "", "os:ada")
            except EndorsementError as waits:
                options = await office.proofs.endorse_options(waits.nonce)
                await office.proofs.endorse(passkey.get(options), passkey.origin)
            row = await office.asks()
            await office.settle(row, await office.touch(passkey, row))
            row = await office.asks(call=a_call(2, path="b"))
            await office.settle(row, await office.sign(locked, row))
            row = await office.asks(call=a_call(3, path="c"), tool=LABELLED)
            await office.settle(row, await office.sign(second, row, body=ALIKE))
            row = await office.asks(an_ask(Proof.LOCAL), a_call(4, path="d"))
            await office.settle(row, await office.sign(bare, row), Chosen(Choice.ONCE))
            row = await office.asks(an_ask(Proof.SIGNED, approvers=2), a_call(5, path="e"))
            await office.settle(row, await office.touch(passkey, row))
            await office.settle(row, await office.sign(locked, row))
            row = await office.asks(call=a_call(6, path="f"))
            await office.settle(row, await office.sign(second, row, body={"choice": "deny"}), Chosen(Choice.DENY))
            await office.proofs.revoke((await office.proofs.keys("bob"))[0].id, "os:bob")
            return office.state

    return anyio.run(fill)


def rewritten(state: Path, place: Path, change: Callable[[list[Body]], None]) -> Path:
    """A copy of the record with other bodies, and everything else made to fit."""
    shutil.copytree(state, place / "copy")
    with closing(sqlite3.connect(place / "copy" / STORE_NAME, isolation_level=None)) as db:
        bodies = [msgspec.json.decode(body) for (body,) in db.execute("SELECT body FROM record ORDER BY seq")]
        change(bodies)
        tree, marks = Tree(), ", ".join(f"{name} = ?" for name in COLUMNS)
        for seq, members in enumerate(bodies, 1):
            rest = {name: value for name, value in members.items() if name != "seq"}
            body = msgspec.json.encode({"seq": seq, **rest})
            tree.extend([leaf_hash(body)])
            copies = [members.get(name, "") for name in COLUMNS]
            db.execute(
                f"UPDATE record SET body = ?, leaf = ?, {marks} WHERE seq = ?", (body, leaf_hash(body), *copies, seq)
            )
        db.execute("UPDATE head SET frontier = ?, root = ?", (tree.frontier, tree.root()))
    return place / "copy"


def votes(bodies: list[Body], kind: str = "", proof: str = "signed") -> list[Body]:
    """The votes of a proof, by a kind of key."""
    found = [vote for body in bodies for vote in body.get("extra", {}).get("votes", ()) if vote["proof"] == proof]
    return [vote for vote in found if kind in ("", vote.get("evidence", {}).get("kind"))]


def approver(bodies: list[Body], state: str = "enrolled") -> list[Body]:
    return [body["extra"] for body in bodies if body["kind"] == "approver" and body["extra"]["state"] == state]


def replaced(evidence: Body, old: str, new: str) -> None:
    assert old in evidence["document"]
    evidence["document"] = evidence["document"].replace(old, new)


def flip(text: str, at: int = 40) -> str:
    """The text with one character changed."""
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def other_arguments(bodies: list[Body]) -> None:
    """Another call is put in the place of the one that was approved, wherever it stands."""
    for body in bodies:
        if "statement" in body.get("extra", {}):
            body["extra"]["statement"]["arguments_digest"] = "0" * 64


def no_endorsement(bodies: list[Body]) -> None:
    for about in approver(bodies):
        about.pop("endorsed", None)


def longer_grant(bodies: list[Body]) -> None:
    for body in bodies:
        if body["kind"] == Kind.GRANT.value:
            body["extra"]["uses"] = 999


def unsigned_approval(bodies: list[Body]) -> None:
    vote = votes(bodies)[0]
    vote["proof"] = "local"


CHANGES: dict[str, Callable[[list[Body]], None]] = {
    "signature of a passkey": lambda bodies: votes(bodies, "passkey")[0]["evidence"]["signature"].update(
        signature=b64u(b"noise")
    ),
    "data of a passkey": lambda bodies: votes(bodies, "passkey")[0]["evidence"]["signature"].update(
        authenticator_data=flip(votes(bodies, "passkey")[0]["evidence"]["signature"]["authenticator_data"])
    ),
    "signature of an ssh key": lambda bodies: votes(bodies, "ssh")[0]["evidence"].update(
        signature=flip(votes(bodies, "ssh")[0]["evidence"]["signature"], 300)
    ),
    "document": lambda bodies: replaced(votes(bodies, "ssh")[0]["evidence"], '"once"', '"session"'),
    "document of a passkey": lambda bodies: replaced(votes(bodies, "passkey")[0]["evidence"], '"once"', '"session"'),
    "statement": other_arguments,
    "name": lambda bodies: votes(bodies)[0].update(by="eve"),
    "key": lambda bodies: votes(bodies)[0]["evidence"].update(key="SHA256:none"),
    "key of another kind": lambda bodies: votes(bodies, "passkey")[0]["evidence"].update(
        key=votes(bodies, "ssh")[0]["evidence"]["key"]
    ),
    "no evidence": lambda bodies: votes(bodies)[0].pop("evidence"),
    "evidence of no shape": lambda bodies: votes(bodies)[0].update(evidence={"key": []}),
    "a local vote made signed": lambda bodies: votes(bodies, proof="local")[0].update(proof="signed"),
    "a vote made local": unsigned_approval,
    "a denial made an approval": lambda bodies: votes(bodies)[-1].update(approve=True),
    "key of an enrolment": lambda bodies: approver(bodies)[1].update(public=SecurityKey().line),
    "name of an enrolment": lambda bodies: approver(bodies)[0].update(name="eve"),
    "attended": lambda bodies: approver(bodies)[1].update(attended=False),
    "no endorsement": no_endorsement,
    "endorsement of another key": lambda bodies: approver(bodies)[3].update(public=SecurityKey().line),
    "enrolled later": lambda bodies: bodies.append(bodies.pop(0)),
    "revoked before": lambda bodies: bodies.insert(3, bodies.pop()),
    "enrolled twice": lambda bodies: bodies.__setitem__(2, copy.deepcopy(bodies[1])),
    "revoked without an enrolment": lambda bodies: approver(bodies, "revoked")[0].update(key="SHA256:none"),
    "grant": longer_grant,
}


def test_an_untouched_record_is_whole(kept: Path, tmp_path: Path) -> None:
    found = verify_folder(rewritten(kept, tmp_path, lambda bodies: None))
    assert found.ok, found.detail


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_of_what_was_signed_is_found_by_the_signatures_alone(
    change: Callable[[list[Body]], None], kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = rewritten(kept, tmp_path, change)
    found = verify_folder(state)
    assert not found.ok
    assert found.first_bad is not None
    monkeypatch.setattr(verifying, "signatures", lambda db, walk: None)
    assert verify_folder(state).ok


def test_without_ssh_keygen_the_record_can_not_be_verified(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StateError):
        verify_folder(kept)


def test_a_vote_that_stands_in_many_records_is_verified_once(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    listen = ssh.listen

    def count(public: str, document: str, signature: Any) -> Any:
        heard.append(document)
        return listen(public, document, signature)

    monkeypatch.setattr(ssh, "listen", count)
    assert verify_folder(kept).ok
    assert len(heard) == len(set(heard)) > 0


@pytest.mark.parametrize("known", ["in the table", "by its revocation", "no more"])
async def test_a_key_that_was_enrolled_in_rows_that_are_gone_is_known_while_anything_tells_of_it(
    known: str, tmp_path: Path
) -> None:
    async with an_office(tmp_path, verified=False) as office:
        key = await office.security_key()
        row = await office.asks(SIGNED)
        await office.settle(row, await office.sign(key, row))
        (enrolled,) = await office.proofs.keys()
        if known == "by its revocation":
            await office.proofs.revoke(enrolled.id, "os:ada")
        elif known == "no more":
            await office.store.append((), (people.drop_key(enrolled.id),))
        upto = Tree()
        upto.extend(await office.store.leaves(0, 1))
        assert await office.store.append((), rows.prune(0, upto))
        assert "enrolled" not in [record.extra["state"] for record in office.records(Kind.APPROVER)]
    found = await in_thread(verify_folder, tmp_path / "state")
    assert found.ok is (known != "no more"), found.detail
