"""Checkpoints: what the record says of itself, signed, and kept where the gateway's own machine can't change it."""

from gateway.checkpoints.room import Checkpoints

__all__ = ["Checkpoints"]
