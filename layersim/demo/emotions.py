"""Four emotions as prosody: how speech rate, pitch, pitch range and loudness move, by the literature.

Which way each emotion moves from neutral speech, as the reviews agree:

========== ============= ========== ============== =========
emotion    speech rate   mean pitch  pitch range   loudness
========== ============= ========== ============== =========
anger      faster        higher     much wider     much louder
happiness  faster        much higher wider         louder
sadness    much slower   lower      much narrower  much softer
========== ============= ========== ============== =========

- Murray & Arnott 1993 (table 1 of their review): anger "slightly faster", pitch "very much higher" and "much
  wider", "higher" intensity; happiness "faster or slower", "much higher", "much wider", "higher"; sadness
  "slightly slower", "slightly lower", "slightly narrower", "lower".
- Banse & Scherer 1996: hot anger and elation raise pitch and energy most; sadness lowers energy.
- Scherer 2003 and Juslin & Laukka 2003 (reviews over many studies): anger and joy raise intensity, mean and
  variability of pitch and rate; sadness lowers all of them.

The directions are theirs; the sizes below are layersim's, kept within what espeak-ng speaks clearly. Voice
quality (tense, breathy), which the same reviews describe, is not imitated: espeak-ng fixes it per voice.

Real emotions overlap, so every utterance draws a strength and some noise of its own: the classes cannot be
told apart without error, least of all anger from happiness.

References
----------
Murray & Arnott, "Toward the simulation of emotion in synthetic speech", JASA 93(2), 1993.
Banse & Scherer, "Acoustic profiles in vocal emotion expression", J. Pers. Soc. Psychol. 70(3), 1996.
Scherer, "Vocal communication of emotion: a review of research paradigms", Speech Communication 40, 2003.
Juslin & Laukka, "Communication of emotions in vocal expression and music performance", Psychological
Bulletin 129(5), 2003.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    """

    rate: float
    pitch: float
    pitch_range: float
    volume: float


NEUTRAL = Prosody(rate=1.0, pitch=50, pitch_range=50, volume=70)

EMOTIONS = {
    "anger": Prosody(rate=1.14, pitch=62, pitch_range=82, volume=92),
    "happiness": Prosody(rate=1.08, pitch=70, pitch_range=76, volume=82),
    "neutral": NEUTRAL,
    "sadness": Prosody(rate=0.84, pitch=42, pitch_range=28, volume=54),
}

_STRENGTH = (0.5, 1.2)  # share of the way from neutral to the full emotion
_NOISE = Prosody(rate=0.06, pitch=5.0, pitch_range=10.0, volume=7.0)  # standard deviations
_LIMITS = {"rate": (0.7, 1.4), "pitch": (20, 90), "pitch_range": (5, 99), "volume": (30, 95)}


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

    return Prosody(drawn("rate"), drawn("pitch"), drawn("pitch_range"), drawn("volume"))
