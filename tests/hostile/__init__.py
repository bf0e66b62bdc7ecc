"""A hostile upstream, and what it can not do."""
