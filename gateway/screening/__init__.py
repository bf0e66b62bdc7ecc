"""Screening: the secret scanner, the exact search, and the port that `enforce` uses.

Nothing here decides about calls, and nothing here asks a vendor about a secret that was found.
"""
