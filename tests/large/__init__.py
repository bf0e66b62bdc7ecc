"""Large records and steady loads: scripts that make them and measure. Not part of the suite; `docs/figures.md` holds
what was seen.
"""
