"""What the comparisons of two policies share: which rules there are, and what their conditions read. Pure."""

from collections.abc import Collection, Iterator

from gateway.core.expressions import read
from gateway.core.policy import Policy
from gateway.core.policy.nouns import PolicyFile, Rule


def ruled(policy: Policy) -> Iterator[tuple[PolicyFile, Rule]]:
    """Every rule with the file in which it stands."""
    return ((file, rule) for file in policy.files for rule in file.rules)


def lists_of(rule: Rule) -> Collection[str]:
    """The lists that a rule's condition looks values up in."""
    return read(rule.when.text, ()).lists if rule.when is not None else ()


def reads(policy: Policy, *names: str) -> bool:
    """Whether the condition of some rule reads one of these variables."""
    return any(rule.when is not None and rule.when.names & set(names) for _, rule in ruled(policy))
