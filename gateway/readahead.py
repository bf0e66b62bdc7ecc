"""Read a large file ahead of those who walk it, so that they don't wait for the disk. It keeps and judges nothing."""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

AHEAD = 32  # blocks (of some 64 MB) that are read before they are walked
PIECE = 8 * 1024 * 1024  # bytes that are read at once


class ReadAhead:
    """Reads the file once from its beginning, a little ahead of those who walk it: the system keeps what it read, and
    they don't wait for the disk. In a thread that ends with the block; what it can't read is no matter.
    """

    def __init__(self, file: Path, blocks: int) -> None:
        """`blocks`: in how many about equal parts it is walked; `on` says that one more is done."""
        self._file, self._blocks = file, blocks
        self._ahead = threading.Semaphore(AHEAD)
        self._over = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._read, name="wardgate-read-ahead", daemon=True).start()
        return self

    def on(self) -> None:
        """One more block is done."""
        self._ahead.release()

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._ahead.release()

    def _read(self) -> None:
        with suppress(OSError), self._file.open("rb", buffering=0) as file:
            share, kept = os.fstat(file.fileno()).st_size // self._blocks + 1, bytearray(PIECE)
            left = 0
            while not self._over:
                if left <= 0:
                    self._ahead.acquire()
                    left += share
                left -= (got := file.readinto(kept))
                if not got:
                    return
