"""Which keys count once one has followed another: by whose signatures, and in which direction."""

import pytest

from gateway.core.merkle import Tree
from gateway.core.note import Checkpoint, Note, Signature, Verifier, read_note
from gateway.core.succession import HEAD, read_succession, succession, trusted
from gateway.signing import add_signature, sign_note, verifier_of, verify

SEEDS = [bytes([number]) * 32 for number in range(4)]
KEYS = [verifier_of("o", seed) for seed in SEEDS]


def followed(before: int, after: int, signers: tuple[int, ...]) -> Note:
    """A note that one key follows another, signed with some keys."""
    first, *more = signers
    note = sign_note(succession(KEYS[before], KEYS[after]), "o", SEEDS[first])
    for signer in more:
        note = add_signature(note, "o", SEEDS[signer])
    return read_note(note)


def counted(own: int, *notes: Note) -> set[int]:
    return {KEYS.index(key) for key in trusted([KEYS[own]], (), notes, verify)}


def test_a_note_that_both_have_signed_leads_from_each_key_to_the_other() -> None:
    note = followed(0, 1, (1, 0))
    assert read_succession(note) == (KEYS[0], KEYS[1])
    assert counted(0, note) == counted(1, note) == {0, 1}


def test_a_key_that_was_lost_leads_nowhere_but_its_follower_leads_back_to_it() -> None:
    note = followed(0, 1, (1,))
    assert counted(0, note) == {0}
    assert counted(1, note) == {0, 1}


def test_trust_goes_over_several_notes_in_whatever_order_they_stand() -> None:
    notes = [followed(1, 2, (2, 1)), followed(0, 1, (1, 0)), followed(2, 3, (3,))]
    assert counted(0, *notes) == {0, 1, 2}
    assert counted(3, *notes) == counted(3, *reversed(notes)) == {0, 1, 2, 3}


def test_a_note_that_neither_of_its_keys_has_signed_leads_nowhere() -> None:
    assert counted(0, followed(0, 1, (2,))) == {0}
    forged = Note(succession(KEYS[0], KEYS[1]), (Signature("o", KEYS[0].id, b"x" * 64),))
    assert counted(0, forged) == {0}


def test_the_same_key_under_another_name_counts_and_another_one_does_not() -> None:
    renamed = Verifier("other", KEYS[0].kind, KEYS[0].public)
    assert trusted([KEYS[0]], [renamed, KEYS[1]], (), verify) == (KEYS[0], renamed)


@pytest.mark.parametrize(
    "text",
    [
        "wardgate/other\nx\ny\n",
        f"{HEAD}\nx\ny\n",
        f"{HEAD}\n{KEYS[0]}\n",
        f"{HEAD}\n{KEYS[0]}\n{KEYS[1]}\nmore\n",
        Checkpoint("o", 0, Tree().root()).text,
    ],
    ids=["other", "no-keys", "short", "long", "checkpoint"],
)
def test_a_note_about_something_else_leads_nowhere(text: str) -> None:
    note = read_note(add_signature(sign_note(text, "o", SEEDS[0]), "o", SEEDS[1]))
    with pytest.raises(ValueError):
        read_succession(note)
    assert counted(0, note) == {0}
