"""The gateway's watchdog: one tiny process that ends our programs if we can't, even after a kill -9.

It is started with the first program and ends with the last. It ends nothing as long as we are there. All of this
blocks: call it in a thread.
"""

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from gateway.errors import GatewayError
from gateway.transport import orphans
from gateway.transport.orphans import Ward

COMMAND = (sys.executable, "-I", "-S", orphans.__file__)
READY = 10.0  # seconds for it to start
LAST = 5.0  # seconds for it to end
ABOUT = "the watchdog that ends the programs of a killed gateway"
AGAIN = 1.0  # seconds at least between two starts of one that is killed again and again


class _Run:
    """One process of the watchdog."""

    def __init__(self, on_end: "Callable[[_Run], None]") -> None:
        """Start it; raises `OSError`."""
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,  # what this Python may need to be loaded at all
            cwd="/",
            start_new_session=True,  # what is sent to our group doesn't reach it
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to_it, self._from_it = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to_it, False)
        self._settled = threading.Event()
        self._unheard = threading.Event()  # nothing of it is open for us to hear
        self._on_end = on_end
        self.ready = False
        self.began = time.monotonic()
        threading.Thread(target=self._listen, name="wardgate-watchdog", daemon=True).start()

    def tell(self, text: str) -> None:
        """Tell it something; raises `OSError` if it is gone or listens no more."""
        data = text.encode("ascii")
        if os.write(self._to_it, data) != len(data):
            raise BrokenPipeError

    def wait_until_ready(self) -> bool:
        """Whether it watches by now, or does so within 10 s."""
        self._settled.wait(READY)
        return self.ready

    def close(self, kill: bool = False) -> None:
        """Let it end, as all of its work has, or be killed; returns when it is gone, and its pipes with it."""
        if kill:
            self._process.kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(LAST)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._unheard.wait(LAST)

    def _listen(self) -> None:
        """Hear that it is ready, and then that it is gone."""
        self.ready = bool(os.read(self._from_it, 16))
        self._settled.set()
        if self.ready:
            os.read(self._from_it, 1)
        self.ready = False
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._unheard.set()
        self._on_end(self)


class Watchdog:
    """Knows which programs run, and that the process that watches them does too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wards: dict[int, Ward] = {}
        self._keys = itertools.count(1)
        self._run: _Run | None = None

    @contextlib.contextmanager
    def watching(self, ward: Ward) -> Iterator[Callable[[int], None]]:
        """Have a program watched that is about to be started; call what it gives with the program's process id.

        Both raise `GatewayError` where nobody watches: then the program must not run.
        """
        with self._lock:
            key = next(self._keys)
            self._wards[key] = ward
        try:
            self._tell(lambda: _told(key, ward))
            yield lambda pid: self._lead(key, ward, pid)
        finally:
            self._let_go(key)

    def _lead(self, key: int, ward: Ward, pid: int) -> None:
        ward.led_by(pid, orphans.start_of(pid))
        run = self._tell(lambda: f"= {key} {pid} {ward.started}\n")
        if not run.wait_until_ready():
            raise GatewayError(f"{ABOUT} did not start")

    def _let_go(self, key: int) -> None:
        """Watch a program no more; without any the process ends."""
        with self._lock:
            del self._wards[key]
            run = self._run
            if run is not None:
                with contextlib.suppress(OSError):
                    run.tell(f"- {key}\n")
            if self._wards:
                return
            self._run = None
        if run is not None:
            run.close()

    def _tell(self, text: Callable[[], str]) -> _Run:
        """Tell the process something; one that is not there is started first, and told everything."""
        with self._lock:
            if self._run is not None:
                with contextlib.suppress(OSError):
                    self._run.tell(text())
                    return self._run
            return self._start()

    def _start(self) -> _Run:
        """Start the process and tell it of all programs; the lock is held."""
        broken, self._run = self._run, None
        if broken is not None:
            broken.close(kill=True)
        try:
            self._run = _Run(self._ended)
            for key, ward in self._wards.items():
                self._run.tell(_told(key, ward))
        except OSError as problem:
            raise GatewayError(f"{ABOUT} can't be started: {problem.strerror}") from None
        return self._run

    def _ended(self, run: _Run) -> None:
        """The process is gone (told by its thread): while there is anything to watch, there has to be another."""
        with self._lock:
            if self._run is not run:
                return  # it was let go
        time.sleep(max(0.0, run.began + AGAIN - time.monotonic()))
        with self._lock, contextlib.suppress(GatewayError):  # the next program's start tells of it
            if self._run is run:
                self._start()


def _told(key: int, ward: Ward) -> str:
    """All that the process has to know of one program."""
    pipes = " ".join(pipe.removeprefix("pipe:[").removesuffix("]") for pipe in ward.pipes)
    return f"+ {key} {pipes}\n" + (f"= {key} {ward.leader} {ward.started}\n" if ward.leader else "")


WATCHDOG = Watchdog()
