"""The demo as a person starts it: it ends well, shows what it promises, and leaves nothing behind."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from tests.test_picture import PICTURE, text_of

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
    kept = wording(text_of(PICTURE.read_text(encoding="utf-8")))
    assert kept == wording(told), "the demo says something else by now: record it again by `make demo-svg`"


def wording(told: str) -> str:
    """The first four scenes without spaces, and without what is another one each time: ids, times, who played them."""
    text = re.sub(r"\s", "", told)
    scenes = text[text.index("1.A") : text.index("5.Every")]
    scenes = re.sub(r"[ads]_[0-9A-Z]{10}", "", scenes)
    return re.sub(r"os:\w+?(?=\(|files__|mail__)|\d\d:\d\d(?=UTC)", "", scenes)
