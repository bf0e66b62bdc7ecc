"""Names of kinds: one for what several rules find, and one for what a token begins with."""

import pytest

from gateway.core.naming import PREFIXED, begun, same, under
from gateway.core.secrets import slug


def test_a_kind_that_several_rules_find_has_one_name() -> None:
    assert same("npmjsaccesstoken") == same("npm-access-token") == "npm-access-token"
    assert same("never-heard-of") == "never-heard-of"


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        ("dckr" + "_pat_", "dockerhub-personal-access-token"),
        ("sk" + "-ant-api03-", "anthropic-api-key"),
        ("sk" + "-ant-admin01-", "anthropic-admin-api-key"),
        ("pu" + "l-", "pulumi-api-token"),
        ("never_", PREFIXED),
    ],
)
def test_a_token_is_named_by_what_it_begins_with(beginning: str, kind: str) -> None:
    assert begun(beginning.encode() + b"a" * 30) == kind


def test_one_is_named_by_its_end() -> None:
    assert begun(b"a" * 32 + b"-us14") == "mailchimp-api-key"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("hugging", "face", "token"), "huggingface-credential"),
        (("my", "aws", "key"), "aws-credential"),
        (("my", "token"), ""),
        ((), ""),
    ],
)
def test_a_vendor_among_the_words_of_a_key_names_the_kind(words: tuple[str, ...], kind: str) -> None:
    assert under(words) == kind
    assert not kind or slug(kind) == kind  # it stands in markers
