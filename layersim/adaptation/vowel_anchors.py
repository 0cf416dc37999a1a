"""Which vowels anchor two languages to each other, and the segments that a training step takes of them.

Conventions
-----------
- A vowel can be an anchor if both corpora have enough segments of it. At least two are needed, because a
  vowel is told from others.
- The source's authors anchor vowels that behave alike under emotion. Whether one does can only be measured
  with the target's emotions, which training may not read. `choose_anchors` measures instead, without any
  label, where a vowel stands among the others: its centroid less the mean of all centroids of its corpus,
  compared between the corpora by cosine, averaged over the layers. A vowel that does not even sit at the
  same place among its neighbours (two qualities under one sign, say) can hardly behave alike.
- Every vowel that a step takes counts the same, however frequent it is. One with fewer segments than a step
  asks for is repeated, each segment about as often as the others.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from layersim.adaptation.data import VowelSegments
from layersim.errors import LayersimError


@dataclass(frozen=True)
class AnchorVowels:
    """The anchors of a pair of corpora.

    Attributes
    ----------
    vowels : tuple of str
        Sorted; a vowel's number is its place here.
    source_rows, target_rows : tuple of Tensor, int64
        Per vowel, which rows of the source's and of the target's segments are of it.
    similarity : dict of str to float, -1..1
        Of every vowel that could be an anchor, chosen or not.
    """

    vowels: tuple[str, ...]
    source_rows: tuple[Tensor, ...]
    target_rows: tuple[Tensor, ...]
    similarity: dict[str, float]

    def counts(self) -> dict[str, dict[str, int]]:
        """Count each vowel's segments on both sides."""
        sides = zip(self.vowels, self.source_rows, self.target_rows, strict=True)
        return {vowel: {"source": len(source), "target": len(target)} for vowel, source, target in sides}

    def draw(self, vowels: int, segments: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one step's segments.

        Parameters
        ----------
        vowels : int, >= 2
            How many vowels; all, if there are no more.
        segments : int, >= 1
            How many segments of each in each language.

        Returns
        -------
        source_rows, target_rows : Tensor, shape (vowels * segments,), int64
        classes : Tensor, shape (vowels * segments,), int64
            The vowels' numbers, the same for both sides.
        """
        chosen = torch.randperm(len(self.vowels), generator=generator)[:vowels]
        source, target = (
            torch.cat([_draw_rows(rows[number], segments, generator) for number in chosen.tolist()])
            for rows in (self.source_rows, self.target_rows)
        )
        return source, target, chosen.repeat_interleave(segments)


def choose_anchors(
    source: VowelSegments, target: VowelSegments, minimum: int, share: float, names: tuple[str, str]
) -> AnchorVowels:
    """Choose among the vowels that both corpora have; no label of either is read.

    Parameters
    ----------
    minimum : int, >= 1
        Segments that a vowel needs in each corpus.
    share : float, 0..1
        Share of those vowels that become anchors, the most similar first; rounded up, and at least two.
    names : (str, str)
        The corpora, for errors.

    Raises
    ------
    LayersimError
        If fewer than two vowels have enough segments in both corpora.
    """
    found = [Counter(side.vowels) for side in (source, target)]
    shared = sorted(found[0].keys() & found[1].keys())
    enough = [vowel for vowel in shared if min(found[0][vowel], found[1][vowel]) >= minimum]
    if len(enough) < 2:
        listed = ", ".join(f"{vowel} {found[0][vowel]}/{found[1][vowel]}" for vowel in shared) or "none"
        raise LayersimError(
            f"{names[0]} and {names[1]}: phonetic anchoring tells a vowel from others, so it needs at least "
            f"two with {minimum} or more segments in both train splits; {len(enough)} have. Shared vowels "
            f"(segments in {names[0]}/{names[1]}): {listed}. Check the phone_set of both corpora, align more "
            "(layersim align, then layersim extract --force), or lower minimum_segments in layersim.toml, "
            "table [train.pa]."
        )
    similarity = _similarities(source, target, enough)
    kept = sorted(enough, key=lambda vowel: -similarity[vowel])[: max(2, math.ceil(share * len(enough)))]
    vowels = tuple(sorted(kept))
    return AnchorVowels(vowels, _rows_of(source, vowels), _rows_of(target, vowels), similarity)


def _similarities(source: VowelSegments, target: VowelSegments, vowels: list[str]) -> dict[str, float]:
    """Cosine of each vowel's centred centroids, averaged over the layers."""
    centroids = []
    for side in (source, target):
        rows = _rows_of(side, tuple(vowels))
        means = torch.stack([side.features[of_vowel].double().mean(dim=0) for of_vowel in rows])  # (V, K, D)
        centroids.append(means - means.mean(dim=0))
    cosines = nn.functional.cosine_similarity(centroids[0], centroids[1], dim=2).mean(dim=1)
    return dict(zip(vowels, cosines.tolist(), strict=True))


def _rows_of(side: VowelSegments, vowels: tuple[str, ...]) -> tuple[Tensor, ...]:
    rows: dict[str, list[int]] = {vowel: [] for vowel in vowels}
    for row, vowel in enumerate(side.vowels):
        if vowel in rows:
            rows[vowel].append(row)
    return tuple(torch.tensor(rows[vowel], dtype=torch.int64) for vowel in vowels)


def _draw_rows(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    orders = [torch.randperm(len(rows), generator=generator) for _ in range(math.ceil(count / len(rows)))]
    return rows[torch.cat(orders)[:count]]
