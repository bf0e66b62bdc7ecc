"""Self-protection, step 0 of the path of a call: does a value reach the gateway's own files or a client's settings?

Looks at the file system and changes nothing; knows no policy, so no rule, grant or approval can lift what it says.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ahocorasick_rs import AhoCorasick

MAX_STRINGS = 2_000  # values and keys of one call that are looked at
MAX_LOOKUPS = 2_000  # paths of one call that are looked up in the file system
MAX_CHARACTERS = 1_000_000  # of all values of one call that may be paths or commands
MAX_LENGTH = 4_096  # characters of a value that may be a path or a command
TOO_MANY = "too many values"

# Settings of clients that name MCP servers or hooks: in whatever folder they stand, by the end of the path.
CLIENT_SETTINGS = (
    ".mcp.json",
    ".claude.json",
    ".claude/settings.json",
    ".claude/settings.local.json",
    "claude-code/managed-settings.json",
    "claude-code/managed-mcp.json",
    "claude_desktop_config.json",
    ".vscode/mcp.json",
    "code/user/mcp.json",
    "code/user/settings.json",
    "code - insiders/user/mcp.json",
    ".vscode-server/data/user/mcp.json",
    ".copilot/mcp-config.json",
    ".cursor/mcp.json",
    ".cursor/hooks.json",
    ".codeium/windsurf/mcp_config.json",
    ".windsurf/hooks.json",
    ".gemini/settings.json",
    ".gemini/mcp-server-enablement.json",
    ".codex/config.toml",
    ".codex/hooks.json",
)
# Where they stand in a user's home, so that the target of one that is a symlink is known too.
HOME_SETTINGS = (
    ".claude.json",
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".config/Claude/claude_desktop_config.json",
    "Library/Application Support/Claude/claude_desktop_config.json",
    ".config/Code/User/mcp.json",
    ".config/Code/User/settings.json",
    "Library/Application Support/Code/User/mcp.json",
    "Library/Application Support/Code/User/settings.json",
    ".cursor/mcp.json",
    ".cursor/hooks.json",
    ".codeium/windsurf/mcp_config.json",
    ".gemini/settings.json",
    ".codex/config.toml",
    ".codex/hooks.json",
)
_SPLIT = re.compile(r"[\s\"'`=:;,|&<>(){}\[\]]+")
_FILE_URL = re.compile(r"(?i)file:(?://(?:localhost)?(?=/))?")
_CWD = re.compile(r"/proc/(?:self|thread-self|[0-9]+)/cwd(?=/|$)")
_HOME = re.compile(r"\$HOME\b|\$\{HOME\}")
_LEADS = re.compile(r"[/~\\%$:*?\[\0]")  # without one of these a text is no path but a single name
_ENDS = tuple("/" + name for name in CLIENT_SETTINGS)


class Guard:
    """Tells whether a call reaches a protected file; implements `gateway.ports.Guard`.

    `protected`: files and folders, equal or inside counts, folders above them don't. `bases`: the folders that an
    upstream's relative paths may start from.
    """

    def __init__(
        self, protected: Sequence[Path], bases: Callable[[str], Sequence[Path]], home: Path | None = None
    ) -> None:
        self._bases, self._home = bases, str(home or Path.home())
        settings = [os.path.join(self._home, name) for name in HOME_SETTINGS]  # noqa: PTH118 - text throughout
        own = list(_with_targets(str(path) for path in protected))
        self._paths = {_fold(path): path for path in [*_with_targets(settings), *own]}
        self._openings = tuple(f"{path}/" for path in self._paths)
        self._names: dict[str, dict[str, str]] = {}  # base folder -> what a bare name in it reaches
        self._spelled = tuple({*self._paths, *(_fold(text) for path in own for text in self._from_home(path))})
        self._mentions = AhoCorasick(self._spelled)

    def reaches(self, arguments: Mapping[str, Any], upstream: str) -> str:
        """The protected path that a value or key of the arguments resolves to, `too many values`, or nothing."""
        bases = [_normal(str(base)) for base in self._bases(upstream)]
        search = _Search(self, bases)
        try:
            for count, text in enumerate(_strings(arguments), 1):
                if count > MAX_STRINGS:
                    return TOO_MANY
                if hit := search.value(text):
                    return hit
        except _ExhaustedError:
            return TOO_MANY
        return ""

    def mentioned(self, text: str) -> str:
        """The protected path that stands in a long text, spelled out or from `~` or `$HOME`."""
        folded = _fold(unquote(text) + "\n" + text if "%2" in text else text)
        for number, _, end in self._mentions.find_matches_as_indexes(folded, overlapping=True):
            if not re.match(r"[\w-]", folded[end : end + 1]):
                return self._paths.get(self._spelled[number], self._spelled[number])
        return ""

    def holds(self, path: str) -> str:
        """The protected path that an absolute, normal path is or lies in."""
        folded = _fold(path[1:] if path.startswith("//") else path)
        if f"{folded}/".startswith(self._openings):
            return next(name for own, name in self._paths.items() if f"{folded}/".startswith(f"{own}/"))
        if folded.endswith(_ENDS):
            return path
        return self._globbed(folded) if any(sign in folded for sign in "*?[") else ""

    def named(self, base: str, name: str) -> str:
        """The protected path that a bare name (no slash in it) in a base folder is; a table look-up, for prose."""
        names = self._names.get(base)
        if names is None:
            inside = self.holds(base)
            folder = _fold(base)
            parted = ((own.rpartition("/"), path) for own, path in self._paths.items())
            names = self._names[base] = {"": inside, **{at[2]: path for at, path in parted if at[0] == folder}}
        if names[""]:
            return names[""]
        return names.get(_fold(name), "") or names.get(_fold(_step(name)), "")

    def expand(self, text: str) -> str:
        """`~`, `$HOME` and our own `~name`, written out."""
        text = _HOME.sub(lambda _: self._home, text)
        head, slash, rest = text.partition("/")
        own = head in ("~", f"~{os.path.basename(self._home)}")  # noqa: PTH119 - text throughout
        return f"{self._home}{slash}{rest}" if own else text

    def _globbed(self, folded: str) -> str:
        steps = folded.split("/")
        for own, name in self._paths.items():
            parts = own.split("/")
            if len(steps) >= len(parts) and all(
                fnmatchcase(part, step) for part, step in zip(parts, steps, strict=False)
            ):
                return name
        return ""

    def _from_home(self, path: str) -> Iterator[str]:
        if path.startswith(f"{self._home}/"):
            rest = path[len(self._home) :]
            yield from (f"~{rest}", f"$HOME{rest}", f"${{HOME}}{rest}")


class _ExhaustedError(Exception):
    """More was asked of one search than it may do."""


class _Search:
    """One call's values against the guard, with bounds on what it does."""

    def __init__(self, guard: Guard, bases: Sequence[str]) -> None:
        self._guard, self._bases = guard, bases
        self._lookups, self._characters = 0, 0
        self._reals: dict[str, str] = {}

    def value(self, text: str) -> str:
        """The protected path that one string reaches."""
        if len(text) > MAX_LENGTH or "\n" in text:
            return self._guard.mentioned(text)
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise _ExhaustedError
        if _LEADS.search(text) is None:
            return self._word(text)
        if hit := self._path(text):
            return hit
        tokens = dict.fromkeys([*_SPLIT.split(text), *_SPLIT.split(re.sub("[\"'`]", "", text))])
        for token in tokens:
            if token and token != text and (hit := self._path(token) if _pathlike(token) else self._named(token)):
                return hit
        return ""

    def _path(self, text: str) -> str:
        """A string as a path, in every spelling."""
        for spelled in self._spellings(text):
            for path in self._absolute(spelled):
                if hit := self._guard.holds(path):
                    return hit
        return ""

    def _word(self, text: str) -> str:
        """A word or phrase without a slash: a name in one of the base folders, or nothing at all."""
        if not text:
            return ""
        if hit := self._named(text):
            return hit
        if any(self._exists(f"{base}/{text}") for base in self._bases):
            return self._path(text)
        words = dict.fromkeys(_SPLIT.split(text))
        return next(filter(None, map(self._named, words)), "") if len(words) > 1 else ""

    def _named(self, token: str) -> str:
        """A bare word as a name in one of the base folders; only by its name, prose is full of words."""
        for base in self._bases:
            if hit := self._guard.named(base, token):
                return hit
        return ""

    def _spellings(self, text: str) -> Iterable[str]:
        found = {text: None}
        for sign, change in self._changes():
            for spelled in list(found):
                if sign in spelled:
                    found[change(spelled)] = None
        return found

    def _changes(self) -> Iterator[tuple[str, Callable[[str], str]]]:
        """What a spelling must contain to have another one, and that other one; in this order, each on all before."""
        yield "%", unquote
        yield "%", unquote
        yield "\0", lambda text: text.replace("\0", "")
        yield "\0", lambda text: text.partition("\0")[0]  # where a C string ends
        yield ":", lambda text: _FILE_URL.sub("", text.strip(), count=1)
        yield "\\", lambda text: text.replace("\\", "/")
        yield "\\", lambda text: re.sub(r"\\(.)", r"\1", text)
        yield "", lambda text: "/".join(_step(part) for part in text.strip().split("/"))
        yield "~", self._guard.expand
        yield "$", self._guard.expand
        for base in self._bases:
            yield "/proc/", lambda text, base=base: _CWD.sub(lambda _: base, text)  # type: ignore[misc]  # the default binds the loop's value

    def _absolute(self, spelled: str) -> Iterator[str]:
        """The absolute paths that a spelling leads to: as it stands, and with symlinks resolved."""
        starts = [""] if spelled.startswith("/") else [f"{base}/" for base in self._bases]
        for start in starts:
            whole = start + spelled
            normal = os.path.normpath(whole)
            yield normal
            if start and ".." not in spelled and not self._exists(start + normal[len(start) :].partition("/")[0]):
                yield self._base(start) + normal[len(start) - 1 :]
                continue
            if not start and ".." not in spelled and not self._exists("/" + normal.lstrip("/").partition("/")[0]):
                continue  # nothing there to resolve: a URL's host, say
            self._spend()
            yield _real(whole)
            if ".." in spelled:
                yield _real(normal)

    def _base(self, start: str) -> str:
        """A base folder with its symlinks resolved."""
        return self._reals.get(start) or self._reals.setdefault(start, _real(start))

    def _exists(self, path: str) -> bool:
        self._spend()
        return os.path.lexists(path)

    def _spend(self) -> None:
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise _ExhaustedError


def _strings(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Every string at any depth, keys too; an empty one for every container, so that those are counted."""
    todo: list[object] = [arguments]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            yield ""
            todo.extend(item)
            todo.extend(item.values())
        elif isinstance(item, list | tuple):
            yield ""
            todo.extend(item)


@lru_cache(maxsize=1024)
def _normal(base: str) -> str:
    return os.path.abspath(base)  # noqa: PTH100 - text throughout


def _with_targets(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield os.path.abspath(path)  # noqa: PTH100 - text throughout
        yield _real(path)


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # a loop of links, a NUL: no file is reached by it
        return os.path.normpath(path)


def _fold(path: str) -> str:
    """Equal for paths that some file system takes for the same."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()


def _step(part: str) -> str:
    """A step of a path without the dots and spaces at its end that some systems drop."""
    return part if part in (".", "..") else part.rstrip(". ")


def _pathlike(token: str) -> bool:
    return "/" in token or "~" in token or "\\" in token or "%2f" in token.lower() or "$HOME" in token
