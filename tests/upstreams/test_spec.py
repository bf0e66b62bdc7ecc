"""From the configuration to what is run."""

import sys
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


def test_what_is_inherited_and_called_like_a_secret_is_learned_as_one(tmp_path: Path) -> None:
    learned: list[tuple[str, object]] = []
    environ = {"HOME": "/h", "API_TOKEN": "value-of-it"}
    upstream = Upstream("up", OWNER, tmp_path, 7.0, "server", inherit_env=("HOME", "API_TOKEN"))
    assert spec_of(upstream, Limits(), environ, lambda *told: learned.append(told)).environment() == environ
    assert learned == [("up", {"API_TOKEN": "value-of-it"}), ("up", {})]


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


def test_a_folder_for_each_workspace_takes_the_place_of_the_variable(tmp_path: Path) -> None:
    upstream = Upstream("up", OWNER, tmp_path, 7.0, "server", ("--root=${WORKSPACE}",), per="workspace")
    spec = spec_of(upstream, Limits(), {"WORKSPACE": "/of/the/gateway"}, nobody)
    assert spec.needs_workspace
    assert (spec.at("/w").args, spec.at("/w").workspace) == (("--root=/w",), "/w")
    assert not spec.at("/w").needs_workspace
    with pytest.raises(ConfigurationError):
        spec.at("")


def test_limits_are_the_configured_ones(tmp_path: Path) -> None:
    limits = Limits(resources_per_upstream=1, templates_per_upstream=2, prompts_per_upstream=3, instances=4)
    spec = spec_of(Upstream("up", OWNER, tmp_path, 7.0, "server"), limits, {}, nobody)
    assert (spec.most_resources, spec.most_templates, spec.most_prompts, spec.most_instances) == (1, 2, 3, 4)
    assert (spec.most_subscriptions, spec.question, spec.elicit) == (256, 600.0, "block")


async def test_a_sandbox_that_cannot_be_had_is_no_start_without_one(tmp_path: Path) -> None:
    upstream = Upstream("up", OWNER, tmp_path, 7.0, sys.executable, ("-c", "pass"), sandbox="bwrap")
    spec = spec_of(upstream, Limits(), {"PATH": str(tmp_path)}, nobody)
    async with running(spec) as upstreams:
        state, detail = upstreams.state("up")
    assert state == "failed"
    assert "bwrap" in detail
