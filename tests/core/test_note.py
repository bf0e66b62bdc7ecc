"""Notes and checkpoints: the published examples, strictness, and that no other text is signed by a signature."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.note import (
    COSIGNATURE,
    Checkpoint,
    Signature,
    Verifier,
    cosigned,
    read_checkpoint,
    read_note,
    read_notes,
    read_vkey,
    write,
)
from gateway.signing import sign_note, verifier_of, verify

# The example of the Go module sumdb/note, whose format C2SP took over.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
QUOTE = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
_BY_PETER = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
QUOTED = f"{QUOTE}\n— PeterNeumann {_BY_PETER}\n"

SEED = bytes(range(32))
ME = verifier_of("example.com/gate", SEED)
CHECKPOINT = Checkpoint("example.com/gate", 7, b"r" * 32)
SIGNED = sign_note(CHECKPOINT.text, "example.com/gate", SEED)


def test_the_published_note_is_verified() -> None:
    verifier = read_vkey(PETER)
    assert str(verifier) == PETER
    assert read_note(QUOTED).text == QUOTE
    assert read_note(QUOTED).signed_by(verifier, verify)
    assert not read_note(QUOTED.replace("answer", "question")).signed_by(verifier, verify)


def test_a_checkpoint_is_written_signed_and_read_back() -> None:
    note = read_note(SIGNED)
    assert read_checkpoint(note.text) == CHECKPOINT
    assert note.signed_by(ME, verify)
    assert write(note) == SIGNED
    assert read_vkey(str(ME)) == ME


def test_a_signature_of_another_name_or_key_does_not_count() -> None:
    note = read_note(SIGNED)
    assert not note.signed_by(Verifier("other", ME.kind, ME.public), verify)
    assert not note.signed_by(verifier_of("example.com/gate", b"o" * 32), verify)


@given(st.integers(0, len(SIGNED) - 1), st.characters(max_codepoint=0x2500, exclude_categories=["Cs"]))
def test_no_change_of_a_note_is_taken_for_signed(at: int, char: str) -> None:
    changed = SIGNED[:at] + char + SIGNED[at + 1 :]
    try:
        note = read_note(changed)
    except ValueError:
        return
    assert changed == SIGNED or not note.signed_by(ME, verify) or note.text == CHECKPOINT.text


def test_notes_stand_one_behind_the_other() -> None:
    assert read_notes(SIGNED + SIGNED) == read_notes(SIGNED + "\n" + SIGNED) == [read_note(SIGNED)] * 2
    with pytest.raises(ValueError):
        read_note(SIGNED + SIGNED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x\n",
        "x\n\nno signature\n",
        f"{QUOTE}\n— PeterNeumann x08g\n",
        f"{QUOTE}\n— a b c d\n",
        SIGNED[:-1],
        "\n— a AAAAAAAA\n",
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_note(text)


@pytest.mark.parametrize(
    "text",
    ["o\n1\nAAAA\n", "o\n01\n" + "A" * 43 + "=\n", "o\n-1\n" + "A" * 43 + "=\n", "\n1\n" + "A" * 43 + "=\n", "o\n1\n"],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_checkpoint(text)


def test_extensions_of_a_checkpoint_are_passed_over() -> None:
    assert read_checkpoint(CHECKPOINT.text + "more\n") == CHECKPOINT


@pytest.mark.parametrize(
    "text", ["", "a+b+c", PETER.replace("c7", "c8"), PETER.replace("+AR", "+BR"), "a b+c74f20a3+ARpc"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_vkey(text)


def test_a_witness_adds_its_cosignature() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
    witness = Verifier("witness.example", COSIGNATURE, private.public_key().public_bytes_raw())
    assert read_vkey(str(witness)) == witness
    stamp = (1_700_000_000).to_bytes(8, "big")
    signed = private.sign(b"cosignature/v1\ntime 1700000000\n" + CHECKPOINT.text.encode())
    line = f"— witness.example {base64.b64encode(witness.id + stamp + signed).decode()}\n"
    both = read_note(cosigned(read_note(SIGNED), [line]))
    assert both.signed_by(ME, verify)
    assert both.signed_by(witness, verify)
    late = Signature(witness.name, witness.id, (1).to_bytes(8, "big") + signed)
    assert not type(both)(both.text, (late,)).signed_by(witness, verify)
    assert not type(both)(both.text, (Signature(witness.name, witness.id, signed),)).signed_by(witness, verify)
    with pytest.raises(ValueError):
        cosigned(both, ["nonsense"])
