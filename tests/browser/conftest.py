"""Fixtures of the browser tests: those of the end-to-end tests, whose gateways stand behind the browser."""

from tests.e2e.conftest import _warm, house, warm_environment  # noqa: F401 - fixtures are found by their names
