"""Notices: people who are not looking are told that a call waits, on the desktop and wherever `[notify]` says."""

from gateway.notices.room import Notices

__all__ = ["Notices"]
