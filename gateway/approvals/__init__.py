"""Approvals: the questions to people and their answers, over the store. What follows from them is decided elsewhere."""

from gateway.approvals.desk import Desk
from gateway.approvals.ladder import Approvals

__all__ = ["Approvals", "Desk"]
