"""Which tools a person is asked about, by rules and tier, before there is any call. No I/O here.

It decides on no call: conditions are not evaluated, and what lets a call pass unasked (a grant, a proof) is left aside.
"""

from datetime import date

from gateway.core.model import Decide, Tier, Tool
from gateway.core.policy import Policy, PolicyFile, Rule


def attended(policy: Policy, tool: Tool, client: str, today: date) -> bool:
    """Whether a rule with `ask` may apply to a call of the tool by this client, or no rule at all above tier read.

    `ask-unless-proven` doesn't count, since it is there to let calls pass; neither does what is asked about because a
    limit is exceeded, nor a tool that is blocked always.
    """
    files = [file for file in policy.files if file.upstream in ("", tool.ref.upstream)]
    plans = [
        (file, [rule.toward(client, tool.tier) for rule in file.rules if _is_about(rule, tool, client)])
        for file in files
    ]
    rules = [rule for _, mine in plans for rule in mine]
    if any(rule.decide is Decide.BLOCK and rule.when is None for rule in rules):
        return False
    asks = any(_asks(file, rule, tool, today) for file, mine in plans for rule in _reached(mine))
    return asks or (tool.tier is not Tier.READ and not any(_always(rule) for rule in rules))


def _is_about(rule: Rule, tool: Tool, client: str) -> bool:
    return rule.admits(client) and rule.speaks_of(tool.ref, tool.surface)


def _always(rule: Rule) -> bool:
    return rule.when is None and rule.decide is not Decide.BLOCK


def _reached(rules: list[Rule]) -> list[Rule]:
    """The rules of one file that may decide: those that block aside, up to the first without a condition."""
    found: list[Rule] = []
    for rule in rules:
        if rule.decide is not Decide.BLOCK:
            found.append(rule)
            if rule.when is None:
                break
    return found


def _asks(file: PolicyFile, rule: Rule, tool: Tool, today: date) -> bool:
    if rule.decide is Decide.ALLOW:
        return file.review_by is not None and today > file.review_by and tool.tier is not Tier.READ
    observing = file.observe_until is not None and today <= file.observe_until and tool.tier is Tier.WRITE
    return rule.decide is Decide.ASK and not observing
