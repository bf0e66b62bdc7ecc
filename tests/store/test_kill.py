"""Killed at any moment, the record is whole and holds every acknowledged row (promise R1, as far as a kill shows)."""

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from gateway.core.model import Kind
from gateway.store import open_store
from gateway.verifying import verify_folder
from tests.store.keep import AT_ONCE, on_disk

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("moment", [0, 1, 7, 40, 200])
def test_what_was_acknowledged_before_a_kill_is_on_the_disk(tmp_path: Path, moment: int) -> None:
    command = [sys.executable, "-m", "tests.store.writes", str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(moment + 1)]
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]

    async def start_again() -> int:
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            return store.size

    size = anyio.run(start_again)
    written = {record.id for record in on_disk(tmp_path / "state") if record.kind is Kind.INTENT}
    assert {f"d_{number:010d}" for number in acknowledged} <= written
    found = verify_folder(tmp_path / "state")
    assert (found.ok, found.size) == (True, size)
