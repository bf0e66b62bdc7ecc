"""`approver`, and `approve --key`: keys are enrolled, listed and revoked, and only what was shown is signed."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import approve, approver, deny, sign
from gateway.cli.talk import Unreachable
from gateway.core.model import Kind, Proof
from gateway.core.signed import KEY_FORMAT, NAMESPACE
from gateway.signers.ssh import read_public
from tests.authenticator import SshKey
from tests.cli.room import Room, labelled, running
from tests.fakes import a_call, an_ask
from tests.signing import in_thread
from tests.store.keep import on_disk

pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")
Capture = pytest.CaptureFixture[str]
SECRET = "correct horse"
SIGNED = an_ask(Proof.SIGNED)


@pytest.fixture(autouse=True)
def _somebody_who_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a passphrase gets it; no agent is there, and `~` is the test's own."""
    asker = tmp_path / "knows"
    asker.write_text(f"#!/bin/sh\necho '{SECRET}'\n", encoding="ascii")
    asker.chmod(0o700)
    for name, value in (("SSH_ASKPASS", str(asker)), ("SSH_ASKPASS_REQUIRE", "force"), ("HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


async def a_key(tmp_path: Path, name: str = "key", passphrase: str = SECRET) -> SshKey:
    key: SshKey = await in_thread(SshKey.make, tmp_path / name, passphrase)
    return key


async def add(room: Room, key: SshKey, name: str = "ada", *more: str) -> Any:
    return await room.run(approver, "add", name, "--ssh-key", f"{key.file}.pub", *more)


async def test_a_key_is_added_listed_and_revoked(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        assert "nobody has a key" in (await room.run(approver, "list")).out
        key = await a_key(tmp_path)
        added = await add(room, key)
        assert (added.code, added.err) == (0, "")
        assert "of ada, signed" in added.out
        (item,) = json.loads((await room.run(approver, "list", "--json")).out)["items"]
        assert item["id"] in (await room.run(approver, "list", "ada")).out
        assert item["id"] not in (await room.run(approver, "list", "bob")).out
        revoked = await room.run(approver, "revoke", item["id"], "--json")
        assert json.loads(revoked.out)["items"][0]["id"] == item["id"]
        assert (await room.run(approver, "revoke", item["id"])).code == 1
        states = [record.extra["state"] for record in on_disk(room.folder / "state") if record.kind is Kind.APPROVER]
        assert states == ["enrolled", "revoked"]


async def test_a_key_that_signs_with_nobody_there_is_added_with_a_note(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        added = await add(room, await a_key(tmp_path, passphrase=""))
        assert added.code == 0
        assert "unattended" in added.out
        assert "without a passphrase" in added.err


async def test_a_private_half_elsewhere_is_named(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        key = await a_key(tmp_path)
        (tmp_path / "public").write_text(key.line, encoding="ascii")
        words = ("add", "ada", "--ssh-key", str(tmp_path / "public"), "--private", str(key.file))
        assert "of ada, signed" in (await room.run(approver, *words)).out


async def test_a_further_key_is_added_by_one_that_is_there(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        first, second, third = [await a_key(tmp_path, name) for name in ("first", "second", "third")]
        await add(room, first)
        refused = await add(room, second)
        assert refused.code == 1
        assert "--key" in refused.err
        assert (await add(room, second, "ada", "--key", str(third.file))).code == 1  # nobody's
        assert (await add(room, second, "ada", "--key", str(first.file))).code == 0
        assert (await add(room, second, "ada", "--key", str(first.file))).code == 1  # it is there
        assert len(json.loads((await room.run(approver, "list", "--json")).out)["items"]) == 2


async def test_a_key_that_waits_elsewhere_is_endorsed_by_its_code(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        first, second = await a_key(tmp_path, "first"), await a_key(tmp_path, "second")
        await add(room, first)
        fields = {"name": "ada", "public": second.line, "private": str(second.file)}
        waits = await in_thread(approver.ask, str(room.folder), "key-add", **fields)
        ended = await room.run(approver, "endorse", waits["nonce"], "--key", str(first.file))
        assert ended.code == 0
        assert f"{read_public(second.line).fingerprint!r} signs for 'ada'" in ended.err
        assert (await room.run(approver, "endorse", waits["nonce"], "--key", str(first.file))).code == 1


@pytest.mark.parametrize(
    "words",
    [["add"], ["add", "ada"], ["endorse", "x"], ["endorse"], ["revoke"], ["sing"], []],
    ids=" ".join,
)
async def test_what_is_missing_is_told_before_anything_is_asked(
    words: list[str], tmp_path: Path, capsys: Capture
) -> None:
    async with running(tmp_path / "c", capsys) as room:
        assert (await room.run(approver, *words)).code == 2


@pytest.mark.parametrize("text", [None, b"\xff\xfe", b"no key at all"])
async def test_what_is_no_public_key_is_not_added(text: bytes | None, tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        if text is not None:
            (tmp_path / "odd.pub").write_bytes(text)
        ended = await room.run(approver, "add", "ada", "--ssh-key", str(tmp_path / "odd.pub"))
        assert ended.code == 1
        assert ended.err


async def test_an_approval_is_signed_and_named_by_its_key(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row, key = await room.asks(decision=SIGNED), await a_key(tmp_path)
        assert (await room.run(approve, row.id, "--key", str(key.file))).code == 1  # nobody enrolled it
        await add(room, key)
        assert (await room.run(approve, row.id)).code == 1
        ended = await room.run(approve, row.id, "--key", str(key.file))
        assert (ended.code, (await room.row(row)).decided_by, (await room.row(row)).proof) == (0, "ada", Proof.SIGNED)


async def test_a_grant_and_a_denial_are_signed_too(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        await add(room, key := await a_key(tmp_path))
        row = await room.asks(decision=SIGNED, tool=labelled())
        words = ("--pattern", "--for", "15m", "--uses", "3", "--key", str(key.file))
        assert (await room.run(approve, row.id, *words)).code == 0
        (grant,) = await room.approvals.standings.grants()
        assert (grant.owner, grant.proof, grant.uses) == ("ada", Proof.SIGNED, 3)
        row = await room.asks(a_call(2, path="b.txt"), decision=SIGNED)
        assert (await room.run(deny, row.id, "--key", str(key.file))).code == 0
        assert (await room.row(row)).proof is Proof.SIGNED


async def test_a_key_that_can_not_sign_decides_nothing(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        row = await room.asks(decision=SIGNED)
        ended = await room.run(approve, row.id, "--key", str(tmp_path / "none"))
        assert ended.code == 1
        assert (await room.row(row)).state.value == "waiting"


async def test_the_enrolled_key_of_ssh_is_found_if_it_is_the_only_one(tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path / "c", capsys) as room:
        (tmp_path / ".ssh").mkdir()
        key, other = await a_key(tmp_path / ".ssh", "one"), await a_key(tmp_path / ".ssh", "two")
        (tmp_path / ".ssh" / "odd.pub").mkdir()
        row = await room.asks(decision=SIGNED)
        assert (await room.run(approve, row.id, "--sign")).code == 1
        await add(room, key)
        await add(room, other, "bob")
        assert (await room.run(approve, row.id, "--sign")).code == 1  # which of the two?
        other.file.with_suffix(".pub").unlink()
        assert (await room.run(approve, row.id, "--sign")).code == 0
        assert (await room.row(row)).decided_by == "ada"


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "session"},
        {"statements": [{"approval": "a_other", "arguments_digest": "00"}]},
        {"statements": [{"approval": "a_1", "arguments_digest": "11"}]},
        {"statements": [{"approval": "a_1", "arguments_digest": "00"}, {"approval": "a_2"}]},
        {"uses": 7},
    ],
    ids=str,
)
def test_only_the_answer_to_what_was_shown_is_signed(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"choice": "once", "statements": [{"approval": "a_1", "arguments_digest": "00"}], **change}
    made = {"document": json.dumps(said), "nonce": "n", "namespace": "x"}
    monkeypatch.setattr(sign, "ask", lambda config, op, **fields: made)
    with pytest.raises(Unreachable, match="something else"):
        sign.signed(None, {"id": "a_1"}, {"id": "a_1", "arguments_digest": "00"}, str(tmp_path / "key"))


def test_nothing_but_a_key_is_signed_as_a_key(tmp_path: Path) -> None:
    document = json.dumps({"format": "wardgate-approval/1", "choice": "once", "statements": []})
    with pytest.raises(Unreachable, match="nothing was signed"):
        sign.endorsed(document, tmp_path / "key")


def test_what_is_signed_here_counts_for_nothing_else() -> None:
    assert (sign.NAMESPACE, sign.KEY_FORMAT) == (NAMESPACE, KEY_FORMAT)
