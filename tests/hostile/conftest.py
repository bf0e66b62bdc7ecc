"""Fixtures of the hostile clients: the same house as the end-to-end tests have."""

from tests.e2e.conftest import _warm, house, warm_environment  # noqa: F401 - pytest finds its fixtures here by name
