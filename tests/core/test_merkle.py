"""The tree against the published test vectors of RFC 6962 implementations, and its laws."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.merkle import EMPTY_ROOT, Tree, inclusion_proof, leaf_hash, node_hash, root_of, verify_inclusion

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
