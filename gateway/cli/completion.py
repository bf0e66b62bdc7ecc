"""`wardgate completion bash|zsh|fish`: the script by which a shell completes commands, options and names that exist.

The shell then asks `wardgate` itself, by a variable in the environment; the command on the line is never run. Names
come from the configuration, the store and the running gateway; those with characters that a shell reads are left out.
"""

import os
import re
from argparse import Action, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from gateway.cli.common import FINE, parser, print_json
from gateway.cli.options import COMPLETING, Options, hint

if TYPE_CHECKING:
    from gateway.reading import Viewer

SHELLS = ("bash", "zsh", "fish")
FILES = ("FILE", "PATH", "DIR", "FOLDER")
"""What help calls a value that is a file or a folder."""

DEADLINE = 1.0  # seconds that the gateway may take: a shell waits for it
MOST = 200  # names of one kind
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]*")
OPTION = re.compile(r"  (--[a-z-]+)(?: ([A-Z]+))?  +(.+)")

Source = Callable[[str | None], Iterable[str]]


def run(argv: Sequence[str]) -> int:
    """Print the script; exit codes 0, 2 usage."""
    options = parser("completion", __doc__)
    options.add_argument("shell", choices=SHELLS)
    given = options.parse_args(argv)

    from argcomplete.shell_integration import shellcode

    script = shellcode(["wardgate"], use_defaults=False, shell=given.shell)
    if given.json:
        print_json([{"shell": given.shell, "script": script}])
    else:
        print(script, end="")
    return FINE


# --- what a shell is told


def complete(commands: Mapping[str, tuple[str, str]]) -> NoReturn:
    """Tell the shell what may stand at the cursor, and end. `commands`: name -> (module, what it does)."""
    from argcomplete.lexers import split_line

    line = os.environ.get("COMP_LINE", "")
    words = split_line(line, int(os.environ.get("COMP_POINT", len(line))))[3]
    if len(words) < 2:
        offer(_first(commands))
    if words[1] not in commands:
        raise SystemExit(1)
    module = import_module(commands[words[1]][0])
    if (told := getattr(module, "HELP", None)) is not None:  # too light for a parser of its own
        offer(_from_help(words[1], told, getattr(module, "KINDS", ())))
    plain = [word for word in words[2:3] if not word.startswith("-")]
    module.run([*plain, "--help"])  # its parser calls `offer`, which ends the process; were there none, help is all
    raise SystemExit(1)


def offer(options: Options) -> NoReturn:
    """Tell the shell what these options take at the cursor, and end."""
    import argcomplete

    command = options.prog.split()[1:]
    os.environ[COMPLETING] = str(len(command) + 1)  # where the words that it parses begin
    for action in options._actions:
        if action.choices is None and action.nargs != 0:
            action.completer = _completer(" ".join(command), action)  # type: ignore[attr-defined]  # argcomplete's way
    argcomplete.autocomplete(options, always_complete_options=False)
    raise SystemExit(1)


def _first(commands: Mapping[str, tuple[str, str]]) -> Options:
    options = Options(prog="wardgate")
    options.add_argument("--version", action="store_true", help="print the version")
    each = options.add_subparsers()
    for name, (_, about) in commands.items():
        each.add_parser(name, help=about)
    return options


def _from_help(name: str, text: str, kinds: Sequence[str]) -> Options:
    """A parser of what a command's help lists."""
    options = Options(prog=f"wardgate {name}")
    if kinds:
        options.add_argument("kind", choices=kinds)
    for option, metavar, about in OPTION.findall(text):
        takes: dict[str, Any] = {"metavar": metavar} if metavar else {"action": "store_true"}
        options.add_argument(option, help=about.replace("%", "%%"), **takes)
    return options


# --- names that exist


def _completer(command: str, action: Action) -> Callable[..., Iterable[str]]:
    from argcomplete.completers import FilesCompleter

    source = SOURCES.get(f"{command} {action.dest}") or ANYWHERE.get(action.dest)
    if source is None:
        return FilesCompleter() if action.metavar in FILES else lambda **_: ()

    def names(parsed_args: Namespace, **_: object) -> Iterable[str]:
        found = _found(source, getattr(parsed_args, "config", None))
        return [name for name in dict.fromkeys(found) if PLAIN.fullmatch(name)][:MOST]

    return names


def _found(source: Source, config: str | None) -> list[str]:
    """The names of one source; none where it can't be read, or holds something else."""
    from gateway.cli.talk import Unreachable
    from gateway.errors import GatewayError

    try:
        return list(source(config))
    except (OSError, ValueError, TypeError, AttributeError, GatewayError, Unreachable, SystemExit):
        return []


