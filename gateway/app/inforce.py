"""The policy in force, for every room that asks for it; it is exchanged whole, and everybody is told.

It decides nothing and reads no file.
"""

from collections.abc import Callable

from gateway.core.policy import Policy


class InForce:
    """Holds the one policy that counts now."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._told: list[Callable[[Policy], None]] = []

    def __call__(self) -> Policy:
        """The policy that counts now."""
        return self._policy

    def on_change(self, hook: Callable[[Policy], None]) -> None:
        """Call `hook` with every policy that takes the place of another, in the order in which they were given."""
        self._told.append(hook)

    def exchange(self, policy: Policy) -> None:
        """Let another policy count from the next decision on; where somebody can't do with it, all have the former
        again, and what broke is raised.
        """
        # INVARIANT: nothing is awaited here: no decision sees the rules of one policy and the labels of another.
        former, self._policy = self._policy, policy
        try:
            for hook in self._told:
                hook(policy)
        except Exception:
            self._policy = former
            for hook in self._told:
                hook(former)
            raise
