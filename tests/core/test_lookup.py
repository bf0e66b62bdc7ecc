"""What a value would be on the record, and where a record holds it."""

import pytest

from gateway.core.canon import canonical, keyed_digest
from gateway.core.capture import Capture
from gateway.core.lookup import digests, places
from gateway.core.model import Decision, Finding, Kind, Obligation, ObligationKind, Reason, Verdict
from tests.fakes import KEY, a_record

OTHER = b"o" * 32


def of(value: object, key: bytes = KEY) -> str:
    return keyed_digest(key, canonical(value))


@pytest.mark.parametrize(
    ("value", "record", "where"),
    [
        ('{"b": 1, "a": "x"}', a_record(arguments_digest=of({"a": "x", "b": 1})), ("arguments",)),
        ("please", a_record(prompt=of("please")), ("prompt",)),
        ("done", a_record(result_digest=of({"content": [{"type": "text", "text": "done"}]})), ("result",)),
        (
            "done",
            a_record(result_digest=of({"content": [{"type": "text", "text": "done"}], "isError": False})),
            ("result",),
        ),
        ("7.5", a_record(leaves={"amount": of(7.5)[:32]}), ("arguments.amount",)),
        ("75", a_record(leaves={"a": of("75")[:32], "b": of(75)[:32]}), ("arguments.a", "arguments.b")),
        ('["x"]', a_record(context={"outputs": [["d_1", of(["x"])], ["d_2", of("y")]]}), ("read before, in d_1",)),
        ("other", a_record(arguments_digest=of("another"), leaves={"a": of("another")[:32]}), ()),
        ("x", a_record(arguments_digest=of("x", OTHER)), ()),
        ("[" * 100_000, a_record(prompt=of("[" * 100_000)), ("prompt",)),
    ],
    ids=["arguments", "prompt", "result", "result-said", "number", "both", "before", "none", "key", "deep"],
)
def test_a_value_is_found_where_the_record_keeps_its_digest(value: str, record: object, where: tuple[str, ...]) -> None:
    assert places(record, digests(value, [KEY])) == where  # type: ignore[arg-type]  # a record


def test_a_value_is_found_by_a_key_of_before() -> None:
    record = a_record(arguments_digest=of("x", OTHER))
    assert places(record, digests("x", [KEY, OTHER])) == ("arguments",)
    assert digests("x", []).all == frozenset()


def test_a_secret_is_found_by_its_fingerprint_and_by_nothing_else() -> None:
    secret = "made" + "-up"
    print_of = keyed_digest(KEY, secret.encode())[:16]
    record = a_record(1, Kind.OUTCOME, findings=(Finding("token", "content[0].text", print_of),))
    assert places(record, digests(secret, [KEY])) == ("finding.token at content[0].text",)
    assert places(record, digests(secret + "x", [KEY])) == ()


def test_values_are_found_as_a_capture_has_recorded_them() -> None:
    arguments = {"to": "ada@example.com", "amount": 4200, "rest": [True, None, "x"]}
    duty = frozenset({Obligation(ObligationKind.RECORD_DIGEST)})
    decision = Decision(Verdict.ALLOW, Reason.RULE, obligations=duty)
    kept = Capture(KEY).arguments(arguments, arguments, 1, decision)
    record = a_record(1, arguments_digest=of(arguments), **kept)
    for value, where in (("ada@example.com", "to"), ("4200", "amount"), ("x", "rest[2]")):
        assert places(record, digests(value, [KEY])) == (f"arguments.{where}",)


def test_a_text_that_no_record_can_hold_is_refused() -> None:
    with pytest.raises(ValueError):
        digests("\ud800", [KEY])
