"""The web console: what waits for people, what they said, and what was decided. It decides nothing itself.

Nothing is imported here: whoever opens the console imports its rooms, late.
"""
