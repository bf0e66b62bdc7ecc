"""The options of one command: wrong ones are told in one line with the nearest right name, and shells may ask for them.

Light: the standard library only. It decides nothing about what a command does.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

COMPLETING = "_ARGCOMPLETE"
"""The variable by which a shell's completion asks for words instead of running the command."""


def hint(word: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` with the nearest of `names`, or nothing where none is near."""
    from gateway.core.problems import nearest  # imported late: only a wrong name needs it

    near = nearest(word, names)
    return f"; did you mean `{near}`?" if near else ""


def shown(text: str) -> str:
    """What somebody typed, or a file says, as it can be printed."""
    if text.isascii() and text.isprintable():
        return text
    from gateway.core.visible import visible  # imported late, as above

    return visible(text)


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


class Options(argparse.ArgumentParser):
    """The parser of one command. What is wrong ends it with exit code 2 and one line."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]  # one of its overloads is all that is called
        """Parse; an option that doesn't exist is told first, whatever else is wrong beside it."""
        if COMPLETING in os.environ:
            from gateway.cli.completion import offer  # imported late: only shells ask

            offer(self)
        self._find_undecoded(args or ())
        if self._subparsers is None:
            self._find_unknown(args or ())
        given, extra = self.parse_known_args(args, namespace)
        if extra:
            self.error(f"unexpected `{extra[0]}`")
        return given

    def error(self, message: str) -> NoReturn:
        """End the command; usage is what `--help` prints."""
        one = shown(" ".join(message.split()))
        more = "" if "did you mean" in one else f"; `{self.prog} --help` tells the options"
        self.exit(2, f"{self.prog}: {one}{more}\n")

    def _find_undecoded(self, words: Sequence[str]) -> None:
        """End the command at a word with bytes that are no UTF-8: nothing that is asked or recorded can hold it. The
        configuration's path may.
        """
        for before, word in zip(("", *words), words, strict=False):
            if before != "--config" and not word.startswith("--config=") and not _is_text(word):
                self.error(f"expected UTF-8, found `{word}`")

    def _find_unknown(self, words: Sequence[str]) -> None:
        known = self._option_string_actions
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in word and name not in known:
                self.error(f"unknown option `{name}`{hint(name, known)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(name) for name in action.choices]
        near = hint(str(value), names)
        listed = "" if near else f": expected {', '.join(names)}"
        what = f"`{value}` for {action.option_strings[-1]}" if action.option_strings else f"`{value}`"
        raise argparse.ArgumentError(None, f"unknown {what}{listed}{near}")
