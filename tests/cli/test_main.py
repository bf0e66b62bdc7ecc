"""The command's end: where nobody reads what it says, it stops and says nothing of that."""

import os
import subprocess
import sys

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