def near(value: str, word: str, config: str | None) -> str:
    """`; did you mean ...?` for a word that is none of what a key of `SOURCES` or `ANYWHERE` may be, if one is near."""
    names = [name for name in _found(SOURCES.get(value) or ANYWHERE[value], config) if PLAIN.fullmatch(name)]
    return hint(word, names) if word not in names else ""


def _asked(op: str, key: str, **fields: str) -> Source:
    """One field of what the running gateway answers."""

    def source(config: str | None) -> Iterable[str]:
        import json

        from gateway.cli.talk import exchange, find_state

        answer = exchange(find_state(config), json.dumps({"op": op, **fields}).encode() + b"\n", DEADLINE)
        return [str(item[key]) for item in answer.get("items", ())]

    return source


def _named(table: str) -> Source:
    """The names in one table of `upstreams.toml`."""

    def source(config: str | None) -> Iterable[str]:
        from gateway.place import config_file, table_of

        return list(table_of(table, config_file(config, os.environ)))

    return source


def _word(name: str) -> Source:
    """The words of a closed vocabulary of the record."""

    def source(_: str | None) -> Iterable[str]:
        from gateway.core.query import VOCABULARIES

        return VOCABULARIES[name]

    return source


def _store(question: Callable[[Any, "Viewer"], Iterable[str]]) -> Source:
    """What the store answers, whether a gateway runs or not; each sees what is theirs to see."""

    def source(config: str | None) -> Iterable[str]:
        from gateway.cli.common import state_dir
        from gateway.place import config_file
        from gateway.reading import reading, viewer_in

        state = state_dir(config)
        with reading(state) as db:
            return list(question(db, viewer_in(config_file(config, os.environ), state)))

    return source


def _recorded(name: str) -> Source:
    """What the newest records of theirs say in one field, to whoever reads."""

    def question(db: Any, viewer: "Viewer") -> Iterable[str]:
        from gateway.core.query import Query
        from gateway.reading import newest

        rows = newest(db, Query(principal=viewer.restriction, limit=MOST))
        return [str(getattr(row.record, name)) for row in rows]

    return _store(question)


def _grants(db: Any, viewer: "Viewer") -> Iterable[str]:
    from datetime import UTC, datetime

    from gateway.reading import grants_now

    found = grants_now(db, datetime.now(UTC), MOST)
    return [grant.id for grant in found if viewer.restriction in ("", grant.principal)]


def _leaks(db: Any, viewer: "Viewer") -> Iterable[str]:
    from gateway.ledger import COUNTING, page

    return [leak.id for leak in page(db, COUNTING, "", MOST)] if viewer.auditor else []


def _tools(form: str) -> Source:
    """The tools that were accepted, written as `form` says."""

    def source(config: str | None) -> Iterable[str]:
        import tomllib

        from gateway.place import config_file, table_of

        file = config_file(config, os.environ)
        policies = table_of("gateway", file).get("policies", "policies")
        lock = tomllib.loads((file.parent / policies / "tools.lock").read_text(encoding="utf-8-sig"))
        offered = lock.get("upstreams", {})
        return [
            form.format(upstream=upstream, tool=tool)
            for upstream, offers in offered.items()
            for tool in offers.get("tools", {})
        ]

    return source


def _both(*sources: Source) -> Source:
    return lambda config: [name for source in sources for name in _found(source, config)]


def _clients(_: str | None) -> Iterable[str]:
    from gateway.core.clients import CLIENTS

    return CLIENTS


WAITING, UPSTREAMS = _asked("approvals", "id", state="waiting"), _named("upstreams")
CALLS, SESSIONS = _recorded("id"), _recorded("session")

ANYWHERE: Mapping[str, Source] = {
    "upstream": UPSTREAMS,
    "client": _named("clients"),
    "session": SESSIONS,
    "principal": _recorded("principal"),
    "seen_as": _recorded("principal"),
    "tool": _tools("{tool}"),
    **{name: _word(name) for name in ("kind", "verdict", "outcome")},
}
"""The names that a value of this name takes, whatever the command."""
SOURCES: Mapping[str, Source] = {
    "approvals id": WAITING,
    "approve id": WAITING,
    "deny id": WAITING,
    "grants id": _store(_grants),
    "leaks id": _store(_leaks),
    "explain id": CALLS,
    "export proof": CALLS,
    "freeze what": _both(UPSTREAMS, SESSIONS),
    "thaw what": _both(UPSTREAMS, SESSIONS),
    "log reason": _word("reason"),
    "client name": _named("clients"),
    "approver name": _named("approvers"),
    "accept name": _tools("{upstream}__{tool}"),
    "policy explain tool": _tools("{upstream}/{tool}"),
    "connect client": _clients,
    "disconnect client": _clients,
}
"""The names that one value of one command takes."""
