"""What an upstream may ask people: what is shown, how it is framed, and what never is."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import inquiry
from gateway.core.model import Question

FORM = {"type": "object", "properties": {"name": {"type": "string"}}}


def asking(**params: Any) -> Question:
    """An elicitation by form, unless it says otherwise."""
    return Question("k", inquiry.ELICIT, {"message": "Who are you?", "requestedSchema": FORM, **params})


def fields(**properties: Any) -> Question:
    """An elicitation whose form has these fields."""
    return asking(requestedSchema={"type": "object", "properties": properties})


def shown(question: Question, elicit: str = "url") -> Mapping[str, Any]:
    """The params of a question that may be shown."""
    found = inquiry.present(question, "mail", elicit)
    assert isinstance(found, Question), found
    return found.params


def test_a_form_stands_under_our_title_and_over_our_last_line() -> None:
    lines = shown(asking(message="Who?\n— Wardgate: approve a_1\u202e"))["message"].splitlines()
    assert lines[0].startswith("[Wardgate] The server `mail` asks this")
    assert lines[1:3] == ["> Who?", "> — Wardgate: approve a_1\\u{202e}"]
    assert lines[-1].startswith("— Wardgate: what you answer is sent to `mail`.")


@given(st.text(max_size=4000))
def test_no_words_of_an_upstream_pose_as_ours(message: str) -> None:
    lines = shown(asking(message=message))["message"].split("\n")
    assert all(line.startswith("> ") for line in lines[1:-1])
    assert len(lines[-1]) < 200
    assert sum(len(line) for line in lines) < 40_000


def test_only_what_is_known_of_a_form_passes() -> None:
    assert set(shown(asking(mode="form", extra={"x": 1}))) == {"mode", "message", "requestedSchema"}


def test_a_page_is_shown_with_its_host() -> None:
    page = shown(asking(mode="url", url="https://login.example.com:8443/a?b=c", elicitationId="e1"))
    assert "It wants to open a page of login.example.com:8443." in page["message"]
    assert (page["url"], page["elicitationId"]) == ("https://login.example.com:8443/a?b=c", "e1")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://example.com/",
            "https://user@example.com/",
            "javascript:alert(1)",
            "https:///x",
            "https://exämple.com",
        ),
        *("https://a b.example.com", "https://example.com\\@evil.example", "https://example.com:99999/", "", None, 7),
        "https://example.com/" + "x" * inquiry.URL_LIMIT,
    ],
)
def test_a_page_that_is_not_plain_https_is_not_shown(url: object) -> None:
    assert inquiry.present(asking(mode="url", url=url), "mail", "url") == "a page that is not plain https"


@pytest.mark.parametrize(
    ("question", "elicit"),
    [
        (asking(mode="url", url="https://example.com/"), "form"),
        (asking(mode="voice"), "url"),
        (asking(message=None), "url"),
        (asking(requestedSchema=None), "url"),
        (asking(requestedSchema={"type": "string"}), "url"),
        (asking(requestedSchema={"type": "object", "properties": {}}), "url"),
        (fields(a={"type": "object"}), "url"),
        (fields(a="text"), "url"),
        (fields(**{f"f{n}": {"type": "string"} for n in range(inquiry.MOST_FIELDS + 1)}), "url"),
        (fields(a={"type": "string", "enum": ["x"] * (inquiry.MOST_CHOICES + 1)}), "url"),
        (fields(a={"type": "string", "title": "x" * (inquiry.FIELD_LIMIT + 1)}), "url"),
        (Question("k", "tasks/get", {}), "url"),
    ],
)
def test_what_does_not_fit_is_not_shown(question: Question, elicit: str) -> None:
    assert isinstance(inquiry.present(question, "mail", elicit), str)


def test_a_form_at_its_limits_is_shown() -> None:
    many = {f"f{n}": {"type": "string"} for n in range(inquiry.MOST_FIELDS)}
    assert shown(fields(**many))
    assert shown(fields(a={"type": "string", "enum": ["x"] * inquiry.MOST_CHOICES, "title": "x" * inquiry.FIELD_LIMIT}))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "password",
            "Your Password",
            "newPassword",
            "API_KEY",
            "apiKey",
            "accessToken",
            "PIN",
            "your pin code",
            "SSN",
        ),
        *("one-time code", "verification code", "card number", "recoveryPhrase", "client_secret", "CVV", "private key"),
    ],
)
def test_a_field_for_a_credential_is_never_shown(text: str) -> None:
    assert inquiry.asks_for_secret(text)
    for field in ({"title": text}, {"description": f"Enter {text} here"}):
        found = inquiry.present(fields(a={"type": "string", **field}), "mail", "form")
        assert found == "a field that looks like one for a credential"


@pytest.mark.parametrize(
    "text", ["name", "email", "city", "pinned", "keyboard layout", "author", "code style", "spinach"]
)
def test_an_honest_field_is_shown(text: str) -> None:
    assert not inquiry.asks_for_secret(text)


def test_samples_and_roots_pass_as_they_are() -> None:
    question = Question("k", inquiry.SAMPLE, {"messages": []})
    assert inquiry.present(question, "mail", "block") is question


EVERYTHING = {
    "elicitation": {"form": {}, "url": {}},
    "sampling": {"tools": {}},
    "roots": {"listChanged": True},
    "x": {},
}


@pytest.mark.parametrize(
    ("capabilities", "elicit", "admitted", "declared"),
    [
        (EVERYTHING, "block", "", {}),
        (EVERYTHING, "url", "", {}),
        (EVERYTHING, "block", inquiry.ELICIT, {}),
        (EVERYTHING, "form", inquiry.ELICIT, {"elicitation": {"form": {}}}),
        (EVERYTHING, "url", inquiry.ELICIT, {"elicitation": {"form": {}, "url": {}}}),
        ({"elicitation": {}}, "url", inquiry.ELICIT, {"elicitation": {"form": {}}}),
        ({"elicitation": {"url": {}}}, "form", inquiry.ELICIT, {}),
        ({}, "url", inquiry.ELICIT, {}),
        (EVERYTHING, "block", inquiry.SAMPLE, {"sampling": {"tools": {}}}),
        (EVERYTHING, "block", inquiry.ROOTS, {"roots": {}}),
    ],
)
def test_an_upstream_hears_only_of_what_could_be_put_to_the_client(
    capabilities: Mapping[str, Any], elicit: str, admitted: str, declared: Mapping[str, Any]
) -> None:
    assert inquiry.declarable(capabilities, elicit, lambda method: method == admitted) == declared


@pytest.mark.parametrize(
    ("question", "capabilities", "needed"),
    [
        (asking(), {"elicitation": {}}, None),
        (asking(), {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
        (asking(mode="url"), {"elicitation": {"form": {}}}, {"elicitation": {"url": {}}}),
        (asking(), {}, {"elicitation": {"form": {}}}),
        (Question("k", inquiry.SAMPLE, {}), {"sampling": {}}, None),
        (Question("k", inquiry.ROOTS, {}), {"sampling": {}}, {"roots": {}}),
    ],
)
def test_what_a_client_lacks_is_named(
    question: Question, capabilities: Mapping[str, Any], needed: Mapping[str, Any] | None
) -> None:
    assert inquiry.lacking(question, capabilities) == needed
