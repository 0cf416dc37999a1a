"""Four emotions as prosody: how rate, pitch, pitch range, loudness and brightness move, by the literature.

How each emotion differs from neutral speech here:

========== ============ =========== ============== =========== =====================
emotion    speech rate  mean pitch  pitch range    loudness    high-frequency energy
========== ============ =========== ============== =========== =====================
anger      faster       higher      much wider     much louder much more
happiness  faster       much higher wider          louder      more
sadness    much slower  lower       much narrower  much softer much less
========== ============ =========== ============== =========== =====================

Which way each moves is what these reviews agree on:

- Murray & Arnott 1993 (the table of their review): anger "slightly faster", pitch "very much higher" and
  "much wider", "higher" intensity; happiness "faster or slower", "much higher", "much wider", "higher";
  sadness "slightly slower", "slightly lower", "slightly narrower", "lower".
- Banse & Scherer 1996: hot anger and elation raise pitch and energy strongly; sadness lowers energy.
- Scherer 2003 and Juslin & Laukka 2003 (reviews over many studies): anger and joy raise intensity, mean and
  variability of pitch and rate; sadness lowers all of them. High-frequency energy is much in anger, medium in
  happiness, little in sadness: who speaks with more effort is not only louder but brighter.

How far each moves is layersim's own choice: sadness further than that "slightly", and happiness higher in
pitch than anger, which Murray & Arnott have the other way round. `reports/LOG.md` tells how the sizes came
about. espeak-ng has no setting of brightness, so the sound is filtered (`brighten`). Other voice quality
(tense, breathy), which the same reviews describe, is not imitated: espeak-ng fixes it per voice.

No two utterances express an emotion alike: each draws a strength and some noise of its own. From the drawn
settings a linear discriminant tells the emotion in 96 of 100 cases; from the sound of a speaker it has not
heard it is right less often, since voices differ too.

References
----------
Murray & Arnott, "Toward the simulation of emotion in synthetic speech", JASA 93(2), 1993.
Banse & Scherer, "Acoustic profiles in vocal emotion expression", J. Pers. Soc. Psychol. 70(3), 1996.
Scherer, "Vocal communication of emotion: a review of research paradigms", Speech Communication 40, 2003.
Juslin & Laukka, "Communication of emotions in vocal expression and music performance", Psychological
Bulletin 129(5), 2003.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter


@dataclass(frozen=True)
class Prosody:
    """How something is said.

    Attributes
    ----------
    rate : float
        Factor on the language's ordinary rate.
    pitch, pitch_range : float, 0..99
        espeak-ng's own scales; 50 is the voice's own, ten steps of pitch are about 12 %.
    volume : float, 0..100
        espeak-ng's own scale of amplitude.
    brightness : float, decibels
        How much more energy stands well above 1 kHz, against what stands well below.
    """

    rate: float
    pitch: float
    pitch_range: float
    volume: float
    brightness: float


NEUTRAL = Prosody(rate=1.0, pitch=50, pitch_range=50, volume=70, brightness=0)

EMOTIONS = {
    "anger": Prosody(rate=1.18, pitch=64, pitch_range=84, volume=94, brightness=12),
    "happiness": Prosody(rate=1.10, pitch=78, pitch_range=78, volume=82, brightness=6),
    "neutral": NEUTRAL,
    "sadness": Prosody(rate=0.80, pitch=40, pitch_range=22, volume=50, brightness=-12),
}

_STRENGTH = (0.6, 1.2)  # share of the way from neutral to the full emotion
_NOISE = Prosody(rate=0.06, pitch=5.0, pitch_range=10.0, volume=7.0, brightness=3.0)  # deviations
_LIMITS = {
    "rate": (0.7, 1.4), "pitch": (20, 90), "pitch_range": (5, 99), "volume": (30, 95),
    "brightness": (-15, 15),
}  # fmt: skip
_CORNER = 1000.0  # hertz


def draw_prosody(emotion: str, rng: np.random.Generator) -> Prosody:
    """Draw one utterance's prosody: part of the way from neutral to the emotion, plus noise.

    Raises
    ------
    ValueError
        If the emotion has no prosody here.

    >>> draw_prosody("boredom", np.random.default_rng(0))
    Traceback (most recent call last):
    ...
    ValueError: emotion: expected one of anger, happiness, neutral, sadness; got 'boredom'
    """
    if emotion not in EMOTIONS:
        raise ValueError(f"emotion: expected one of {', '.join(EMOTIONS)}; got {emotion!r}")
    strength = rng.uniform(*_STRENGTH)

    def drawn(name: str) -> float:
        neutral, full = getattr(NEUTRAL, name), getattr(EMOTIONS[emotion], name)
        value = neutral + strength * (full - neutral) + rng.normal(0.0, getattr(_NOISE, name))
        return float(np.clip(value, *_LIMITS[name]))

    return Prosody(*(drawn(field.name) for field in fields(Prosody)))


def brighten(samples: NDArray[np.floating[Any]], rate: int, decibels: float) -> NDArray[np.float64]:
    """Raise what stands above 1 kHz by so much against what stands below: a first-order shelf.

    The filter answers at once, so that phones stay where they are. The level of the whole stays as it was.

    Parameters
    ----------
    samples : array, shape (n,)
    rate : int, hertz
    decibels : float
        Negative makes it duller.

    >>> brighten(np.array([1.0, -1.0, 1.0, -1.0]), 16000, 0.0)
    array([ 1., -1.,  1., -1.])
    """
    high, corner = 10 ** (decibels / 20), 1 / np.tan(np.pi * _CORNER / rate)  # bilinear transform
    shelf = lfilter([1 + high * corner, 1 - high * corner], [1 + corner, 1 - corner], samples)
    before, after = (float(np.mean(np.square(wave, dtype=np.float64))) for wave in (samples, shelf))
    return np.asarray(shelf * np.sqrt(before / after) if after else shelf, dtype=np.float64)
