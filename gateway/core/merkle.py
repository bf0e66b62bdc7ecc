"""The Merkle tree over the record, as in RFC 6962 section 2.1: roots, an incremental tree, inclusion proofs.

Bytes in, bytes out: no I/O here, and nothing that knows what a record is.
"""

import hashlib
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash one entry; the prefix keeps leaves apart from inner nodes (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree(Struct):
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

    def extend(self, leaves: Iterable[bytes], level: int = 0) -> None:
        """Add leaf hashes, or the roots of perfect subtrees of `2 ** level` leaves, level by level: the fast way.

        Raises `ValueError` where the subtrees would not stand at a multiple of their size.
        """
        nodes = list(leaves)
        rest, width = self.size >> level, 1 << level
        if rest << level != self.size:
            raise ValueError(f"a tree of {self.size} leaves can't go on with subtrees of {width}")
        self.size += len(nodes) << level
        low: list[bytes] = []
        while nodes:
            if rest & 1:
                nodes.insert(0, self.peaks.pop())
            if len(nodes) & 1:
                low.append(nodes.pop())
            pairs = zip(nodes[::2], nodes[1::2], strict=True)
            nodes = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
            rest >>= 1
        self.peaks += reversed(low)

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
    tree.extend(leaves)
    return tree.root()


class Part(Struct, frozen=True):
    """A tree of which the leaves are known from some point on; before it, only the frontier (`base`).

    That is enough for every proof that begins at that point or behind it: what is on the left of it is a peak.
    """

    base: Tree
    leaves: Sequence[bytes]

    @property
    def size(self) -> int:
        """Leaves of the whole tree."""
        return self.base.size + len(self.leaves)

    def node(self, begin: int, end: int) -> bytes:
        """The hash over the leaves from `begin` to `end`, a node of the tree; `ValueError` if it can't be known."""
        if begin >= self.base.size:
            return root_of(self.leaves[begin - self.base.size : end - self.base.size])
        if (peak := self._peak(begin, end)) is not None:
            return peak
        if end <= self.base.size and begin + (1 << (end - begin).bit_length() - 1) == end:
            raise ValueError(f"what is in the leaves from {begin} to {end} is not known any more")
        middle = begin + _split(end - begin)
        return node_hash(self.node(begin, middle), self.node(middle, end))

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The audit path of the leaf at `index`, from its sibling up (RFC 6962, 2.1.1)."""
        if not self.base.size <= index < self.size:
            raise ValueError(f"no leaf {index} is known of a tree of {self.size}")
        path: list[bytes] = []
        begin, end = 0, self.size
        while end - begin > 1:
            middle = begin + _split(end - begin)
            if index < middle:
                path.append(self.node(middle, end))
                end = middle
            else:
                path.append(self.node(begin, middle))
                begin = middle
        return tuple(reversed(path))

    def consistency(self) -> tuple[bytes, ...]:
        """The proof that the tree of `base` is the beginning of this one (RFC 6962, 2.1.2)."""
        old = self.base.size
        if not 0 < old < self.size:
            return ()
        path: list[bytes] = []
        begin, end, whole = 0, self.size, True
        while old != end:
            middle = begin + _split(end - begin)
            if old <= middle:
                path.append(self.node(middle, end))
                end = middle
            else:
                path.append(self.node(begin, middle))
                begin, whole = middle, False
        if not whole:
            path.append(self.node(begin, end))
        return tuple(reversed(path))

    def _peak(self, begin: int, end: int) -> bytes | None:
        at = 0
        for peak, bit in zip(self.base.peaks, _bits(self.base.size), strict=True):
            if (at, at + bit) == (begin, end):
                return peak
            at += bit
        return None


def verify_consistency(old: tuple[int, bytes], new: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of size and root `new` begins with that of `old` (RFC 9162, 2.1.4.2)."""
    (first, first_root), (second, second_root) = old, new
    if first == second:
        return first_root == second_root and not proof
    if not 0 < first < second:
        return False
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    left = right = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            left, right = node_hash(node, left), node_hash(node, right)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            right = node_hash(right, node)
        at, last = at >> 1, last >> 1
    return last == 0 and left == first_root and right == second_root


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


def _bits(size: int) -> list[int]:
    """The powers of two that make up a size, the largest first."""
    return [1 << at for at in range(size.bit_length() - 1, -1, -1) if size >> at & 1]
