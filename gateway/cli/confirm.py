"""Ask a person at the terminal: one key, or one line. Says nothing by itself, and takes nothing but a `y` for a yes."""

import os
import sys
from collections.abc import Mapping


def pressed(question: str, keys: Mapping[str, str], otherwise: str) -> str:
    """Ask for one of `keys` (key -> what it is called) and return it; any other key is `otherwise`."""
    from gateway.cli.terminal import raw  # imported late: most commands ask nothing

    told = "  ".join(f"{key} {name}" for key, name in keys.items())
    with raw(sys.stdin.fileno()):  # what was typed before the question could be read is no answer to it
        print(f"{question}  [{told}] ", end="", flush=True)
        got = os.read(sys.stdin.fileno(), 64).decode("utf-8", "replace")[:1].lower()
    found = got if got in keys else otherwise
    print(keys[found])
    return found


def agreed(question: str) -> bool:
    """Whether a `y` is pressed."""
    return pressed(question, {"y": "yes", "n": "no"}, "n") == "y"


def line(question: str, usual: str) -> str:
    """A line of text; an empty one is `usual`."""
    print(f"{question} [{usual}]: ", end="", flush=True)
    return sys.stdin.readline().strip() or usual


def typed(question: str) -> bool:
    """Whether a line that says yes is typed."""
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
