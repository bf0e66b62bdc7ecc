"""Which digests a value would have on the record, and where a record holds one of them. Pure: keys come as arguments.

A value is looked for as text, and, where its text is JSON, as what that says.
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from gateway.core.canon import canonical, keyed_digest
from gateway.core.capture import LEAF_DIGEST
from gateway.core.model import Record
from gateway.core.secrets import fingerprint_of, identity


class Digests(Struct, frozen=True):
    """The digests of one value: of it as a whole, of it as one value among others, and as a secret that was found."""

    whole: frozenset[str]
    leaves: frozenset[str]
    secrets: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """Every one of them."""
        return self.whole | self.leaves | self.secrets


def digests(value: str, keys: Iterable[bytes]) -> Digests:
    """What a value would be recorded as, under each of the keys.

    Raises `ValueError` for a text that no record can hold.
    """
    forms = list(_forms(value))
    secret = identity(value.encode("utf-8"))
    whole, leaves, secrets = set[str](), set[str](), set[str]()
    for key in keys:
        for form in forms:
            made = keyed_digest(key, form)
            whole.add(made)
            leaves.add(made[:LEAF_DIGEST])
        secrets.add(fingerprint_of(key, secret))
    return Digests(frozenset(whole), frozenset(leaves), frozenset(secrets))


def _forms(value: str) -> Iterator[bytes]:
    """The canonical bytes that a value may stand for: a text, what its JSON says, a result that is this text alone."""
    yield canonical(value)
    block = [{"type": "text", "text": value}]
    yield canonical({"content": block})
    yield canonical({"content": block, "isError": False})
    try:
        said = msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return
    yield canonical(said)


def places(record: Record, wanted: Digests) -> tuple[str, ...]:
    """Where a record holds one of the digests, in words: `arguments`, `arguments.path`, `result`, `prompt`, ..."""
    return tuple(dict.fromkeys(_places(record, wanted)))


def _places(record: Record, wanted: Digests) -> Iterator[str]:
    wholes = (
        ("arguments", record.arguments_digest),
        ("result", record.result_digest),
        ("prompt", record.prompt),
    )
    yield from (name for name, digest in wholes if digest in wanted.whole)
    yield from (f"arguments.{at}" for at, digest in record.leaves.items() if digest in wanted.leaves)
    yield from (f"finding.{it.kind} at {it.place}" for it in record.findings if it.fingerprint in wanted.secrets)
    outputs = record.context.get("outputs", ())
    yield from (f"read before, in {id}" for id, digest in outputs if digest in wanted.whole)
