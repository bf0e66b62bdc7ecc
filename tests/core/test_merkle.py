"""The tree against the published test vectors of RFC 6962 implementations, and its laws."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.merkle import (
    EMPTY_ROOT,
    Part,
    Tree,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes.fromhex(data)) for data in INPUTS]

leaf_lists = st.lists(st.binary(max_size=8).map(leaf_hash), max_size=40)


def part(leaves: list[bytes], known: int = 0) -> Part:
    """A tree of which the first `known` leaves are known by their frontier only."""
    base = Tree()
    base.extend(leaves[:known])
    return Part(base, leaves[known:])


def inclusion_proof(leaves: list[bytes], index: int) -> tuple[bytes, ...]:
    return part(leaves).inclusion(index)


def naive(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(naive(leaves[:split]), naive(leaves[split:]))


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert Tree().root() == EMPTY_ROOT == root_of([])


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


@given(leaf_lists)
def test_the_incremental_root_is_the_defined_one(leaves: list[bytes]) -> None:
    assert root_of(leaves) == naive(leaves)


@given(leaf_lists, leaf_lists)
def test_a_restored_tree_grows_as_the_one_that_was_stored(first: list[bytes], more: list[bytes]) -> None:
    tree = Tree()
    for leaf in first:
        tree.append(leaf)
    restored = Tree.restore(tree.size, tree.frontier)
    copied = tree.copy()
    for leaf in more:
        restored.append(leaf)
    assert restored.root() == naive(first + more)
    assert restored.size == len(first) + len(more)
    assert copied.root() == tree.root() == naive(first)


@pytest.mark.parametrize(("size", "frontier"), [(1, b""), (3, b"x" * 32), (-1, b""), (0, b"x" * 32)])
def test_a_frontier_that_does_not_fit_is_refused(size: int, frontier: bytes) -> None:
    with pytest.raises(ValueError):
        Tree.restore(size, frontier)


@given(st.integers(1, 40), st.data())
def test_a_proof_shows_its_leaf_and_no_other(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(leaves, index), naive(leaves)
    assert verify_inclusion(leaves[index], index, size, proof, root)
    assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, (*proof, root), root)
    assert not verify_inclusion(leaves[index], size, size, proof, root)
    if proof:
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], root)
        assert not verify_inclusion(leaves[index], index, size, (leaf_hash(b"x"), *proof[1:]), root)


def test_there_is_no_proof_of_a_leaf_that_is_not_there() -> None:
    with pytest.raises(ValueError):
        inclusion_proof(LEAVES, 8)


# (index, size) -> audit path, as published with the reference implementation of certificate transparency
INCLUSION = {
    (0, 1): [],
    (0, 2): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"],
    (1, 2): ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}


@pytest.mark.parametrize(("place", "proof"), INCLUSION.items())
def test_inclusion_proofs_are_the_published_ones(place: tuple[int, int], proof: list[str]) -> None:
    index, size = place
    assert [node.hex() for node in inclusion_proof(LEAVES[:size], index)] == proof
    published = [bytes.fromhex(node) for node in proof]
    assert verify_inclusion(LEAVES[index], index, size, published, bytes.fromhex(ROOTS[size - 1]))


# (old size, new size) -> proof, as published with the reference implementation of certificate transparency
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


@pytest.mark.parametrize(("sizes", "proof"), CONSISTENCY.items())
def test_consistency_proofs_are_the_published_ones(sizes: tuple[int, int], proof: list[str]) -> None:
    old, new = sizes
    assert [node.hex() for node in part(LEAVES[:new], old).consistency()] == proof
    published = [bytes.fromhex(node) for node in proof]
    assert verify_consistency((old, root_of(LEAVES[:old])), (new, root_of(LEAVES[:new])), published)


def subproof(old: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, word for word."""
    if old == len(leaves):
        return [] if whole else [naive(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*subproof(old, leaves[:split], whole), naive(leaves[split:])]
    return [*subproof(old - split, leaves[split:], False), naive(leaves[:split])]


@given(st.lists(st.binary(max_size=8).map(leaf_hash), min_size=2, max_size=40), st.data())
def test_a_consistency_proof_is_the_defined_one_and_proves_only_what_is_true(
    leaves: list[bytes], data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, len(leaves) - 1))
    proof = part(leaves, old).consistency()
    assert list(proof) == subproof(old, leaves)
    before, after = (old, naive(leaves[:old])), (len(leaves), naive(leaves))
    assert verify_consistency(before, after, proof)
    assert not verify_consistency((old, b"x" * 32), after, proof)
    assert not verify_consistency(before, (len(leaves), b"x" * 32), proof)
    assert not verify_consistency(before, after, [*proof, b"x" * 32])
    assert not verify_consistency(before, after, proof[:-1])
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_consistency(before, after, [*proof[:at], b"x" * 32, *proof[at + 1 :]])


def test_each_small_tree_is_proven_to_continue_each_smaller_one() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(17)]
    for new in range(2, len(leaves) + 1):
        for old in range(1, new):
            proof = part(leaves[:new], old).consistency()
            assert verify_consistency((old, naive(leaves[:old])), (new, naive(leaves[:new])), proof), (old, new)


def test_a_tree_is_consistent_with_itself_and_nothing_with_what_is_larger() -> None:
    root = root_of(LEAVES)
    assert verify_consistency((8, root), (8, root), [])
    assert not verify_consistency((8, root), (8, b"x" * 32), [])
    assert not verify_consistency((8, root), (7, root_of(LEAVES[:7])), [])
    assert not verify_consistency((0, EMPTY_ROOT), (7, root_of(LEAVES[:7])), [])
    assert not verify_consistency((3, root_of(LEAVES[:3])), (7, root_of(LEAVES[:7])), [])
    assert part(LEAVES, 8).consistency() == part(LEAVES, 0).consistency() == ()


@given(st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=40), st.data())
def test_an_inclusion_proof_needs_only_the_frontier_of_what_stands_before(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    known = data.draw(st.integers(0, index))
    proof = part(leaves, known).inclusion(index)
    assert proof == part(leaves).inclusion(index)
    assert verify_inclusion(leaves[index], index, len(leaves), proof, naive(leaves))


def test_a_proof_of_what_was_forgotten_is_refused() -> None:
    with pytest.raises(ValueError):
        part(LEAVES, 4).inclusion(3)
    with pytest.raises(ValueError):
        part(LEAVES, 8).node(0, 2)
    with pytest.raises(ValueError):
        part(LEAVES, 8).node(2, 3)


@given(leaf_lists, leaf_lists)
def test_extending_level_by_level_is_appending_one_by_one(first: list[bytes], more: list[bytes]) -> None:
    tree = Tree()
    tree.extend(first)
    tree.extend(more)
    slow = Tree()
    for leaf in [*first, *more]:
        slow.append(leaf)
    assert tree == slow


@given(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5), leaf_lists)
def test_perfect_subtrees_are_added_whole(level: int, before: int, count: int, rest: list[bytes]) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range((before + count) << level)]
    tree = Tree()
    tree.extend(leaves[: before << level])
    blocks = [leaves[at : at + (1 << level)] for at in range(before << level, len(leaves), 1 << level)]
    tree.extend(map(root_of, blocks), level)
    tree.extend(rest)
    assert tree.root() == naive(leaves + rest)


def test_subtrees_that_would_not_stand_at_a_multiple_of_their_size_are_refused() -> None:
    with pytest.raises(ValueError):
        part(LEAVES[:3], 3).base.extend([root_of(LEAVES[:2])], 1)
