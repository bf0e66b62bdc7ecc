"""`wardgate init`: put the gateway before the MCP servers that your clients start already.

It shows which servers it found, starts each once to see its tools, and writes upstreams.toml, policies and tools.lock.
Nothing is started or changed without a yes.
"""

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, parser
from gateway.core.clients import CLIENTS

if TYPE_CHECKING:
    from gateway.cli.conversing import Answer, Request
    from gateway.cli.initview import View
    from gateway.initial.compose import Base, Choice, Composed, Wanted
    from gateway.initial.finding import Found
    from gateway.initial.keeping import Kept
    from gateway.initial.nouns import Planned
    from gateway.initial.trial import Tried
    from gateway.screening.engine import Kingfisher

DEADLINE = "20s"
LONGEST = 600.0  # seconds of the deadline


def run(argv: Sequence[str]) -> int:
    """Find, show, try and write; exit codes 0 written or nothing to do, 1 nothing was written, or it could not be, 2
    usage, 3 a state folder that can't be used.
    """
    options = parser("init", __doc__)
    options.add_argument(
        "--from", dest="clients", nargs="+", metavar="CLIENT", help=f"only of these: {', '.join(CLIENTS)}"
    )
    options.add_argument("--project", action="store_true", help="also servers that files of this folder name")
    options.add_argument(
        "--yes", action="store_true", help="ask nothing: start the servers, and confirm what is proposed"
    )
    options.add_argument("--deadline", metavar="TIME", default=DEADLINE, help=f"for each start (default {DEADLINE})")
    options.add_argument("--owner", help="who answers for the servers (default: the mail address of git, or your name)")
    given = options.parse_args(argv)
    for name in given.clients or ():
        if name not in CLIENTS:
            from gateway.cli.options import hint, shown  # imported late: only a wrong name needs it

            options.error(f"unknown client `{shown(name)}`{hint(name, CLIENTS)}")
    from gateway.core.section import seconds

    deadline = seconds(given.deadline)
    if deadline is None or not 1 <= deadline <= LONGEST:
        options.error(f"`--deadline` is a time such as 20s or 1m, from 1 s to {LONGEST:g} s")
    from gateway.cli.initview import View
    from gateway.errors import ConfigurationError, GatewayError

    made = _Init(given, deadline, View(given.json))
    try:
        with _ended_as_by_hand():
            return made.run()
    except ConfigurationError as problem:
        fail(FINDINGS, str(problem))
    except GatewayError as problem:
        fail(UNREACHABLE, str(problem))
    except OSError as problem:
        fail(FINDINGS, f"{made.stands}: `{problem.filename}`: {problem.strerror}")
    except KeyboardInterrupt:
        fail(FINDINGS, made.stands)


