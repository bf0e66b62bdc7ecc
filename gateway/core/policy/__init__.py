"""The policy: texts of `policies/*.toml` in, one `Policy` and every problem out. No I/O here.

The texts are parsed and validated whole; whoever asked decides what a problem stops.
"""

from collections.abc import Mapping
from datetime import date

from gateway.core.canon import digest
from gateway.core.policy.check import findings
from gateway.core.policy.nouns import (
    Approve,
    Budget,
    FilePlan,
    Limits,
    Loop,
    Plan,
    Policy,
    PolicyFile,
    Rate,
    Rule,
    ToolEntry,
)
from gateway.core.policy.read import MAX_OBSERVE, Known, read_file, read_lists
from gateway.core.problems import Problem
from gateway.core.section import Document
from gateway.core.sinks import ValueList

__all__ = [
    "Approve",
    "Budget",
    "FilePlan",
    "Known",
    "Limits",
    "Loop",
    "Plan",
    "Policy",
    "PolicyFile",
    "Rate",
    "Rule",
    "ToolEntry",
    "parse",
]


def parse(
    texts: Mapping[str, str], known: Known | None = None, today: date | None = None
) -> tuple[Policy, tuple[Problem, ...]]:
    """Parse policy texts by file name into a `Policy`, with every problem found, sorted by place.

    `known` holds the names of `upstreams.toml` that the policy may use; `today` allows the checks of dates. The policy
    is only fit for use if no problem is an error.
    """
    documents = [Document(name, texts[name]) for name in sorted(texts)]
    readable = [document for document in documents if document.readable]
    lists = _lists(readable)
    files = tuple(read_file(document.section(), known or Known(), lists) for document in readable)
    for document, file in zip(readable, files, strict=True):
        _check_dates(document, file, today)
    problems = [problem for document in documents for problem in document.problems]
    problems.extend(findings(files))
    return Policy(digest(dict(texts)), files, lists), tuple(sorted(set(problems)))


def _lists(documents: list[Document]) -> Mapping[str, ValueList]:
    """The lists of all files: a name means one list, wherever it is written."""
    lists: dict[str, ValueList] = {}
    for document in documents:
        for name, values in read_lists(document.section()).items():
            if name in lists and lists[name] != values:
                document.problem(("lists",), name, f"another file has a list `{name}` with other values", name)
            lists.setdefault(name, values)
    return lists


def _check_dates(document: Document, file: PolicyFile, today: date | None) -> None:
    section = document.section()
    if today is None:
        return
    if file.review_by and file.review_by < today:
        section.warn("review_by", "has passed: allows above tier read in this file ask until it is reviewed")
    if file.observe_until and file.observe_until < today:
        section.warn("observe_until", "has passed: people are asked again, and it can go")
    if file.observe_until and file.observe_until > today + MAX_OBSERVE:
        section.problem(
            "observe_until", f"expected a date at most {MAX_OBSERVE.days} days ahead", str(file.observe_until)
        )
