"""Wardgate, the MCP gateway that decides on each call at the moment of action."""

__version__ = "0.1.0"
