"""The first configuration: from the servers that a user's clients start already to upstreams, policies and a lock.

Nothing here asks anybody, starts a server or prints: `wardgate init` does, and hands over what it was told.
"""
