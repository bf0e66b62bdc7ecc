"""The demo as a person starts it: it ends well, shows what it promises, and leaves nothing behind."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

MINUTE = 60  # seconds that the demo may take after set-up


@pytest.mark.slow
async def test_the_demo_ends_well_and_leaves_nothing_behind(
    warm_environment: Mapping[str, str], wardgate_command: str, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with anyio.fail_after(MINUTE):
        played = await anyio.run_process(
            [wardgate_command, "demo"],
            stdin=subprocess.DEVNULL,
            check=False,
            env={**warm_environment, "TMPDIR": str(temporary)},
        )
    told = played.stdout.decode()
    assert played.returncode == 0, told + played.stderr.decode()
    for sight in ("[REDACTED:", "NOT EXECUTED", "mail.colleagues-only", "the record is whole"):
        assert sight in told
    assert list(temporary.iterdir()) == []