@contextmanager
def _ended_as_by_hand() -> Iterator[None]:
    """Whatever asks it to end does so as Ctrl-C, which `nohup` and `&` in scripts ignore: no folder of a trial stays
    behind, with its secrets.
    """
    asked = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT)) for number in asked}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Init:
    """One run of the command, step by step."""

    def __init__(self, given: Namespace, deadline: float, view: "View") -> None:
        self._given, self._deadline, self._view = given, deadline, view
        self.stands = "nothing was changed"  # what is true, should this end here
        self._asks = not given.yes and not given.json and sys.stdin.isatty()

    def run(self) -> int:
        from gateway.initial.finding import base_of, look
        from gateway.initial.keeping import places, usable_keyring

        base = base_of(self._given.config, os.environ)
        found = look(base, os.environ, Path.cwd(), self._given.clients or (), take_project=self._given.project)
        self._view.found(found)
        if self._asks and found.of_project and self._view.agrees_to_project(found):
            found = found.with_project()
        if not found.plan.new and (base.settings is None or not found.clients):
            return self._view.nothing(base, found)
        ring = usable_keyring() if any(one.launch.hidden for one in found.plan.new) else None
        kept = places(found.plan.new, ring, base.config.parent)
        self._view.intends(base, found, kept)
        if not self._asks and not self._given.yes:
            return self._view.planned(base, found, kept)
        return self._go_on(base, found, kept, ring)

    def _go_on(self, base: "Base", found: "Found", kept: "Sequence[Kept]", ring: Any) -> int:
        from gateway.initial.compose import Wanted, compose
        from gateway.initial.placing import problems, stop_at_errors

        owner = self._owner()
        if self._asks and found.plan.new and not self._view.agrees_to_start(found):
            return self._nothing()
        tried = self._try(base, found.plan.new, kept)
        choices = self._choices(found.plan.new, tried)
        today = datetime.now(UTC).date()
        wanted = Wanted(found.plan.new, tried, kept, choices, owner, found.clients, today)
        composed = compose(base, wanted)
        contents = [each for one in tried.values() for each in one.contents]
        stop_at_errors(problems(composed.draft, contents, os.environ, today), "nothing was written")
        self._view.writes(composed)
        if self._asks and not self._view.agrees_to_write():
            return self._nothing()
        self._put(base, wanted, composed, ring)
        self._view.done(found, wanted)
        return FINE

    def _nothing(self) -> int:
        print(self.stands)
        return FINDINGS

    def _owner(self) -> str:
        from gateway.initial.person import owner_of

        usual = self._given.owner or owner_of(os.environ)
        return self._view.owner(usual) if self._asks and not self._given.owner else usual

    def _try(self, base: "Base", planned: "Sequence[Planned]", kept: "Sequence[Kept]") -> "Mapping[str, Tried]":
        """Start each server in turn, and see what it offers; all of it goes again but what is returned."""
        from gateway.cli.progress import progress
        from gateway.initial.trial import remarked, tried
        from gateway.screening.engine import Kingfisher, cache_folder

        scanner = Kingfisher(cache_folder())
        if planned:
            with progress("compiling the scanner's rules", self._given.json):
                scanner.build()
        found: list[Tried] = []
        for one in planned:
            waiting = progress(f"starting `{one.name}`", self._given.json)
            with TemporaryDirectory(prefix="wardgate-") as folder, waiting:
                found.append(tried(one, kept, Path(folder), self._deadline, partial(_converse, scanner)))
            self._view.tried(found[-1])
        return {one.name: one for one in remarked(found, _others(base))}

    def _choices(self, planned: "Sequence[Planned]", tried: "Mapping[str, Tried]") -> "Mapping[str, Choice]":
        """What a person confirms of each upstream; all that is proposed where nobody is asked."""
        from gateway.initial.packs import fitting, packs

        known, choices = packs(), {}
        for one in planned:
            mine = tried[one.name]
            pack = fitting(known, one.launch.command, one.launch.args, [tool.name for tool in mine.tools])
            choices[one.name] = self._view.confirmed(mine, pack, asks=self._asks)
        return choices

    def _put(self, base: "Base", wanted: "Wanted", composed: "Composed", ring: Any) -> None:
        """Put everything in place, secrets first; what can't be is taken back. Then let it count, where it has to."""
        from gateway.accepted import Accepted
        from gateway.config import load_settings
        from gateway.initial.agreeing import Standing, revisions, standing
        from gateway.initial.keeping import forget, store
        from gateway.initial.placing import place

        edited = base.settings is not None and standing(base.settings) is Standing.EDITED
        added = store(wanted.kept, ring)
        try:
            place(composed.draft)
        except BaseException:
            forget(added, ring)
            raise
        self.stands = "all files are written, but `wardgate check` and `wardgate accept policy` may have more to say"
        settings = load_settings(base.config, os.environ)
        with suppress(OSError):  # else the first gateway keeps them, once it has seen them
            settings.gateway.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            Accepted(settings.gateway.state).keep(each for one in wanted.tried.values() for each in one.contents)
        if standing(settings) is Standing.EDITED and (edited or not _accept(base.config)):
            self._view.waits(revisions(settings))


def _converse(scanner: "Kingfisher", config: str, first: "Request", then: "Callable[[Answer], Request | None]") -> None:
    """Speak with a gateway of this process; raises `StateError` where none can be opened."""
    from gateway.cli.conversing import converse
    from gateway.cli.talk import Unreachable
    from gateway.errors import StateError

    try:
        converse(config, first, then, scanner=scanner)  # what is waited for is shown already
    except Unreachable as problem:
        raise StateError(str(problem)) from None


def _accept(config: Path) -> bool:
    """Let what stands there count from the next start on, and say whether it does: not while a gateway runs."""
    import anyio

    from gateway.acceptance import accept_alone
    from gateway.config import load_settings
    from gateway.errors import GatewayError
    from gateway.initial.agreeing import revisions

    try:
        for revision in revisions(load_settings(config, os.environ)):
            anyio.run(partial(accept_alone, config, revision, lambda _held: True))
    except GatewayError:
        return False
    return True


def _others(base: "Base") -> "Mapping[str, Sequence[str]]":
    """The tools of upstreams that are there already, as they were accepted."""
    from gateway.config import load_lock

    lock = load_lock(base.settings) if base.settings is not None else None
    return {name: list(locked.tools) for name, locked in (lock or {}).items()}
