"""Translate one server of a client's file: its variables to references, its secrets to what is kept elsewhere.

What stands in a file may be an attacker's (a cloned repository's): a text that would be read as a reference becomes a
value that is kept as it is, and no text ever becomes part of a shell's words unquoted. No I/O here.
"""

import re
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from posixpath import join, normpath
from urllib.parse import unquote, urlsplit, urlunsplit

from msgspec import Struct

from gateway.clients import Server
from gateway.clients.secrets import arguments, why_secret
from gateway.config.references import WORKSPACE, split_reference
from gateway.initial.nouns import Hidden, Launch, Value

SHELL = "/bin/sh"
WORKSPACES = ("workspaceFolder", "workspaceRoot", "workspace", "projectRoot")
_HOMES = ("userHome", "HOME")
_PLAIN_EXPANDERS = ("claude-code", "gemini", "mcp-json", "codex")  # clients in whose files `${NAME}` is a variable
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_MARK = re.compile(r"\$\{([^{}]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")


class Text(Struct, frozen=True):
    """Literal text."""

    text: str


class Variable(Struct, frozen=True):
    """A variable of the environment, with what stands for it where it is not set."""

    name: str
    default: str | None = None


class Input(Struct, frozen=True):
    """Something that the client asks its user for, and keeps itself."""

    name: str


class Workspace(Struct, frozen=True):
    """The folder that is worked in."""


Piece = Text | Variable | Input | Workspace


def translate(server: Server, environ: Mapping[str, str], project: str) -> Launch:
    """How the server becomes an upstream; `project` is the folder to which relative paths of a project's file lead."""
    if server.transport == "sse":
        return Launch(
            refused="it is reached over SSE, which Wardgate does not speak: its vendor may offer streamable HTTP"
        )
    if not server.command and not server.url:
        return Launch(refused="it names neither a command nor an address")
    return _Translation(server, environ, project).launch()


