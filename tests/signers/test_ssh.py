"""Ssh signatures: by real `ssh-keygen`, with keys that are made at run time, and by a security key in software."""

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.signed import Heard
from gateway.errors import StateError
from gateway.signers import ssh
from tests.authenticator import SecurityKey, SshKey

SECRET = "correct horse"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def bare(folder: Path) -> SshKey:
    """A key without a passphrase."""
    return SshKey.make(folder / "bare")


@pytest.fixture(scope="module")
def locked(folder: Path) -> SshKey:
    """A key with one."""
    return SshKey.make(folder / "locked", SECRET)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """The socket of an agent that holds no key yet."""
    socket = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield socket
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_a_signature_is_heard_and_one_of_another_text_is_not(bare: SshKey) -> None:
    signature = bare.sign("this")
    assert ssh.listen(bare.line, "this", signature) is Heard.GOOD
    assert ssh.listen(bare.line, "that", signature) is Heard.BAD


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_kinds_of_keys_are_heard(kind: str, tmp_path: Path) -> None:
    key = SshKey.make(tmp_path / kind, kind=kind)
    assert ssh.listen(key.line, "this", key.sign("this")) is Heard.GOOD


def test_a_signature_of_another_key_or_for_another_purpose_is_not_heard(bare: SshKey, locked: SshKey) -> None:
    assert ssh.listen(locked.line, "this", bare.sign("this")) is Heard.BAD
    assert ssh.listen(bare.line, "this", bare.sign("this", "git")) is Heard.BAD


@pytest.mark.parametrize("touched", [True, False])
def test_a_security_keys_signature_says_whether_it_was_touched(touched: bool) -> None:
    key = SecurityKey(touched=touched)
    assert ssh.listen(key.line, "this", key.sign("this")) is (Heard.PRESENT if touched else Heard.ABSENT)
    assert ssh.listen(key.line, "that", key.sign("this")) is Heard.BAD


def test_a_touch_that_was_added_to_a_signature_is_not_heard() -> None:
    key = SecurityKey(touched=False)
    text = key.sign("this")
    lines = text.strip().splitlines()
    data = bytearray(base64.b64decode("".join(lines[1:-1])))
    data[-5] = 1
    forged = "\n".join([lines[0], base64.b64encode(data).decode(), lines[-1]])
    assert ssh.listen(key.line, "this", forged) is Heard.BAD


@pytest.mark.parametrize(
    "signature", ["", "x", None, 7, {"a": "b"}, "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"]
)
def test_what_is_no_signature_is_not_heard(signature: object, bare: SshKey) -> None:
    assert ssh.listen(bare.line, "this", signature) is Heard.BAD


def test_the_signer_is_told_by_fingerprint_as_ssh_keygen_tells_it(bare: SshKey) -> None:
    told = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(bare.file)], stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    assert ssh.signer(bare.sign("x")) in told.split()
    with pytest.raises(ValueError):
        ssh.signer("nobody")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-dss AAAA",
        "ssh-ed25519 not-base64!",
        "ssh-ed25519 AAAAB3NzaC1yc2E=",  # says that it is RSA inside
        "ssh-ed25519-cert-v01@openssh.com AAAA",
        'command="x" ssh-ed25519 AAAA',
        "ssh-ed25519 AAAA\nssh-ed25519 AAAA",
        "ssh-ed25519 " + "A" * 20_000,
    ],
)
def test_only_one_plain_public_key_is_read(line: str) -> None:
    with pytest.raises(ValueError):
        ssh.read_public(line)


def test_a_comment_of_a_public_key_is_dropped(bare: SshKey) -> None:
    assert bare.line.startswith(f"{ssh.read_public(bare.line).line} ")


def test_a_key_without_a_passphrase_is_unattended(bare: SshKey) -> None:
    assert ssh.unattended(ssh.read_public(bare.line), bare.file, "")


def test_a_key_with_a_passphrase_needs_somebody(locked: SshKey) -> None:
    assert ssh.unattended(ssh.read_public(locked.line), locked.file, "") == ""


def test_a_security_key_needs_somebody() -> None:
    assert ssh.unattended(ssh.read_public(SecurityKey().line), None, "") == ""


def test_a_key_that_an_agent_signs_with_is_unattended(locked: SshKey, agent: str, tmp_path: Path) -> None:
    public = ssh.read_public(locked.line)
    assert ssh.unattended(public, locked.file, agent) == ""
    asker = tmp_path / "ask"
    asker.write_text(f"#!/bin/sh\necho '{SECRET}'\n", encoding="ascii")
    asker.chmod(0o700)
    asks = {"SSH_AUTH_SOCK": agent, "SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(
        ["ssh-add", "-q", str(locked.file)], check=True, stdin=subprocess.DEVNULL, env={**os.environ, **asks}
    )
    assert ssh.unattended(public, locked.file, agent)


def test_a_key_whose_private_half_can_not_be_tried_is_unattended(bare: SshKey, locked: SshKey, tmp_path: Path) -> None:
    public = ssh.read_public(locked.line)
    old = SshKey.make(tmp_path / "old", SECRET, "rsa", "PEM")
    odd = tmp_path / "odd"
    os.mkfifo(tmp_path / "pipe")
    texts = [
        "",
        "x",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n!\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END",
    ]
    for file in (None, bare.file, tmp_path / "none", tmp_path / "pipe", tmp_path):
        assert ssh.unattended(public, file, "")
    assert ssh.unattended(ssh.read_public(old.line), old.file, "")
    for text in texts:
        odd.write_text(text, encoding="ascii")
        assert ssh.unattended(public, odd, "")


def test_without_ssh_keygen_nothing_can_be_said(bare: SshKey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    signature = bare.sign("this")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StateError):
        ssh.listen(bare.line, "this", signature)


def test_a_run_that_never_ends_is_ended(
    bare: SshKey, locked: SshKey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signature = bare.sign("this")
    slow = tmp_path / "ssh-keygen"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 60\n", encoding="ascii")
    slow.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(ssh, "DEADLINE", 0.2)
    assert ssh.listen(bare.line, "this", signature) is Heard.BAD
    assert ssh.unattended(ssh.read_public(locked.line), locked.file, "") == ""  # it waits for somebody
