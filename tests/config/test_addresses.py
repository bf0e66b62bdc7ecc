"""Addresses with variables: what may stand in them, and that no value leads elsewhere."""

from pathlib import Path

import pytest

from gateway.config import Limits, settings_of
from gateway.config.programs import programs
from gateway.config.references import address
from gateway.errors import ConfigurationError
from gateway.upstreams.spec import spec_of

HEAD = 'schema = 1\n[upstreams.hub]\nowner = "a"\n'
URL = 'url = "https://mcp.example/${KEY}/mcp?k=${KEY}"\n'


def test_a_variable_of_an_address_is_resolved_at_each_start_and_is_a_secret_of_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("one\n", encoding="utf-8")
    (tmp_path / "key").chmod(0o600)
    settings = settings_of(f'{HEAD}{URL}env = {{ KEY = "file:key" }}\n', tmp_path / "upstreams.toml")
    learned: list[tuple[str, dict[str, str]]] = []
    spec = spec_of(settings.upstreams["hub"], Limits(), {}, lambda name, values: learned.append((name, dict(values))))
    assert spec.address is not None
    assert spec.address() == "https://mcp.example/one/mcp?k=one"
    assert learned == [("hub", {"KEY": "one"})]
    (tmp_path / "key").write_text("two", encoding="utf-8")
    assert spec.address() == "https://mcp.example/two/mcp?k=two"


def test_an_address_without_variables_is_as_it_was() -> None:
    settings = settings_of(f'{HEAD}url = "https://mcp.example/x"\n', Path("/x/upstreams.toml"))
    assert spec_of(settings.upstreams["hub"], Limits(), {}, lambda name, values: None).address is None


@pytest.mark.parametrize(
    "rest",
    [
        URL,
        URL + 'env = { OTHER = "env:X" }\n',
        URL + 'env = { KEY = "env:X", OTHER = "env:X" }\n',
        'url = "https://${KEY}.example/"\nenv = { KEY = "env:X" }\n',
        'url = "https://mcp.example/"\nenv = { KEY = "env:X" }\n',
        URL + 'env = { KEY = "env:X" }\noauth = {}\n',
        'url = "https://[${KEY}"\nenv = { KEY = "env:X" }\n',
    ],
    ids=["not said", "another", "one too many", "in the host", "none in it", "oauth", "no address"],
)
def test_variables_that_fit_nothing_are_errors(rest: str) -> None:
    with pytest.raises(ConfigurationError):
        settings_of(HEAD + rest, Path("/x/upstreams.toml"))


@pytest.mark.parametrize("value", ["a b", "a\nb", "a#b", "ä", "\x00"])
def test_a_value_that_cannot_stand_in_an_address_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        address("https://mcp.example/${KEY}", {"KEY": value})
    assert value not in str(caught.value)


def test_no_value_leads_to_another_host() -> None:
    with pytest.raises(ConfigurationError):
        address("https://mcp.example${KEY}", {"KEY": ".evil.example/"})


def test_a_program_that_gives_a_value_is_one_that_has_to_be_accepted() -> None:
    settings = settings_of(f'{HEAD}{URL}env = {{ KEY = "cmd:/bin/echo x" }}\n', Path("/x/upstreams.toml"))
    assert list(programs(settings)) == ["upstreams.hub.env.KEY"]
