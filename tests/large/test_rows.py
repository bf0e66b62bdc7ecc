"""The large record that figures are taken on is one that a gateway could have written."""

from pathlib import Path

from gateway.verifying import verify_folder
from tests.large.rows import CHUNK, make


def test_a_made_record_is_whole(tmp_path: Path) -> None:
    make(tmp_path / "state", 2 * CHUNK)
    found = verify_folder(tmp_path / "state")
    assert (found.detail, found.size) == ("", 2 * CHUNK)
