"""An export beside a gateway's writer that is killed again and again: each row is in the file, once."""

import json
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.record import decode
from gateway.reading import Row, log_item, open_file
from gateway.schema import STORE_NAME

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_killed_at_random_beside_a_writer_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    (tmp_path / "upstreams.toml").write_text('schema = 1\n[gateway]\nstate = "state"\n', encoding="utf-8")
    given = ["--config", str(tmp_path), "--output", str(tmp_path / "out"), "--bookmark", str(tmp_path / "mark")]
    export = [sys.executable, "-m", "gateway.cli.main", "export", *given]
    chance = random.Random(20261122)
    write = [sys.executable, "-m", "tests.store.writes", str(tmp_path / "state")]
    with subprocess.Popen(write, stdout=subprocess.PIPE, cwd=ROOT, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(12):
            with subprocess.Popen([*export, "--follow"], cwd=ROOT, stderr=subprocess.DEVNULL) as follower:
                for _ in range(chance.randrange(50, 1500)):  # as long as it takes to write so many rows
                    writer.stdout.readline()
                follower.kill()
                assert follower.wait() < 0
        writer.kill()
    assert json.loads((tmp_path / "mark").read_text(encoding="utf-8"))["seq"] > 100
    assert subprocess.run(export, cwd=ROOT, check=False).returncode == 0
    with closing(open_file(tmp_path / "state" / STORE_NAME)) as db:
        stored = [Row(*decode(body)) for (body,) in db.execute("SELECT body FROM record ORDER BY seq")]
    lines = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [log_item(row) for row in stored]
    assert len(lines) > 500
