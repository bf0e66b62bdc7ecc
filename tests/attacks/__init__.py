"""Attacks by a fully hijacked agent, and honest work beside them, played through the installed gateway."""
