"""The Merkle tree over the record, as in RFC 6962 section 2.1: roots, an incremental tree, inclusion proofs.

Bytes in, bytes out: no I/O here, and nothing that knows what a record is.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash one entry; the prefix keeps leaves apart from inner nodes (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Tree:
    """A tree that grows by one leaf at a time and remembers only its frontier: one hash per perfect subtree.

    INVARIANT: `peaks` holds one hash per set bit of `size`, the largest subtree first.
    """

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    @classmethod
    def restore(cls, size: int, frontier: bytes) -> "Tree":
        """Read back what `size` and `frontier` said of a tree; raises `ValueError` if they can't belong together."""
        count = size.bit_count() if size >= 0 else -1
        if len(frontier) != count * HASH_SIZE:
            raise ValueError(f"a tree of {size} leaves can't have a frontier of {len(frontier)} bytes")
        return cls(size, [frontier[at : at + HASH_SIZE] for at in range(0, len(frontier), HASH_SIZE)])

    @property
    def frontier(self) -> bytes:
        """The peaks in one piece, 32 bytes each."""
        return b"".join(self.peaks)

    def copy(self) -> "Tree":
        """An independent tree with the same leaves."""
        return Tree(self.size, list(self.peaks))

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash; amortised constant time."""
        self.peaks.append(leaf)
        carry = self.size
        while carry & 1:
            right = self.peaks.pop()
            self.peaks[-1] = node_hash(self.peaks[-1], right)
            carry >>= 1
        self.size += 1

    def root(self) -> bytes:
        """The root hash of all leaves so far."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root hash of a sequence of leaf hashes."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of the leaf at `index`, from its sibling up (RFC 6962, 2.1.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"no leaf {index} in a tree of {len(leaves)}")
    path: list[bytes] = []
    while len(leaves) > 1:
        split = _split(len(leaves))
        left, right = leaves[:split], leaves[split:]
        if index < split:
            path.append(root_of(right))
            leaves = left
        else:
            path.append(root_of(left))
            leaves, index = right, index - split
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that `leaf` stands at `index` in the tree of `size` leaves with this root."""
    if not 0 <= index < size:
        return False
    sides: list[bool] = []  # from the root down: whether the leaf is in the right half
    while size > 1:
        split = _split(size)
        right = index >= split
        sides.append(right)
        index, size = (index - split, size - split) if right else (index, split)
    if len(sides) != len(proof):
        return False
    computed = leaf
    for right, sibling in zip(reversed(sides), proof, strict=True):
        computed = node_hash(sibling, computed) if right else node_hash(computed, sibling)
    return computed == root


def _split(size: int) -> int:
    """The largest power of two below `size` (for two leaves and more)."""
    return 1 << ((size - 1).bit_length() - 1)
