"""Notes and checkpoints: the published examples, strictness, and that no other text is signed by a signature."""

import base64
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.note import (
    COSIGNATURE,
    ED25519,
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

# The keys and notes of the tests of the Go module sumdb/note, whose format C2SP took over.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
QUOTE = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
_BY_PETER = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
QUOTED = f"{QUOTE}\n— PeterNeumann {_BY_PETER}\n"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
_BY_ENOCH = "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ="

# A checkpoint of the staging log arche2025h1, as it was published in May 2026: signed by the log with ed25519 and with
# a kind that we don't know (0x05), and cosigned by witnesses (0x04). The keys are the published ones.
ARCHE = "arche2025h1.staging.ct.transparency.dev"
ARCHE_KEY = f"{ARCHE}+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
REMORA_KEY = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
_ARCHE_ROOT = "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro="
_BY_ARCHE_5 = (
    "zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lv"
    "Gt0="
)
_BY_ARCHE = "ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ="
_BY_GARDEN = "2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ=="
_BY_REMORA = "2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw=="
COSIGNED = f"""\
{ARCHE}
1432088532
{_ARCHE_ROOT}

— {ARCHE} {_BY_ARCHE_5}
— {ARCHE} {_BY_ARCHE}
— transparency.dev/DEV:witness-little-garden {_BY_GARDEN}
— remora.n621.de {_BY_REMORA}
"""

# The examples of C2SP: a note (signed-note), and a checkpoint that a witness cosigned (tlog-cosignature).
_BY_SALVATORE = "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc="
POEM = f"""\
Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore {_BY_SALVATORE}
"""
_SOFA_ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
_BY_SOFA = "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8="
_BY_W1 = "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
SOFA = f"""\
example.com/behind-the-sofa
20852163
{_SOFA_ROOT}

— example.com/behind-the-sofa {_BY_SOFA}
— witness.example.com/w1 {_BY_W1}
"""

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


def test_a_note_of_two_published_keys_is_verified_by_each() -> None:
    both = read_note(f"{QUOTED}— EnochRoot {_BY_ENOCH}\n")
    assert [each.name for each in both.signatures] == ["PeterNeumann", "EnochRoot"]
    for key in (PETER, ENOCH):
        assert both.signed_by(read_vkey(key), verify)
    assert not read_note(QUOTED).signed_by(read_vkey(ENOCH), verify)


@pytest.mark.parametrize(
    "key",
    [PETER, ENOCH, ARCHE_KEY, REMORA_KEY, "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
     "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"],
    ids=["peter", "enoch", "log", "witness", "plus", "c2sp"],
)  # fmt: skip
def test_published_keys_are_read_and_written(key: str) -> None:
    assert str(read_vkey(key)) == key


def test_no_part_of_a_published_key_is_a_key() -> None:
    for begin, end in combinations(range(len(PETER) + 1), 2):
        if end - begin < len(PETER):
            with pytest.raises(ValueError):
                read_vkey(PETER[begin:end])


@pytest.mark.parametrize(
    "key",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",  # too long, with its own id
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",  # of an unknown kind, with its own id
    ],
)
def test_published_keys_that_are_damaged_are_refused(key: str) -> None:
    with pytest.raises(ValueError):
        read_vkey(key)


def test_a_published_checkpoint_is_verified_by_its_log_and_by_a_witness() -> None:
    note = read_note(COSIGNED)
    assert write(note) == COSIGNED
    checkpoint = read_checkpoint(note.text)
    assert (checkpoint.origin, checkpoint.size, checkpoint.text) == (ARCHE, 1_432_088_532, note.text)
    for key in (ARCHE_KEY, REMORA_KEY):
        assert note.signed_by(read_vkey(key), verify)
        assert not read_note(COSIGNED.replace("1432088532", "1432088533")).signed_by(read_vkey(key), verify)
    log, witness = read_vkey(ARCHE_KEY), read_vkey(REMORA_KEY)
    assert not note.signed_by(Verifier(log.name, COSIGNATURE, log.public), verify)
    assert not note.signed_by(Verifier(witness.name, ED25519, witness.public), verify)


def test_the_examples_of_c2sp_are_read() -> None:
    poem, sofa = read_note(POEM), read_note(SOFA)
    assert poem.text.endswith("\n\ned è subito sera.\n")  # an empty line in the text doesn't end it
    assert [each.name for each in poem.signatures] == ["quasimodo.example/salvatore"]
    assert read_checkpoint(sofa.text) == Checkpoint(
        "example.com/behind-the-sofa", 20_852_163, base64.b64decode(_SOFA_ROOT)
    )
    assert int.from_bytes(sofa.signatures[1].data[:8], "big") == 1_679_315_147
    assert (write(poem), write(sofa)) == (POEM, SOFA)


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
        QUOTE,
        f"{QUOTE}\n",
        QUOTED[:-1],
        f"\x01{QUOTED}",
        f"{QUOTE}\n— Bad Name {_BY_PETER}\n",
        f"{QUOTED}Unexpected line.\n",
        f"no line break\x0c\n— PeterNeumann {_BY_PETER}\n",
        f"no line break\u2028\n— PeterNeumann {_BY_PETER}\n",
        QUOTED.replace("\n", "\r\n"),
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_note(text)


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\nAAAA\n",
        CHECKPOINT.text + "\n",
        "o\n01\n" + "A" * 43 + "=\n",
        "o\n-1\n" + "A" * 43 + "=\n",
        "\n1\n" + "A" * 43 + "=\n",
        "o\n1\n",
    ],
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