class _Translation:
    """One server on its way."""

    def __init__(self, server: Server, environ: Mapping[str, str], project: str) -> None:
        self._server, self._environ, self._project = server, environ, project
        self._to_do: list[str] = []
        self._slots: dict[str, Value] = {}  # variables that stand for arguments

    def launch(self) -> Launch:
        return self._address() if self._server.url else self._program()

    def _program(self) -> Launch:
        server = self._server
        if server.scope == "project" and any(self._reads(text) for text in (server.command, server.cwd)):
            return Launch(refused="its program or folder is named by a variable: write it out")
        values = self._values(server.env, _VARIABLE)
        pieces = [tuple(self._pieces(arg)) for arg in server.args]
        command = "".join(_plain(self._pieces(server.command), self._environ))
        command = self._absolute(command) if "/" in command else command
        workspace = any(isinstance(piece, Workspace) for arg in pieces for piece in arg)
        args = tuple("".join(_kept(arg)) for arg in pieces)
        if any(not _simple(arg) for arg in pieces) or _hides(args) or any(map(_confusing, args)):
            command, args = self._by_shell(command, pieces)
        cwd = "".join(_plain(self._pieces(server.cwd), self._environ))
        if any(isinstance(piece, Workspace) for piece in self._pieces(server.cwd)):
            cwd = ""
            self._to_do.append(
                "it was started in the workspace's folder; now it is in the folder that the gateway runs in"
            )
        elif cwd or server.scope != "user":
            cwd = self._absolute(cwd)
        return Launch(command, args, {**self._slots, **values}, cwd, workspace=workspace, to_do=tuple(self._to_do))

    def _reads(self, text: str) -> bool:
        """Whether a text takes something from the environment."""
        return any(isinstance(piece, Variable) and piece.name in self._environ for piece in self._pieces(text))

    def _absolute(self, path: str) -> str:
        home = self._environ.get("HOME", "")
        whole = home + path[1:] if home and (path == "~" or path.startswith("~/")) else path
        return normpath(join(self._project, whole))

    def _address(self) -> Launch:
        pieces, headers = tuple(self._pieces(self._server.url)), dict(self._server.headers)
        if any(isinstance(piece, Workspace) or (isinstance(piece, Text) and "${" in piece.text) for piece in pieces):
            return Launch(refused="its address holds a variable that no address can")
        url = "".join(self._of_address(place, piece) for place, piece in enumerate(pieces))
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            return Launch(refused="its address can't be read")
        if parts.scheme not in ("http", "https") or not host:
            return Launch(refused="its address is no http address")
        if "${" in parts.netloc:
            return Launch(refused="its host is a variable's, and the host is what is accepted: write it out")
        if parts.username is not None:
            known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers.setdefault("Authorization", f"Basic {b64encode(known.encode()).decode()}")
            url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
        elif parts.fragment:
            url = urlunsplit(parts._replace(fragment=""))
        values = self._values(headers, _HEADER)
        return Launch(url=self._without_secrets(url), env=self._slots, headers=values, to_do=tuple(self._to_do))

    def _of_address(self, place: int, piece: Piece) -> str:
        """What stands for a piece of an address: a variable stays one, and is read at each start, but for the first
        piece if that is the beginning of an address.
        """
        match piece:
            case Text(text):
                return text
            case Input(name):
                slot = f"WARDGATE_INPUT_{place}"
                self._to_do.append(f"put the value for the address there: the client asks for `{name}` and keeps it")
                self._slots[slot] = Hidden(slot, self._to_do[-1])
                return f"${{{slot}}}"
            case Variable(name, default) if _asked(piece, self._environ):
                value = self._environ.get(name, default or "")
                if place == 0 and value.startswith(("http://", "https://")):
                    return value
                self._slots[name] = f"env:{name}"
                return f"${{{name}}}"
            case Variable(_, default):
                return default or ""
            case _:
                return ""

    def _without_secrets(self, url: str) -> str:
        """The address with variables in the places of secrets, which are kept as they stand there."""
        parts = urlsplit(url)
        path = [self._part("", step) for step in parts.path.split("/")]
        query = []
        for field in parts.query.split("&"):
            name, equals, value = field.rpartition("=")
            query.append(name + equals + self._part(name, value))
        return urlunsplit(parts._replace(path="/".join(path), query="&".join(query))) if self._slots else url

    def _part(self, name: str, value: str) -> str:
        """One step of a path, or the value of a field of a query, with variables that stand for what is a secret."""
        return "".join(map(partial(self._shown, name), re.split(r"(\$\{[^}]*\})", value)))

    def _shown(self, name: str, text: str) -> str:
        why = reason_to_hide(name, unquote(text)) if text and not text.startswith("${") else ""
        if not why:
            return text
        slot = f"WARDGATE_ADDRESS_{len(self._slots) + 1}"
        self._slots[slot] = Hidden(slot, why, text)
        return f"${{{slot}}}"

    def _values(self, table: Mapping[str, str], shape: re.Pattern[str]) -> dict[str, Value]:
        """The values of `env` or `headers`, as they will stand."""
        found: dict[str, Value] = {}
        for name, text in table.items():
            if not shape.fullmatch(name):
                self._to_do.append(
                    f"`{name}` is no name for a {'variable' if shape is _VARIABLE else 'header'}: left out"
                )
                continue
            value = self._value(name, text)
            if value is not None:
                found[name] = value
        return found

    def _value(self, name: str, text: str) -> Value | None:
        pieces = tuple(self._pieces(text))
        if any(isinstance(piece, Workspace) for piece in pieces):
            self._to_do.append(f"`{name}` named the workspace's folder, which only arguments can: set it by hand")
            return None
        if asked := [piece.name for piece in pieces if isinstance(piece, Input)]:
            told = f"put the value of `{name}` there: the client asks for `{asked[0]}` and keeps the answer itself"
            self._to_do.append(told)
            return Hidden(name, told)
        only = pieces[0] if len(pieces) == 1 else None
        if isinstance(only, Variable) and _asked(only, self._environ):
            return f"env:{only.name}"
        if any(isinstance(piece, Variable) and _asked(piece, self._environ) for piece in pieces):
            # a small program puts the text around variables together, each time anew
            script = f"printf %s {''.join(_words(pieces, self._environ))}"
            return f"cmd:{SHELL} -c {shlex.quote(script)}"
        literal = "".join(_plain(pieces, self._environ))
        why = reason_to_hide(name, literal)
        return Hidden(name, why, literal) if why else literal

    def _by_shell(self, command: str, args: Sequence[Sequence[Piece]]) -> tuple[str, tuple[str, ...]]:
        """A shell that puts secrets and variables in the places of arguments, which can hold no references."""
        words, given = [shlex.quote(command)], list[str]()
        literals = ["".join(_kept(arg)) for arg in args]
        for place, (arg, (head, name, value)) in enumerate(zip(args, arguments(literals), strict=True), 1):
            literal = head + value
            slot = f"WARDGATE_ARGUMENT_{place}"
            if any(isinstance(piece, Input) for piece in arg):
                self._to_do.append(f"put argument {place} there: the client asks for it and keeps the answer itself")
                self._slots[slot] = Hidden(slot, self._to_do[-1])
                words.append(f'"${slot}"')
            elif all(isinstance(piece, Text) for piece in arg) and (why := reason_to_hide(name, value)):
                self._to_do.append(
                    f"argument {place} is a secret, and who can list processes here reads it while it runs"
                )
                self._slots[slot] = Hidden(slot, why, value)
                words.append(f'{shlex.quote(head)}"${slot}"' if head else f'"${slot}"')
            elif _confusing(literal) and not any(isinstance(piece, Workspace) for piece in arg):
                self._slots[slot] = Hidden(slot, "it would be read as a reference", literal)
                words.append(f'"${slot}"')
            else:
                words.append(self._word(arg, given))
        return SHELL, ("-c", f"exec {' '.join(words)}", *(("sh", *given) if given else ()))

    def _word(self, arg: Sequence[Piece], given: list[str]) -> str:
        """One argument as a word of the script; the workspace's folder is handed over beside it."""
        for piece in arg:
            if isinstance(piece, Variable) and _asked(piece, self._environ):
                self._slots.setdefault(piece.name, f"env:{piece.name}")
        if any(isinstance(piece, Workspace) for piece in arg):
            given[:] = [WORKSPACE]
        return "".join(_words(arg, self._environ)) or "''"

    def _pieces(self, text: str) -> Iterator[Piece]:
        """A text, parted at what its client replaces."""
        at = 0
        for mark in _MARK.finditer(text):
            piece = self._piece(mark)
            if piece is not None:
                if mark.start() > at:
                    yield Text(text[at : mark.start()])
                yield piece
                at = mark.end()
        if at < len(text):
            yield Text(text[at:])

    def _piece(self, mark: re.Match[str]) -> Piece | None:
        client = self._server.client
        if mark[2] is not None:
            return Variable(mark[2]) if client == "gemini" else None
        kind, colon, name = mark[1].partition(":")
        if colon and kind == "env":
            return Variable(name) if _VARIABLE.fullmatch(name) else None
        if colon and kind == "input":
            return Input(name)
        if mark[1] in WORKSPACES or mark[1] == "WORKSPACE":
            return Workspace()
        if mark[1] in _HOMES:
            return Text(self._environ.get("HOME", ""))
        name, dash, default = mark[1].partition(":-")
        if client in _PLAIN_EXPANDERS and _VARIABLE.fullmatch(name):
            return Variable(name, default if dash else None)
        return None


