"""Self-protection, step 0 of the path of a call: does a value reach the gateway's own files or a client's settings?

Looks at the file system and changes nothing; knows no policy, so no rule, grant or approval can lift what it says.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ahocorasick_rs import AhoCorasick

MAX_STRINGS = 2_000  # values and keys of one call that are looked at
MAX_LOOKUPS = 20_000  # steps of paths of one call that are looked up in the file system
MAX_CHARACTERS = 1_000_000  # of all values of one call that may be paths or commands
MAX_LENGTH = 4_096  # characters of a path that a system takes, and of a value that is no document
MAX_WORDS = 200_000  # words of one document that may be paths
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
_SPLIT = re.compile(r"[\s\x01-\x1f\x7f\"'`=:;,|&<>(){}\[\]]+")
_FILE_URL = re.compile(r"(?i)file:(?://(?:localhost)?(?=/))?")
_CWD = re.compile(r"/proc/(?:self|thread-self|[0-9]+)/cwd(?=/|$)")
_HOME = re.compile(r"\$HOME\b|\$\{HOME\}")
_LINES = re.compile(r"[\x01-\x08\n-\x1f\x7f\x85\u2028\u2029]+")  # what ends a line, and other control characters
_RUN = re.compile(r"(?:^|_)(?:command|cmd|script|shell|path|cwd|dir\w*|folder|argv?)s?$|(?:Path|Command)s?$")
_DETOUR = re.compile(r"/(?:\.?/)+")
_SHRINKS = re.compile(r"[/\\][./\\]|[%\0]")  # without one of these a text has no shorter spelling
_ODD = re.compile(r"(?:^|[/\\])\.|[%~$\0]")  # what may be spelled otherwise, or begin elsewhere
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
        self._own = tuple(f"{_fold(path)}/" for path in own)
        self._names: dict[str, dict[str, str]] = {}  # base folder -> what a bare name in it reaches
        self._spelled = tuple({*self._paths, *(_fold(text) for path in own for text in self._from_home(path))})
        self._mentions = AhoCorasick(self._spelled)

    def reaches(self, arguments: Mapping[str, Any], upstream: str) -> str:
        """The protected path that a value or key of the arguments resolves to, `too many values`, or nothing."""
        search = _Search(self, [os.path.abspath(base) for base in self._bases(upstream)])  # noqa: PTH100 - text throughout
        try:
            for count, (name, text) in enumerate(_strings(arguments), 1):
                if count > MAX_STRINGS:
                    return TOO_MANY
                if hit := search.value(name, text):
                    return hit
        except _ExhaustedError:
            return TOO_MANY
        return ""

    def mentioned(self, text: str) -> str:
        """The protected path that stands in a long text, spelled out or from `~` or `$HOME`."""
        text = f"{unquote(text)}\n{text}" if "%2" in text else text
        folded = _fold(_DETOUR.sub("/", text) if "//" in text or "/./" in text else text)
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

    def owns(self, path: str) -> str:
        """The same for the gateway's own files alone: a document may tell of clients' settings."""
        folded = f"{_fold(path)}/"
        return next((self._paths[own[:-1]] for own in self._own if folded.startswith(own)), "")

    def below(self, base: str) -> Iterator[str]:
        """The first steps from a folder to protected paths."""
        start = f"{_fold(base)}/" if base else "/"
        yield from (path[len(start) :].partition("/")[0] for path in self._paths if path.startswith(start))

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
        self._steps: dict[str, str] = {}  # what each step of a path is with its links resolved
        self._missing: set[str] = set()
        self._read: set[str] = set()  # words of documents
        self._there: dict[str, frozenset[str] | None] = {}

    def value(self, name: str, text: str) -> str:
        """The protected path that a string reaches; `name`: of its argument. What is run or opened by its name is
        searched line by line, like what is one line; any other text is a document.
        """
        text = text.strip()
        several = _LINES.search(text) is not None
        if several or len(text) > MAX_LENGTH:
            if hit := self._guard.mentioned(text):
                return hit
            if _RUN.search(name) is None:
                return ("" if several else self._path(text)) or self._document(text)
        return next(filter(None, map(self._line, _LINES.split(text) if several else (text,))), "")

    def _line(self, text: str) -> str:
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

    def _document(self, text: str) -> str:
        """A text that tells of files: its words that lead to the gateway's own, and those that spell out any other."""
        words = set(filter(_pathlike, set(_SPLIT.split(text)))) - self._read
        self._read |= words
        if len(self._read) > MAX_WORDS:
            raise _ExhaustedError
        for word in filter(self._leads, words):
            self._spend()
            if hit := self._path(word, self._guard.mentioned if word.startswith("/") else self._guard.owns):
                return hit
        return ""

    def _leads(self, word: str) -> bool:
        """Whether a word of a document may lead anywhere: by its first step, which must be there. Quick."""
        if _ODD.search(word):
            return True
        spelled = {word.replace("\\", "/"), word.replace("\\", "")}
        return any(
            there is None or _fold(_step(each.lstrip("/").partition("/")[0])) in there
            for each in spelled
            for there in ([self._names("")] if each.startswith("/") else map(self._names, self._bases))
        )

    def _names(self, folder: str) -> frozenset[str] | None:
        """What is in a folder, and what may come to be there that is protected; None if it can't be listed."""
        if folder not in self._there:
            self._spend()
            self._there[folder] = None
            with suppress(OSError):
                names = map(_fold, os.listdir(folder or "/"))  # noqa: PTH208 - text throughout
                self._there[folder] = frozenset((*names, *self._guard.below(folder)))
        return self._there[folder]

    def _path(self, text: str, holds: Callable[[str], str] | None = None) -> str:
        """A string as a path, in every spelling; one that is too long for one by what is left without its detours."""
        if len(text) > MAX_LENGTH and _SHRINKS.search(text) is None:
            return ""
        for spelled in self._spellings(text):
            for path in self._absolute(spelled):
                if hit := (holds or self._guard.holds)(path):
                    return hit
        return ""

    def _word(self, text: str) -> str:
        """A word or phrase without a slash: a name in one of the base folders, or nothing at all."""
        if not text:
            return ""
        if hit := self._named(text):
            return hit
        if any(self._mode(f"{base}/{text}") for base in self._bases):
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
        for start in [""] if spelled.startswith("/") else [f"{base}/" for base in self._bases]:
            for whole in _short(start + spelled):
                normal = os.path.normpath(whole)
                yield normal
                yield self._real(whole)
                if ".." in whole:
                    yield self._real(normal)

    def _real(self, path: str) -> str:
        """A path as the system follows it; each of its steps is looked up once in a call."""
        at = ""
        for part in path.split("/"):
            if part == "..":
                at = at.rpartition("/")[0]
            elif part not in ("", "."):
                at = self._stepped(f"{at}/{part}")
        return at or "/"

    def _stepped(self, path: str) -> str:
        """A path whose folder is free of links, with its last step resolved."""
        known = self._steps.get(path)
        if known is None:
            known = path
            if path.rpartition("/")[0] in self._missing or not (mode := self._mode(path)):
                self._missing.add(path)
            elif stat.S_ISLNK(mode):
                known = _real(path)
            self._steps[path] = known
        return known

    def _mode(self, path: str) -> int:
        self._spend()
        try:
            return os.lstat(path).st_mode
        except (OSError, ValueError):
            return 0

    def _spend(self) -> None:
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise _ExhaustedError


