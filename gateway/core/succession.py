"""How one signing key follows another: the note that says so, and which keys count by such notes. No I/O here.

A note names both keys. Signed with the earlier one it hands on to the later one; signed with the later one it vouches
for what the earlier one signed. A key that was lost signs nothing, so that trust leads back from its follower alone.
"""

from collections.abc import Iterable

from gateway.core.note import Note, Verifier, Verify, read_vkey

HEAD = "wardgate/key-succession"


def succession(before: Verifier, after: Verifier) -> str:
    """The text of the note; no checkpoint looks like it, whose second line is a number."""
    return f"{HEAD}\n{before}\n{after}\n"


def read_succession(note: Note) -> tuple[Verifier, Verifier]:
    """The earlier and the later key; raises `ValueError` for a note that is about something else."""
    lines = note.text.split("\n")
    if len(lines) != 4 or lines[0] != HEAD or lines[3]:
        raise ValueError(f"expected a note of `{HEAD}` and two keys")
    return read_vkey(lines[1]), read_vkey(lines[2])


def trusted(
    own: Iterable[Verifier], named: Iterable[Verifier], notes: Iterable[Note], verify: Verify
) -> tuple[Verifier, ...]:
    """The keys that count for somebody who trusts `own`: those, the same ones under other names of `named`, and all
    that notes lead to from there, forwards and backwards. A note that isn't signed or isn't one leads nowhere.
    """
    counted = dict.fromkeys(own)
    steps = list[tuple[Verifier, Verifier]]()
    for note in notes:
        try:
            before, after = read_succession(note)
        except ValueError:
            continue
        steps += [(before, after)] if note.signed_by(before, verify) else []
        steps += [(after, before)] if note.signed_by(after, verify) else []
    pending = list(named)
    grown = True
    while grown:
        publics = {key.public for key in counted}
        found = [key for key in pending if key.public in publics]
        found += [onward for known, onward in steps if known.public in publics]
        grown = not counted.keys() >= set(found)
        counted |= dict.fromkeys(found)
    return tuple(counted)