def reason_to_hide(name: str, literal: str) -> str:
    """Why a literal is kept elsewhere, in words; empty for one that may stand in the file."""
    if split_reference(literal)[0]:
        return "it would be read as a reference"
    if "\n" in literal or "\r" in literal:
        return "it has several lines"
    return why_secret(literal, name)


def _hides(args: Sequence[str]) -> bool:
    """Whether an argument is to be kept elsewhere, by itself or by the flag before it."""
    return any(reason_to_hide(name, value) for _, name, value in arguments(args))


def _confusing(arg: str) -> bool:
    """Whether our own reader would take an argument for something else: a reference, or a variable that isn't one."""
    return split_reference(arg)[0] in ("env", "keyring") or bool(re.search(r"\$\{(?!WORKSPACE\})[^}]*\}", arg))


def _simple(arg: Sequence[Piece]) -> bool:
    return all(isinstance(piece, Text | Workspace) for piece in arg)


def _kept(pieces: Sequence[Piece]) -> Iterator[str]:
    """An argument as upstreams.toml has it, where nothing but the workspace is replaced."""
    for piece in pieces:
        match piece:
            case Text(text):
                yield text
            case Workspace():
                yield WORKSPACE
            case _:
                yield ""


def _plain(pieces: "Sequence[Piece] | Iterator[Piece]", environ: Mapping[str, str]) -> Iterator[str]:
    """A text with its variables replaced now."""
    for piece in pieces:
        match piece:
            case Text(text):
                yield text
            case Variable(name, default):
                yield environ.get(name, default or "")
            case _:
                yield ""


def _words(pieces: Sequence[Piece], environ: Mapping[str, str]) -> Iterator[str]:
    """Parts of one word of a shell: text quoted, variables in quotes."""
    for piece in pieces:
        match piece:
            case Text(text):
                yield shlex.quote(text)
            case Workspace():
                yield '"$1"'
            case Variable(name, default):
                yield f'"${name}"' if _asked(piece, environ) else shlex.quote(default or "")


def _asked(variable: Variable, environ: Mapping[str, str]) -> bool:
    """Whether a variable is asked for at each start: it is set, or nothing stands for it where it isn't."""
    return variable.default is None or variable.name in environ
