"""How long a step takes: a block that notes its microseconds, however it ends. The clock is handed in."""

from collections.abc import Callable


class Timed:
    """Notes in `noted`, under the name of a step, how many microseconds a block took; `clock` gives seconds."""

    __slots__ = ("_began", "_clock", "_noted", "_step")

    def __init__(self, clock: Callable[[], float], noted: dict[str, int], step: str) -> None:
        self._clock, self._noted, self._step = clock, noted, step

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(self, *_: object) -> None:
        self._noted[self._step] = round((self._clock() - self._began) * 1e6)
