"""The command's end: where nobody reads what it says, it stops and says nothing of that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "gateway.cli.main"]
WORDS = (("--help",), ("--version",), ("log", "--help"), ("lgo",), ("tools", "--lgo"))


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_reader_that_went_ends_it_without_a_traceback(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        whole = [*COMMAND, *words]
        done = subprocess.run(whole, stdout=writing, stderr=subprocess.PIPE, check=False, text=True, timeout=60)
    finally:
        os.close(writing)
    assert done.returncode in (0, 2, 128 + 13)
    assert not {"Traceback", "Exception", "BrokenPipeError"} & set(done.stderr.replace(":", " ").split())


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_an_output_that_is_closed_is_written_to_by_nobody(words: tuple[str, ...]) -> None:
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, *words]
    done = subprocess.run(shell, stderr=subprocess.PIPE, check=False, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (2 if words[-1].endswith("lgo") else 0, False)


@pytest.mark.parametrize(
    "words",
    [
        *((b"log", b"--client", b"\xff"), (b"freeze", b"--all", b"--reason", b"gest\xf6rt"), (b"freeze", b"\xff")),
        *((b"deny", b"a_7F3K", b"--reason=gest\xf6rt"), (b"approver", b"add", b"\xff"), (b"log", b"--\xff")),
    ],
    ids=lambda words: b" ".join(words).decode("ascii", "replace"),
)
def test_bytes_that_are_no_text_are_wrong_usage(words: tuple[bytes, ...], tmp_path: Path) -> None:
    whole: list[str | bytes | Path] = [*COMMAND, *words, "--config", tmp_path]
    done = subprocess.run(whole, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1), done.stderr
    assert b"UTF-8" in done.stderr


@pytest.mark.parametrize("words", [(b"log", b"--config", b"\xff"), (b"log", b"--config=\xff")], ids=["word", "value"])
def test_the_path_of_the_configuration_may_hold_such_bytes(words: tuple[bytes, ...], tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "upstreams.toml").write_text("[gateway]\nstate = 'state'\n", encoding="utf-8")
    done = subprocess.run([*COMMAND, *words], capture_output=True, check=False, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (3, 1), done.stderr
