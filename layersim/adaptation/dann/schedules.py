"""How lambda and the learning rate go over a run; ``share`` is the progress p, 0 at its first step, below 1.

References
----------
Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016: lambda_p and mu_p.
"""

from __future__ import annotations

import math
from typing import Literal

LambdaSchedule = Literal["ganin", "constant"]
RateSchedule = Literal["annealing", "cosine", "step", "constant"]


def reversal_weight(schedule: LambdaSchedule, share: float, end: float) -> float:
    """Return lambda: ``end · (2 / (1 + exp(-10 p)) - 1)``, so that a domain head which knows nothing yet is
    not followed; or ``end`` throughout.

    >>> [round(reversal_weight("ganin", share, 2.0), 4) for share in (0.0, 0.1, 1.0)]
    [0.0, 0.9242, 1.9998]
    """
    return end if schedule == "constant" else end * (2 / (1 + math.exp(-10 * share)) - 1)


def rate_factor(schedule: RateSchedule, share: float) -> float:
    """Return what the learning rate is multiplied by.

    >>> [round(rate_factor("annealing", share), 4) for share in (0.0, 0.5, 1.0)]  # 1, 6^-0.75, 11^-0.75
    [1.0, 0.2608, 0.1656]
    >>> [round(rate_factor("cosine", share), 4) for share in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.0]
    >>> [rate_factor("step", share) for share in (0.0, 0.49, 0.5, 0.75)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if schedule == "annealing":
        return float((1 + 10 * share) ** -0.75)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * share)) / 2
    if schedule == "step":
        return 1.0 if share < 0.5 else 0.1 if share < 0.75 else 0.01
    return 1.0
