"""Any single edit of what is stored is found (promise R4)."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.merkle import Tree, leaf_hash, root_of
from gateway.core.record import COLUMNS, columns, encode, seal
from gateway.core.verify import Expected, Inspection, Verification
from tests.fakes import a_record

Rows = list[list[Any]]


def stored(count: int) -> tuple[Rows, list[Any]]:
    """A record of `count` rows as a store holds it: (seq, body, leaf, copies...), and its head."""
    tree, rows = Tree(), []
    for seq in range(1, count + 1):
        record = a_record(seq)
        body = seal(seq, encode(record))
        tree.append(leaf_hash(body))
        rows.append([seq, body, leaf_hash(body), *columns(record)])
    return rows, [tree.size, tree.frontier, tree.root()]


def check(rows: Rows, head: list[Any]) -> Verification:
    walk = Inspection()
    walk.rows([as_read(row) for row in rows])
    return walk.finish(*head)


def as_read(row: list[Any]) -> tuple[Any, ...]:
    seq, body, leaf, *copies = row
    return (body, leaf, seq, *copies)


def sealed(rows: Rows) -> list[Any]:
    """A head that fits the leaves of these rows: what somebody who edits with care would write."""
    tree = Tree()
    for row in rows:
        tree.append(leaf_hash(row[1]))
    return [tree.size, tree.frontier, tree.root()]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8])
def test_an_untouched_record_is_whole(count: int) -> None:
    rows, head = stored(count)
    found = check(rows, head)
    assert (found.ok, found.size, found.root, found.first_bad, found.detail) == (True, count, head[2].hex(), None, "")


def changed(value: Any, data: st.DataObject) -> Any:
    """Another value of the same type: one byte, one character or one number away."""
    if isinstance(value, int):
        return data.draw(st.integers(-1, 20).filter(lambda other: other != value))
    if not value:
        return value + (b"x" if isinstance(value, bytes) else "x")
    at = data.draw(st.integers(0, len(value) - 1))
    if isinstance(value, bytes):
        return value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
    return value[:at] + ("x" if value[at] != "x" else "y") + value[at + 1 :]


@given(st.integers(1, 9), st.data())
def test_a_change_of_any_column_of_any_row_is_found(count: int, data: st.DataObject) -> None:
    rows, head = stored(count)
    row = data.draw(st.integers(0, count - 1))
    column = data.draw(st.integers(0, len(COLUMNS) + 2))
    rows[row][column] = changed(rows[row][column], data)
    found = check(rows, head)
    assert not found.ok
    assert found.first_bad is not None


@given(st.integers(1, 9), st.data())
def test_a_change_of_the_head_is_found(count: int, data: st.DataObject) -> None:
    rows, head = stored(count)
    column = data.draw(st.integers(0, 2))
    head[column] = changed(head[column], data)
    assert not check(rows, head).ok


@given(st.integers(2, 9), st.booleans(), st.data())
def test_a_removed_row_is_found_even_with_a_new_head(count: int, reseal: bool, data: st.DataObject) -> None:
    rows, head = stored(count)
    del rows[data.draw(st.integers(0, count - 2))]
    assert not check(rows, sealed(rows) if reseal else head).ok


@given(st.integers(1, 9), st.data())
def test_a_cut_tail_is_found_while_the_head_stands(count: int, data: st.DataObject) -> None:
    rows, head = stored(count)
    assert not check(rows[: data.draw(st.integers(0, count - 1))], head).ok


@given(st.integers(2, 9), st.booleans(), st.booleans(), st.data())
def test_swapped_rows_are_found_even_with_a_new_head(
    count: int, renumber: bool, reseal: bool, data: st.DataObject
) -> None:
    rows, head = stored(count)
    one, other = sorted(data.draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True)))
    rows[one], rows[other] = rows[other], rows[one]
    if renumber:
        for seq, row in enumerate(rows, 1):
            row[0] = seq
    assert not check(rows, sealed(rows) if reseal else head).ok


@given(st.integers(0, 9), st.data())
def test_an_inserted_row_is_found(count: int, data: st.DataObject) -> None:
    rows, head = stored(count)
    record = a_record(77)
    at = data.draw(st.integers(0, count))
    body = seal(at + 1, encode(record))
    rows.insert(at, [at + 1, body, leaf_hash(body), *columns(record)])
    for row in rows[at + 1 :]:
        row[0] += 1
    assert not check(rows, head).ok


@pytest.mark.parametrize(
    ("column", "value"),
    [(0, "1"), (0, True), (1, "text"), (1, None), (2, None), (3, None)],
    ids=["seq-text", "seq-bool", "body-text", "body-null", "leaf-null", "kind-null"],
)
def test_a_value_of_another_type_is_found(column: int, value: object) -> None:
    rows, head = stored(1)
    rows[0][column] = value
    assert not check(rows, head).ok


@pytest.mark.parametrize("body", [b"no json", b'{"seq":2}', b'{"seq":true}', b"{}"])
def test_a_body_that_says_something_else_is_found_though_its_hashes_fit(body: bytes) -> None:
    rows, _ = stored(1)
    rows[0][1:3] = [body, leaf_hash(body)]
    found = check(rows, sealed(rows))
    assert not found.ok
    assert found.first_bad == 1


def test_a_body_that_is_no_record_is_found_though_everything_fits() -> None:
    rows, _ = stored(1)
    body = rows[0][1].replace(b'"tool":"write_file"', b'"tool":null')
    rows[0][1:3] = [body, leaf_hash(body)]
    rows[0][3 + COLUMNS.index("tool")] = None
    found = check(rows, sealed(rows))
    assert (found.ok, found.first_bad) == (False, 1)


def test_a_store_without_a_head_is_not_whole() -> None:
    rows, _ = stored(1)
    assert not check(rows, [None, None, None]).ok


def test_the_first_thing_that_is_wrong_is_told() -> None:
    rows, head = stored(4)
    rows[1][4] = rows[2][4] = "other"
    assert check(rows, head).first_bad == 2


def test_a_store_that_can_not_be_read_to_its_end_is_not_whole() -> None:
    rows, _ = stored(2)
    walk = Inspection()
    walk.rows([as_read(rows[0])])
    found = walk.unreadable("damaged")
    assert (found.ok, found.size, found.first_bad, found.detail) == (False, 1, 2, "damaged")


def expected(rows: Rows, size: int, source: str = "a note") -> Expected:
    return Expected(size, root_of([leaf_hash(row[1]) for row in rows[:size]]), source)


@given(st.integers(1, 9), st.data())
def test_a_record_that_was_rewritten_whole_is_found_against_a_checkpoint(count: int, data: st.DataObject) -> None:
    rows, _ = stored(count)
    sizes = sorted(data.draw(st.sets(st.integers(1, count), min_size=1)))
    known = [expected(rows, size, f"note {size}") for size in sizes]
    at = data.draw(st.integers(0, count - 1))
    record = a_record(at + 1, detail="rewritten")
    body = seal(at + 1, encode(record))
    rows[at] = [at + 1, body, leaf_hash(body), *columns(record)]
    walk = Inspection(expected=deque(known))
    walk.rows([as_read(row) for row in rows])
    found = walk.finish(*sealed(rows))
    before = [size for size in sizes if size <= at]
    after = [size for size in sizes if size > at]
    assert found.ok == (not after)
    if after:
        assert found.first_bad == (before[-1] if before else 0) + 1
        assert f"note {after[0]}" in found.detail
    assert found.holds == (f"rows up to {before[-1]} are as note {before[-1]} says" if before else "")


def test_what_a_later_checkpoint_says_does_not_heal_an_earlier_one() -> None:
    rows, head = stored(4)
    walk = Inspection(expected=deque([expected(rows, 1), Expected(2, b"x" * 32, "a forged note"), expected(rows, 4)]))
    walk.rows([as_read(row) for row in rows])
    found = walk.finish(*head)
    assert (found.ok, found.first_bad, found.holds) == (False, 2, "rows up to 1 are as a note says")
    assert "a forged note" in found.detail


@given(st.integers(1, 9), st.data())
def test_a_cut_tail_is_found_against_a_checkpoint(count: int, data: st.DataObject) -> None:
    rows, _ = stored(count)
    known = expected(rows, count)
    left = rows[: data.draw(st.integers(0, count - 1))]
    walk = Inspection(expected=deque([known]))
    walk.rows([as_read(row) for row in left])
    found = walk.finish(*sealed(left))
    assert (found.ok, found.first_bad) == (False, len(left) + 1)


@given(st.integers(1, 20), st.data())
def test_rows_behind_what_was_pruned_are_walked_from_its_frontier(count: int, data: st.DataObject) -> None:
    rows, head = stored(count)
    gone = data.draw(st.integers(0, count))
    base = Tree()
    base.extend([row[2] for row in rows[:gone]])
    walk = Inspection(base, expected=deque(expected(rows, size) for size in range(1, count + 1)))
    walk.rows([as_read(row) for row in rows[gone:]])
    assert walk.finish(*head).ok


@given(st.integers(1, 20), st.data())
def test_blocks_that_others_walked_are_put_together(count: int, data: st.DataObject) -> None:
    rows, head = stored(count)
    whole = count >> 2
    marks = sorted(data.draw(st.sets(st.integers(1, count))))
    walk = Inspection(expected=deque(expected(rows, size) for size in marks))
    for number in range(whole):
        part = Inspection(offset=number << 2)
        inside: list[tuple[int, bytes]] = []
        for at, row in enumerate(rows[number << 2 : (number + 1) << 2], 1):
            part.rows([as_read(row)])
            if (number << 2) + at in marks and at < 4:
                inside.append((at, part.tree.frontier))
        assert part.detail == ""
        walk.block(part.tree.root(), 2, inside)
    walk.rows([as_read(row) for row in rows[whole << 2 :]])
    found = walk.finish(*head)
    assert found.ok
    assert walk.good == expected(rows, marks[-1]) if marks else walk.good is None
