"""The error tree: the class says whose fault it is. No I/O here.

WardgateError
├── ConfigurationError   a file is wrong: the user's, told with file, line, table and key
├── CallerError          the client sent something that no handler could take
│   └── ApprovalError    a vote that doesn't count: unknown, settled or expired row, weak proof, wrong person
├── UpstreamError        an upstream misbehaved or could not be reached
└── GatewayError         ours
    ├── RecordError      the record can't be written: no record, no call
    │   └── BusyError    a bounded queue is full; nothing was queued
    └── StateError       the state folder is foreign or has the wrong permissions
        ├── LockedError  another gateway holds it
        └── UnreadableError  there is no record in it that this program can read
"""


class WardgateError(Exception):
    """Any error that Wardgate raises on purpose; its text is one line that a person can act on."""


class ConfigurationError(WardgateError):
    """Configuration that can't be used; `problems` holds every finding, not only the first."""

    def __init__(self, message: str, problems: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class CallerError(WardgateError):
    """A request that no handler could take."""


class ApprovalError(CallerError):
    """A vote that doesn't count; `objection` is the code of why (`core/approval.py`)."""

    def __init__(self, message: str, objection: str) -> None:
        super().__init__(message)
        self.objection = objection


class UpstreamError(WardgateError):
    """An upstream misbehaved or could not be reached."""


class GatewayError(WardgateError):
    """Something of ours broke."""


class RecordError(GatewayError):
    """The record could not be written, so nothing may be forwarded."""


class BusyError(RecordError):
    """A bounded queue is full: nothing was queued, the caller is told to come back."""


class StateError(GatewayError):
    """The state folder is locked by another gateway, belongs to another one, or is not private."""


class LockedError(StateError):
    """Another gateway holds the state folder."""


class UnreadableError(StateError):
    """The record is not there, is no store, or was written by a newer gateway."""
