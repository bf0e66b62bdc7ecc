"""A Claude Code hook event, as `wardgate hook` hands it over -> what it says. No I/O here.

Shapes as documented at code.claude.com/docs/en/hooks and seen with 2.1.330; docs/hooks.md tells them. What is not
understood is refused, and whatever is not said counts as the weaker claim.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct

from gateway.errors import CallerError

LONGEST_ID = 200  # characters of a client's session, prompt or tool-use id
LONGEST_NAME = 200  # characters of a tool's name
MCP = "mcp__"  # what the client's names of MCP tools begin with: `mcp__<server>__<tool>`

# What starts a prompt that the client wrote itself: results of background work, messages of other sessions, channels.
_NOT_TYPED = (
    "<task-notification",
    "<teammate-message",
    "<cross-session-message",
    "<channel",
    "<system-reminder",
    "<local-command",
    "[SYSTEM NOTIFICATION",
)
_TIMERS = frozenset({"ScheduleWakeup", "CronCreate", "Monitor"})  # tools after which prompts come by themselves


class Happened(str, Enum):
    """The events that are listened to, by the client's names."""

    SESSION_START = "SessionStart"
    PROMPT = "UserPromptSubmit"
    BEFORE_TOOL = "PreToolUse"
    AFTER_TOOL = "PostToolUse"
    TOOL_FAILED = "PostToolUseFailure"
    TOOL_DENIED = "PermissionDenied"
    STOP = "Stop"
    SESSION_END = "SessionEnd"


class HookEvent(Struct, frozen=True):
    """One event. `session`, `prompt_id` and `tool_use` are the client's own ids; absent texts are empty."""

    happened: Happened
    session: str
    prompt_id: str = ""
    source: str = ""  # of a session's start: startup | resume | clear | compact
    prompt: str = ""
    interactive: bool = False  # a person attends the run; what doesn't say so counts as not attended
    tool: str = ""
    tool_use: str = ""
    agent: str = ""  # the subagent that called the tool
    input: Any = None
    response: Any = None
    busy: bool | None = None  # of a stop: background work or timers go on (None: not said)
    cut: Mapping[str, int] | None = None  # field -> its length in bytes, where the command left it out

    @property
    def typed(self) -> bool:
        """Whether the prompt does not look like one that the client wrote itself."""
        return not self.prompt.lstrip().startswith(_NOT_TYPED)

    @property
    def sets_timer(self) -> bool:
        """Whether the tool makes the client submit prompts by itself later."""
        return self.tool in _TIMERS


def read_event(request: Mapping[str, Any]) -> HookEvent:
    """The event of a request to the control socket: `event` (the client's own fields), `interactive` and `cut`.

    Raises `CallerError`, in a line that the hook's user can act on.
    """
    event = request.get("event")
    if not isinstance(event, Mapping):
        raise CallerError("a hook event must be one JSON object")
    named = event.get("hook_event_name")
    try:
        happened = Happened(named)
    except ValueError:
        known = ", ".join(each.value for each in Happened)
        raise CallerError(f"unknown hook event `{str(named)[:LONGEST_NAME]}`: expected one of {known}") from None
    return HookEvent(
        happened=happened,
        session=_text(event, "session_id", LONGEST_ID, needed=True),
        prompt_id=_text(event, "prompt_id", LONGEST_ID),
        source=_text(event, "source", LONGEST_NAME),
        prompt=_text(event, "prompt", None, needed=happened is Happened.PROMPT),
        interactive=request.get("interactive") is True,
        tool=_text(event, "tool_name", LONGEST_NAME, needed=happened in _OF_TOOLS),
        tool_use=_text(event, "tool_use_id", LONGEST_ID, needed=happened in _OF_TOOLS),
        agent=_text(event, "agent_id", LONGEST_ID),
        input=event.get("tool_input"),
        response=event.get("error" if happened is Happened.TOOL_FAILED else "tool_response"),
        busy=_busy(event),
        cut=_cut(request.get("cut")),
    )


_OF_TOOLS = frozenset({Happened.BEFORE_TOOL, Happened.AFTER_TOOL, Happened.TOOL_FAILED, Happened.TOOL_DENIED})


def _text(event: Mapping[str, Any], name: str, longest: int | None, *, needed: bool = False) -> str:
    text = event.get(name)
    if text is None and not needed:
        return ""
    if not isinstance(text, str) or (needed and not text and longest is not None):
        raise CallerError(f"`{name}` of a hook event must be a text")
    if longest is not None and (len(text) > longest or not text.isprintable()):
        raise CallerError(f"`{name}` of a hook event must have at most {longest} printable characters")
    return text


def _busy(event: Mapping[str, Any]) -> bool | None:
    """Whether work goes on behind a stop: `background_tasks` and `session_crons`, lists or how many they are."""
    counts = [event.get(name) for name in ("background_tasks", "session_crons")]
    if all(each is None for each in counts):
        return None
    return any(bool(each) for each in counts)


def _cut(cut: Any) -> Mapping[str, int] | None:
    if not isinstance(cut, Mapping):
        return None
    return {str(name)[:LONGEST_NAME]: size for name, size in cut.items() if isinstance(size, int)} or None
