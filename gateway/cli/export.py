"""`wardgate export`: hand the record on, oldest first, once or continuously; or what proves one call."""

import argparse
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from gateway.cli.common import FINDINGS, FINE, UNREACHABLE, fail, parser, print_json, state_dir
from gateway.cli.progress import progress

if TYPE_CHECKING:
    from gateway.exporting import Export, Outlet
    from gateway.exporting.otlp import Receiver

FORMS = ("jsonl", "cef", "otlp")
PAGE = 1_000  # items of `--json`


def run(argv: Sequence[str]) -> int:
    """Export; exit codes 0, 1 a bookmark, file or record that doesn't fit or an end before the end, 2 wrong options,
    3 no record, or a receiver that takes nothing.
    """
    options = _options()
    given = options.parse_args(argv)
    _check(given, options.error)
    state = state_dir(given.config)
    if given.proof:
        from gateway.cli.proof import write_proof  # imported late, as all below: an option's error needs none of it

        return write_proof(state, given.config, given.proof, given.output)
    from gateway.errors import StateError, UnreadableError
    from gateway.exporting import Undelivered

    try:
        return _print_page(state, given) if given.json else _export(state, given)
    except Undelivered as problem:
        if not given.output and not given.to:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the end flushes into nothing
        fail(UNREACHABLE, str(problem))
    except StateError as problem:
        fail(UNREACHABLE if isinstance(problem, UnreadableError) else FINDINGS, str(problem))


def _options() -> argparse.ArgumentParser:
    options = parser("export", __doc__)
    options.add_argument("--format", choices=FORMS, help="JSON lines (jsonl), CEF, or OpenTelemetry")
    options.add_argument("--since", metavar="TIME", help="only rows from this time on: a time, a date, or `2h` ago")
    options.add_argument("--until", metavar="TIME", help="only rows before this time")
    options.add_argument(
        "--after", type=int, metavar="SEQ", help="begin behind this row; a bookmark that is there counts"
    )
    options.add_argument("--limit", type=int, metavar="N", help=f"with --json: items at most ({PAGE})")
    options.add_argument("--output", metavar="FILE", help="where to write (standard output)")
    options.add_argument("--to", metavar="URL", help="the OTLP/HTTP receiver, without /v1/logs and such")
    options.add_argument("--follow", action="store_true", help="go on with what comes, until it is told to stop")
    options.add_argument("--bookmark", metavar="FILE", help="keep here how far it came, and go on from there")
    options.add_argument("--content", action="store_true", help="with what the record keeps of arguments and results")
    options.add_argument("--skip-pruned", action="store_true", help="go on behind rows that were let go of meanwhile")
    options.add_argument(
        "--proof", metavar="ID", help="instead: a file that proves one call (d_...) or approval (a_...)"
    )
    return options


def _check(given: argparse.Namespace, wrong: Callable[[str], NoReturn]) -> None:
    """End the command where options contradict each other; times become times, and the format gets its default."""
    said = {name for name, value in vars(given).items() if value not in (None, False)}
    alone = said - {"config", "json"}
    if given.proof and (extra := alone - {"proof", "output"}):
        wrong(f"--proof goes with --output only, found {_named(extra)}")
    if given.json and (extra := alone - {"since", "until", "after", "limit", "content", "proof", "output"}):
        wrong(f"--json prints one page of items, and goes not with {_named(extra)}")
    if given.json and given.output and not given.proof:
        wrong("--json prints one page of items, and goes not with --output")
    if given.limit is not None and (not given.json or given.limit < 1):
        wrong("--limit goes with --json, and is 1 or more")
    if given.after is not None and given.after < 0:
        wrong(f"--after: expected 0 or more, found `{given.after}`")
    if given.follow and given.until:
        wrong("--follow has no end, and goes not with --until")
    given.format = given.format or FORMS[0]
    if (given.format == "otlp") != bool(given.to):
        wrong("--format otlp and --to URL go together")
    if given.format == "otlp" and given.output:
        wrong("--format otlp sends, and goes not with --output")
    if given.format == "cef" and given.content:
        wrong("--format cef has no place for --content")
    if given.to:
        _check_address(given.to, wrong)
    _read_times(given, wrong)


