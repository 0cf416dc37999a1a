"""Stretches of utterances, and bringing a stretch to zero mean and unit variance.

Conventions
-----------
- An utterance shorter than a stretch stays as it is. It is padded with zeros where it shares a batch with a
  longer one, and the encoder keeps those out (`layersim.encoders.exact`): padding it to a fixed length would
  change nothing.
- A stretch is cut first and normalised then, over its own samples alone. (Tang et al., arXiv 2311.13678, do
  both and do not say in which order.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]

# What transformers' feature extractors add to the variance, so that silence gives zeros and not NaN.
_SILENCE = 1e-7


def random_crop(wave: Wave, samples: int, rng: np.random.Generator) -> Wave:
    """Cut a stretch at a random place, every place equally likely.

    Draws one number, whatever the wave's length, so that one utterance's length moves no other's stretch.

    >>> random_crop(np.arange(3, dtype=np.float32), 5, np.random.default_rng(0))
    array([0., 1., 2.], dtype=float32)
    """
    return cut_at(wave, samples, rng.random())


def cut_at(wave: Wave, samples: int, place: float) -> Wave:
    """Cut the stretch that a number in [0, 1) stands for: 0 the first, and all equally wide.

    >>> cut_at(np.arange(4, dtype=np.float32), 3, 0.5)
    array([1., 2., 3.], dtype=float32)
    """
    places = max(1, len(wave) - samples + 1)
    start = min(int(place * places), places - 1)
    return wave[start : start + samples]


def middle_crop(wave: Wave, samples: int) -> Wave:
    """Cut the stretch in the middle: what evaluation hears, the same every time.

    >>> middle_crop(np.arange(6, dtype=np.float32), 3)  # one sample more is left out at the end
    array([1., 2., 3.], dtype=float32)
    """
    start = max(0, len(wave) - samples) // 2
    return wave[start : start + samples]


def normalise(wave: Wave) -> Wave:
    """Bring a wave to zero mean and unit variance: ``(x - mean) / sqrt(var + 1e-7)``, variance over n.

    >>> normalise(np.array([1, 3, 1, 3], dtype=np.float32)).round(4)
    array([-1.,  1., -1.,  1.], dtype=float32)
    """
    precise = wave.astype(np.float64)
    centred = precise - precise.mean()
    normal: Wave = (centred / np.sqrt(np.square(centred).mean() + _SILENCE)).astype(np.float32)
    return normal
