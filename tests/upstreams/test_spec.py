"""From the configuration to what is run."""

from pathlib import Path

import pytest

from gateway.config.nouns import Limits, Upstream
from gateway.core.model import Owner
from gateway.errors import ConfigurationError
from gateway.upstreams import spec_of
from tests.upstreams.fleet import running

OWNER = Owner("a@example.com", "a@example.com")


def nobody(_upstream: str, _values: object) -> None:
    """Nobody learns."""


def test_references_are_resolved_late_and_only_named_variables_are_inherited(tmp_path: Path) -> None:
    learned: list[tuple[str, object]] = []
    environ = {"HOME": "/h", "SECRET": "value-of-it", "OTHER": "no", "WORKSPACE": "/w"}
    upstream = Upstream(
        "up", OWNER, tmp_path, 7.0, "server", ("-d", "${WORKSPACE}"), {"T": "env:SECRET", "L": "C"}, ("HOME", "GONE")
    )
    spec = spec_of(upstream, Limits(line=5, start=3.0), environ, lambda *told: learned.append(told))
    assert (spec.args, spec.timeout, spec.line_limit, spec.start_timeout) == (("-d", "/w"), 7.0, 5, 3.0)
    assert learned == []
    assert spec.environment() == {"HOME": "/h", "T": "value-of-it", "L": "C"}
    assert learned == [("up", {"T": "value-of-it"})]


def test_headers_are_resolved_too(tmp_path: Path) -> None:
    upstream = Upstream("up", OWNER, tmp_path, 7.0, url="https://x.example/", headers={"A": "env:SECRET"})
    assert spec_of(upstream, Limits(), {"SECRET": "value-of-it"}, nobody).headers() == {"A": "value-of-it"}


@pytest.mark.parametrize(("args", "env"), [((), {"T": "env:GONE"}), (("${WORKSPACE}",), {})])
async def test_a_reference_that_cannot_be_resolved_fails_this_upstream_only(
    args: tuple[str, ...], env: dict[str, str], tmp_path: Path
) -> None:
    upstream = Upstream("up", OWNER, tmp_path, 7.0, "server", args, env)
    spec = spec_of(upstream, Limits(), {}, nobody)
    with pytest.raises(ConfigurationError):
        spec.environment()
    async with running(spec) as upstreams:
        state, detail = upstreams.state("up")
    assert state == "failed"
    assert "expected the variable" in detail
