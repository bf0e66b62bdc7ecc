"""`[record]`: what can be said of it, and what is told of a mistake."""

from pathlib import Path

import pytest

from gateway.config import load_settings
from gateway.config.nouns import Keeper, Recording
from tests.config.test_settings import LEAST, told, written


def test_nothing_has_to_be_said(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path), {}).recording == Recording()


def test_everything_can_be_said(tmp_path: Path) -> None:
    text = """[record]
checkpoint_rows = 10
checkpoint_every = "1m"
origin = "example.com/wardgate"
keep = "400d"
size = "4GiB"
low_space = "1GiB"
search = false
most = "16KiB"
checkpoints = [
    { file = "kept/notes" }, { syslog = "auth" },
    { command = ["/bin/cat", "-"] }, { witness = "https://w.example.com/" },
]
"""
    recording = load_settings(written(tmp_path, LEAST + text), {}).recording
    assert recording == Recording(
        checkpoint_rows=10,
        checkpoint_every=60.0,
        checkpoints=(
            Keeper("file", str(tmp_path / "kept/notes")),
            Keeper("syslog", "auth"),
            Keeper("command", "/bin/cat", ("-",)),
            Keeper("witness", "https://w.example.com"),
        ),
        origin="example.com/wardgate",
        keep=400 * 86400.0,
        size=4 << 30,
        low_space=1 << 30,
        search=False,
        most=16 << 10,
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("chekpoint_rows = 3", "checkpoint_rows"),
        ("checkpoint_rows = 0", "from 1 to"),
        ('keep = "1h"', "duration"),
        ("checkpoints = [{}]", "exactly one of"),
        ('checkpoints = [{ file = "a", syslog = "daemon" }]', "exactly one of"),
        ('checkpoints = [{ command = ["cat"] }]', "absolute path"),
        ('checkpoints = [{ witness = "http://w.example.com" }]', "https://"),
        ('checkpoints = [{ syslog = "deamon" }]', "daemon"),
        ('origin = "a b"', "without spaces"),
        ('checkpoints = "x"', "checkpoints"),
    ],
)
def test_a_mistake_is_told(line: str, said: str, tmp_path: Path) -> None:
    assert said in "\n".join(told(written(tmp_path, f"{LEAST}[record]\n{line}\n")))