def _strings(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every string at any depth, with the name that it stands under, and keys, too; an empty one for every container,
    so that those are counted.
    """
    todo: list[tuple[str, object]] = [("", arguments)]
    while todo:
        name, item = todo.pop()
        if isinstance(item, str):
            yield name, item
        elif isinstance(item, Mapping):
            yield "", ""
            todo.extend(("", key) for key in item)
            todo.extend((str(key), each) for key, each in item.items())
        elif isinstance(item, list | tuple):
            yield "", ""
            todo.extend((name, each) for each in item)


def _with_targets(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield os.path.abspath(path)  # noqa: PTH100 - text throughout
        yield _real(path)


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # a loop of links, a NUL: no file is reached by it
        return os.path.normpath(path)


def _short(path: str) -> Iterable[str]:
    """A path that a system takes; of a longer one what programs may make of it before they open it."""
    if len(path) <= MAX_LENGTH:
        return (path,)
    forms = (_DETOUR.sub("/", path), os.path.normpath(path))
    return dict.fromkeys(form for form in forms if len(form) <= MAX_LENGTH)


def _fold(path: str) -> str:
    """Equal for paths that some file system takes for the same."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()


def _step(part: str) -> str:
    """A step of a path without the dots and spaces at its end that some systems drop."""
    return part if part in (".", "..") else part.rstrip(". ")


def _pathlike(token: str) -> bool:
    return "/" in token or "~" in token or "\\" in token or "%2f" in token.lower() or "$HOME" in token
