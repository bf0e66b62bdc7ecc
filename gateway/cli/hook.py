"""`wardgate hook claude-code`: what Claude Code's hooks run. Hands one event to the gateway, and says nothing.

Standard output stays empty, since the client would put it before its model, and no exit code is 2, which would block
the user's prompt or tool: a gateway that can't be told leaves the prompt unknown on the record, and no more.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.cli.talk import Unreachable, exchange, find_state

HELP = """usage: wardgate hook claude-code [--client NAME] [--config PATH] < EVENT

Hands one hook event (JSON on standard input) to the running gateway; docs/hooks.md has the settings.

  --client NAME   the name under which upstreams.toml registers the client (claude-code); it needs trust = ["prompt"]
  --config PATH   upstreams.toml or its folder (else WARDGATE_CONFIG, else the platform's folder)
  --json          taken as everywhere; standard output stays empty

Exit codes: 0 taken, 1 anything else, told in one line on standard error."""

KINDS = ("claude-code",)
LONGEST_EVENT = 8 << 20  # bytes of one event
MOST_SENT = 2 << 20  # bytes of it that are handed over
FIRST = {"SessionStart": 2.0, "UserPromptSubmit": 2.0}  # seconds for a gateway that its client is about to start
STARTING = 10.0  # seconds for one that is being started
POLL = 0.05

# What is handed over of an event; the transcript's path, the model's last words and all else stay behind.
FIELDS = (
    *("hook_event_name", "session_id", "prompt_id", "agent_id", "source", "prompt"),
    *("tool_name", "tool_use_id", "tool_input", "tool_response", "error"),
)
COUNTS = ("background_tasks", "session_crons")
LONG = ("tool_response", "error", "tool_input", "prompt")  # what is left out or cut of an event that is too long


def run(argv: Sequence[str]) -> int:
    """Run the command; exit codes 0 taken, 1 anything else, and never 2."""
    try:
        client, config = _options(argv)
    except ValueError as problem:
        return _fail(f"{problem}; `wardgate hook --help` tells more")
    if client is None:
        print(HELP)
        return 0
    try:
        event = _read(sys.stdin.buffer.read(LONGEST_EVENT + 1))
        answer = _tell(config, event, request(event, client, os.environ))
    except (Unreachable, ValueError) as problem:
        return _fail(str(problem))
    return 0 if answer.get("ok") else _fail(str(answer.get("error", "refused")))


def request(event: Mapping[str, Any], client: str, environ: Mapping[str, str]) -> bytes:
    """The line that tells the gateway of an event, without what it has no use for and without what is too long."""
    told = {name: event[name] for name in FIELDS if name in event}
    told |= {name: len(event[name]) for name in COUNTS if isinstance(event.get(name), list)}
    about = {"op": "hook", "client": client, "interactive": interactive(environ, str(event.get("session_id", "")))}
    cut: dict[str, int] = {}
    line = _line({**about, "event": told})
    for name in LONG:
        if len(line) <= MOST_SENT:
            break
        if name in told:
            cut[name] = len(_line(told[name]))
            told[name] = told[name][: MOST_SENT // 16] if name == "prompt" else None
            line = _line({**about, "event": told, "cut": cut})
    return line + b"\n"


def interactive(environ: Mapping[str, str], session: str) -> bool | None:
    """Whether a person attends the run, as Claude Code tells its hooks; None where it says nothing of this session."""
    if environ.get("CLAUDE_CODE_SESSION_ID") != session:
        return None
    if environ.get("CLAUDE_CODE_ENTRYPOINT", "sdk").startswith("sdk"):
        return False
    return {"1": True, "0": False}.get(environ.get("CLAUDE_CODE_SESSION_ATTENDED", ""))


def _options(argv: Sequence[str]) -> tuple[str | None, str | None]:
    """The client's name (None: only help is wanted) and the configuration."""
    words, kinds, options = list(argv), [], {"--client": KINDS[0]}
    if not words:
        return None, None
    while words:
        word = words.pop(0)
        if word in ("--help", "-h"):
            return None, None
        if not word.startswith("-"):
            kinds.append(word)
            continue
        name, equals, value = word.partition("=")
        if name == "--json":
            continue
        if name not in ("--client", "--config"):
            raise ValueError(f"unknown option `{name}`")
        if not (equals or words):
            raise ValueError(f"{name} needs a value")
        options[name] = value if equals else words.pop(0)
    if len(kinds) != 1 or kinds[0] not in KINDS:
        found = f", found `{' '.join(kinds)}`" if kinds else ""
        raise ValueError(f"expected one kind of hook, {' or '.join(KINDS)}{found}")
    return options["--client"], options.get("--config")


def _read(data: bytes) -> Mapping[str, Any]:
    if len(data) > LONGEST_EVENT:
        raise ValueError(f"expected an event of at most {LONGEST_EVENT} bytes on standard input, found more")
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("expected a hook event as JSON on standard input") from None
    if not isinstance(event, dict):
        raise ValueError("expected a hook event as one JSON object on standard input")  # noqa: TRY004 - of the input
    if not isinstance(event.get("prompt", ""), str):
        raise ValueError("expected `prompt` of the hook event to be a text")  # noqa: TRY004 - as above
    return event


def _tell(config: str | None, event: Mapping[str, Any], line: bytes) -> Mapping[str, Any]:
    """Hand the line over; a gateway that is just starting is waited for."""
    state = find_state(config)
    begun = time.monotonic()
    while True:
        try:
            return exchange(state, line)
        except (OSError, ValueError) as problem:
            refused = isinstance(problem, FileNotFoundError | ConnectionRefusedError)
        wait = STARTING if _starting(state) else FIRST.get(str(event.get("hook_event_name")), 0.0)
        if not refused or time.monotonic() - begun >= wait:
            raise Unreachable(f"no gateway answers for `{state}`: this event is not on the record")
        time.sleep(POLL)  # noqa: TID251 - another process is waited for, and nothing else runs here


def _starting(state: Path) -> bool:
    """Whether a client's shim is starting a gateway now: it holds the lock of its turn."""
    try:
        turn = os.open(state / "start.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(turn, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(turn)
    return False


def _line(value: Any) -> bytes:
    """JSON as UTF-8; half characters, which the client's language knows and UTF-8 does not, become `?`."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _fail(message: str) -> int:
    print(f"wardgate hook: {message}", file=sys.stderr)
    return 1
