"""What can go wrong, as one tree; the exit code is part of each class's contract.

ClusterError
├── Refusal      2  nothing was changed: a precondition does not hold
├── StepFailed   1  a step ended badly; its log is named
└── Leftovers    3  `down` ran, yet something of ours is still there
"""


class ClusterError(Exception):
    """A failure whose text is meant for the person at the terminal."""

    exit_code = 1


class Refusal(ClusterError):
    """A precondition does not hold and nothing was changed."""

    exit_code = 2


class StepFailed(ClusterError):
    """A step did not do what it is there for."""


class Leftovers(ClusterError):
    """Something of ours survived `down`."""

    exit_code = 3
