"""What `freeze` and `thaw` share: what their words name, and where to look where no gateway runs. Light."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from gateway.cli.common import FINDINGS, UNREACHABLE, USAGE, aligned, fail, parser
from gateway.cli.options import hint
from gateway.cli.talk import ask, find_place, find_state

if TYPE_CHECKING:
    from gateway.core.model import Freeze
    from gateway.place import Place

SHORTEST = 4  # characters that the beginning of a session's name has to have
LOOK_BACK = 10_000  # records in which sessions are looked for where no gateway runs

Item = Mapping[str, Any]
Names = tuple[Sequence[str], Sequence[str]]  # upstreams, sessions


class Scope(NamedTuple):
    """What is held or let go: everything, one upstream or one session."""

    everything: bool = False
    upstream: str = ""
    session: str = ""


def options_of(name: str, about: str | None) -> ArgumentParser:
    """The options that both take."""
    options = parser(name, about)
    options.add_argument("what", nargs="?", help="a session or an upstream (a session's first characters will do)")
    options.add_argument("--all", action="store_true", help="everything")
    options.add_argument("--session", metavar="NAME", help="one session, where an upstream has the same name")
    options.add_argument("--upstream", metavar="NAME", help="one upstream")
    return options


def named(given: Namespace) -> bool:
    """Whether anything is named; ends the command where more than one thing is."""
    said = sum(map(bool, (given.what, given.all, given.session, given.upstream)))
    if said > 1:
        fail(USAGE, "expected one of a session, an upstream and `--all`")
    return said == 1


def known(given: Namespace) -> Names:
    """The upstreams and the sessions that the running gateway knows; not asked for where everything is meant."""
    if given.all:
        return (), ()
    upstreams = [str(row["upstream"]) for row in ask(given.config, "status")["items"]]
    return upstreams, [str(row["session"]) for row in ask(given.config, "sessions")["items"]]


def known_there(given: Namespace) -> Names:
    """The upstreams of the configuration, as far as that can be read, and the sessions of the newest records."""
    from gateway.place import config_file, table_of  # imported late, as the rest: only where no gateway runs
    from gateway.reading import sessions_among

    upstreams: Iterable[str] = ()
    with suppress(OSError, ValueError):  # it was told that it can't be read
        upstreams = table_of("upstreams", config_file(given.config, os.environ))
    return list(upstreams), _read(given, lambda db: sessions_among(db, LOOK_BACK))


def stored(given: Namespace) -> list[Item]:
    """What is held in the store of a gateway that doesn't run."""
    from gateway.core.grants import freeze_item
    from gateway.reading import freezes_now

    return _read(given, lambda db: [freeze_item(freeze) for freeze in freezes_now(db)])


def alone(given: Namespace, work: "Callable[[Place], list[Freeze]]") -> list[Item]:
    """Do a piece of work on the store of a gateway that doesn't run; ends the command where it can't be done."""
    from gateway.core.grants import freeze_item
    from gateway.errors import GatewayError, LockedError

    try:
        return [freeze_item(freeze) for freeze in work(find_place(given.config))]
    except LockedError as problem:
        fail(UNREACHABLE, f"{problem}, and doesn't answer: it is starting, ending or stuck. Try again, or end it")
    except GatewayError as problem:
        fail(UNREACHABLE, str(problem))


def _read(given: Namespace, question: Callable[[Any], list[Any]]) -> list[Any]:
    from gateway.errors import StateError
    from gateway.reading import reading

    try:
        with reading(find_state(given.config)) as db:
            return question(db)
    except StateError as problem:
        fail(UNREACHABLE, f"no gateway answers, and {problem}")


def scope_of(given: Namespace, names: Names, others: Callable[[], Names] = lambda: ((), ())) -> Scope:
    """What the words name among `names`; ends the command where they name nothing, two things, or one of the `others`,
    which aren't held.
    """
    upstreams, sessions = names
    if given.all:
        return Scope(everything=True)
    if given.upstream or given.session:
        word, among = given.upstream or given.session, upstreams if given.upstream else sessions
        fits = word in among
        return Scope(False, given.upstream or "", given.session or "") if fits else _unknown(given, word, among, others)
    word = given.what
    if word in upstreams and word in sessions:
        fail(USAGE, f"`{word}` is an upstream and a session: say `--upstream {word}` or `--session {word}`")
    if word in upstreams:
        return Scope(upstream=word)
    if word in sessions:
        return Scope(session=word)
    begun = _begun(word, sessions)
    if len(begun) > 1:
        fail(FINDINGS, f"`{word}` is the beginning of several sessions: {', '.join(begun[:5])}")
    return Scope(session=begun[0]) if begun else _unknown(given, word, [*upstreams, *sessions], others)


def _begun(word: str, sessions: Iterable[str]) -> list[str]:
    """The sessions whose names begin so."""
    return sorted({name for name in sessions if name.startswith(word)}) if len(word) >= SHORTEST else []


def _unknown(given: Namespace, word: str, names: Sequence[str], others: Callable[[], Names]) -> NoReturn:
    upstreams, sessions = others()
    if word in upstreams and not given.session:
        fail(FINDINGS, f"upstream `{word}` isn't held: `wardgate freeze` lists what is")
    found = [] if given.upstream else [word] if word in sessions else [] if given.session else _begun(word, sessions)
    if found:
        fail(FINDINGS, f"session `{found[0]}` isn't held: `wardgate freeze` lists what is")
    fail(FINDINGS, f"unknown upstream or session `{word}`{hint(word, [*names, *upstreams, *sessions])}")


def what(item: Item) -> str:
    """What a freeze holds, in words."""
    from gateway.core.visible import visible

    if item["tool"]:
        return f"{item['upstream']}/{visible(item['tool'])} in session {visible(item['session'])}"
    if item["upstream"]:
        return f"upstream {item['upstream']}"
    return f"session {visible(item['session'])}" if item["session"] else "everything"


def table(items: Sequence[Item]) -> str:
    """What is held, a line each."""
    from gateway.core.visible import visible

    rows = [(what(row), f"by {row['by']}", f"since {row['at'][:19]}Z", visible(row["note"])) for row in items]
    return aligned(rows) or "nothing is held"
