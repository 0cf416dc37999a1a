"""Mixtures of Gaussians, one a state, as Kaldi's objects: made, grown, and turned into arrays and back.

Gaussians are split here and not by Kaldi, which draws random numbers that cannot be seeded; the rule is
Kaldi's: the next Gaussian goes to the state whose frames, to a power, ask for it most.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layersim.alignment.builtin.kaldi import hmm_gmm

_POWER = 0.25  # of a state's frames: its claim on Gaussians
_PERTURB = 0.01  # deviations by which a split Gaussian's halves part
_FEWEST_FRAMES = 20.0  # of a Gaussian that is split


def gaussian(mean: NDArray[np.float64], variance: NDArray[np.float64]) -> Any:
    """Return a mixture of one Gaussian; mean and variance have shape (columns,)."""
    return _mixture(np.ones(1), mean[None], variance[None])


def grown(mixtures: Any, frames_of: NDArray[np.float64], gaussians: int) -> Any:
    """Split Gaussians until there are so many, or no state has frames for more.

    Parameters
    ----------
    mixtures : AmDiagGmm
        One a state.
    frames_of : ndarray, shape (states,)
        How many frames each state was heard in.
    gaussians : int
        In all states together.
    """
    every = [mixtures.get_pdf(state) for state in range(mixtures.num_pdfs)]
    sizes = [mixture.num_gauss for mixture in every]
    waiting = [(-(frames_of[state] ** _POWER) / size, state) for state, size in enumerate(sizes)]
    heapq.heapify(waiting)
    total = sum(sizes)
    while total < gaussians and waiting:
        _, state = heapq.heappop(waiting)
        if frames_of[state] < (sizes[state] + 1) * _FEWEST_FRAMES:
            continue
        sizes[state] += 1
        total += 1
        heapq.heappush(waiting, (-(frames_of[state] ** _POWER) / sizes[state], state))
    result = hmm_gmm().AmDiagGmm()
    for state, mixture in enumerate(every):
        result.add_pdf(_split(mixture, sizes[state], state))
    return result


def mixtures_to_arrays(mixtures: Any) -> dict[str, NDArray[Any]]:
    """Return sizes (states,), and weights (G,), means and variances (G, columns) of all states in order."""
    every = [mixtures.get_pdf(state) for state in range(mixtures.num_pdfs)]
    return {
        "sizes": np.array([mixture.num_gauss for mixture in every], dtype=np.int64),
        "weights": np.concatenate([mixture.weights for mixture in every]),
        "means": np.concatenate([mixture.means for mixture in every]),
        "variances": np.concatenate([mixture.vars for mixture in every]),
    }


def mixtures_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Make the mixtures that `mixtures_to_arrays` was given."""
    mixtures = hmm_gmm().AmDiagGmm()
    for begin, end in pairwise([0, *np.cumsum(arrays["sizes"]).tolist()]):
        weights, means, variances = (arrays[name][begin:end] for name in ("weights", "means", "variances"))
        mixtures.add_pdf(_mixture(weights, means, variances))
    return mixtures


def _mixture(weights: NDArray[Any], means: NDArray[Any], variances: NDArray[Any]) -> Any:
    mixture = hmm_gmm().DiagGmm(len(weights), means.shape[1])
    mixture.set_weights(weights.astype(np.float32))
    mixture.set_invvars_and_means((1 / variances).astype(np.float32), means.astype(np.float32))
    mixture.compute_gconsts()
    return mixture


def _split(mixture: Any, size: int, state: int) -> Any:
    """Halve the heaviest Gaussian until there are ``size``; the halves part in a direction drawn for them."""
    if mixture.num_gauss >= size:
        return mixture
    weights, means, variances = (
        list(np.asarray(part, dtype=np.float64)) for part in (mixture.weights, mixture.means, mixture.vars)
    )
    while len(weights) < size:
        heaviest = int(np.argmax(weights))
        draw = np.random.default_rng([state, len(weights)]).standard_normal(len(means[heaviest]))
        step = _PERTURB * draw * np.sqrt(variances[heaviest])
        weights[heaviest] /= 2
        weights.append(weights[heaviest])
        means.append(means[heaviest] + step)
        means[heaviest] = means[heaviest] - step
        variances.append(variances[heaviest])
    return _mixture(np.array(weights), np.array(means), np.array(variances))