def _named(options: set[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in sorted(options))


def _check_address(url: str, wrong: Callable[[str], NoReturn]) -> None:
    try:
        found = urlsplit(url)
        fits = found.scheme in ("http", "https") and found.hostname and found.port != 0
    except ValueError:
        wrong("--to: expected an address such as `http://127.0.0.1:4318`")
    if not fits or found.query or found.fragment:
        wrong("--to: expected an address such as `http://127.0.0.1:4318`")
    if found.username is not None or found.password is not None:
        wrong("--to: a name and a password stand in `OTEL_EXPORTER_OTLP_HEADERS`, not in an address")


def _read_times(given: argparse.Namespace, wrong: Callable[[str], NoReturn]) -> None:
    if given.since is None and given.until is None:
        return
    from gateway.core.query import moment  # imported late: few ask for times

    now = datetime.now(UTC)
    for name in ("since", "until"):
        text = getattr(given, name)
        try:
            setattr(given, name, moment(text, now) if text is not None else None)
        except ValueError as problem:
            wrong(f"--{name}: {problem}")


def _print_page(state: Path, given: argparse.Namespace) -> int:
    """One page as the one object of `--json`, oldest first; its `next` is for `--after`."""
    from gateway.exporting import Export, Window, item, page
    from gateway.reading import reading

    window, limit = Window(given.after, given.since, given.until), given.limit or PAGE
    with Stop.at_signals() as stop, reading(state) as db:
        export = Export(state, window, stop, _say, skip_pruned=given.skip_pruned)
        export.begin(None)
        items: list[Mapping[str, Any]] = []
        seq = export.seq
        while len(items) < limit and (found := page(db, seq, PAGE)).rows:
            for row in found.checked(seq):
                if len(items) == limit:
                    break
                seq = row.seq
                items += [item(row, content=given.content)] if window.holds(row) else []
        more = bool(page(db, seq, 1).rows)
    print_json(items, str(seq) if more else None)
    return FINE


def _export(state: Path, given: argparse.Namespace) -> int:
    """Hand the rows over; a stop that was asked for is the good end of `--follow`, and an end before the end of the
    record else.
    """
    from gateway.exporting import Export, Undelivered, Window

    window = Window(given.after, given.since, given.until)
    shown = progress("exporting the record", quiet=given.follow or not (given.output or given.to))
    with Stop.at_signals() as stop, shown, ExitStack() as opened:
        export = Export(state, window, stop, _say, skip_pruned=given.skip_pruned)
        try:
            whole = _hand_over(state, given, export, stop, opened)
        except Undelivered:
            if not (given.follow and stop.is_set()):
                raise
            whole = True
        if not whole:
            print(f"wardgate: stopped behind row {export.seq}", file=sys.stderr)
        return FINE if whole else FINDINGS


def _hand_over(state: Path, given: argparse.Namespace, export: "Export", stop: "Stop", opened: ExitStack) -> bool:
    from gateway.exporting import LINES, Keeper, Lines, OutputFile, attach, gateway_of
    from gateway.reading import reading

    with reading(state) as db:
        gateway = gateway_of(db)
    keeper = opened.enter_context(Keeper(Path(given.bookmark))) if given.bookmark else None
    mark = keeper.load() if keeper is not None else None
    form = given.format + ("+content" if given.content else "")
    if mark is not None and (mark.form, mark.length is not None) != (form, given.output is not None):
        where = "a file" if mark.length is not None else "no file"
        fail(FINDINGS, f"the bookmark is one of `{mark.form}` to {where}: each export needs its own")
    export.begin(mark)

    def keep(outlet: "Outlet") -> None:
        if keeper is not None:
            keeper.save(export.mark(gateway, form, outlet))

    if given.output:
        file = opened.enter_context(OutputFile(Path(given.output), LINES[form], gateway))
        attach(file, mark, keep, _say)
        outlet: Outlet = file
    elif given.to:
        outlet = opened.enter_context(_receiver(state, given, gateway, stop))
    else:
        outlet = Lines(sys.stdout.buffer, LINES[form], gateway)
    keep(outlet)
    return export.run(outlet, lambda: keep(outlet), follow=given.follow)


def _receiver(state: Path, given: argparse.Namespace, gateway: str, stop: "Stop") -> "Receiver":
    try:
        from gateway.exporting.otlp import TRIES, Receiver
    except ModuleNotFoundError as problem:
        if (problem.name or "").partition(".")[0] not in ("opentelemetry", "requests"):
            raise
        fail(FINDINGS, "OpenTelemetry needs the extra `otel`: `pip install 'wardgate[otel]'`")
    tries = None if given.follow else TRIES
    return Receiver(given.to, state, gateway, stop, _say, tries=tries, content=given.content)


def _say(text: str) -> None:
    print(f"wardgate: {text}", file=sys.stderr, flush=True)


class Stop:
    """Set by the first SIGINT or SIGTERM; a second one ends the process at once.

    A pipe and no lock: a signal's handler must not wait for what it interrupted.
    """

    def __init__(self) -> None:
        self._set = False
        self._read, self._write = os.pipe()

    @classmethod
    @contextmanager
    def at_signals(cls) -> Iterator["Stop"]:
        """A stop that listens to the signals while it is open."""
        stop = cls()
        before = {each: signal.signal(each, stop.ask) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield stop
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            os.close(stop._read)
            os.close(stop._write)

    def ask(self, number: int, _: object = None) -> None:
        """Ask to end."""
        self._set = True
        signal.signal(number, signal.SIG_DFL)
        os.write(self._write, b"x")

    def is_set(self) -> bool:
        """Whether it was asked for."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until it is asked for; whether it was."""
        select.select([self._read], [], [], seconds)
        return self._set
