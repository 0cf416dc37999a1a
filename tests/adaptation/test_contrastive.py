from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from layersim.adaptation.contrastive import contrastive_loss, triplet_loss

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
LOSSES = {
    "triplet": partial(triplet_loss, margin=0.2),
    "contrastive": partial(contrastive_loss, temperature=0.5),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())

SOURCE_VOWELS, TARGET_VOWELS = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([2, 1, 0, 0])


def segments(seed: int = 0, width: int = 3) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.standard_normal((5, width))), torch.tensor(rng.standard_normal((4, width)))


def anchors_of(
    source: np.ndarray, target: np.ndarray, term: Callable[[list[float], list[float]], float]
) -> float:
    """Mean over each language's anchors, then over the languages, in plain loops."""
    means = []
    sides = [(source, SOURCE_VOWELS.tolist()), (target, TARGET_VOWELS.tolist())]
    for (own, vowels), (other, other_vowels) in (sides, sides[::-1]):
        terms = []
        for anchor, vowel in zip(own, vowels, strict=True):
            cosines = [float(anchor @ row / np.linalg.norm(anchor) / np.linalg.norm(row)) for row in other]
            pairs = list(zip(cosines, other_vowels, strict=True))
            terms.append(term([c for c, v in pairs if v == vowel], [c for c, v in pairs if v != vowel]))
        means.append(sum(terms) / len(terms))
    return sum(means) / 2


def of_triplets(same: list[float], other: list[float]) -> float:
    excess = [max(0.0, (2 - 2 * p) - (2 - 2 * n) + 0.2) for p in same for n in other]
    return sum(excess) / len(excess)


def of_contrast(same: list[float], other: list[float]) -> float:
    total = sum(math.exp(c / 0.5) for c in same + other)
    return -sum(math.log(math.exp(c / 0.5) / total) for c in same) / len(same)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "term"), [("triplet", of_triplets), ("contrastive", of_contrast)])
def test_the_losses_are_those_of_plain_loops_over_anchors(
    name: str, term: Callable[[list[float], list[float]], float], seed: int
) -> None:
    source, target = segments(seed)
    found = LOSSES[name](source, target, SOURCE_VOWELS, TARGET_VOWELS)
    assert float(found) == pytest.approx(anchors_of(source.numpy(), target.numpy(), term), rel=1e-10)


def test_losses_worked_by_hand() -> None:
    """Source a east; target a at 60 degrees, i at 90: cosines 1/2 and 0, squared distances 1 and 2."""
    source = torch.tensor([[2.0, 0.0]])
    target = torch.tensor([[0.5, math.sqrt(0.75)], [0.0, 5.0]])
    a, a_and_i = torch.tensor([0]), torch.tensor([0, 1])
    assert float(triplet_loss(source, target, a, a_and_i, 1.5)) == pytest.approx(1 - 2 + 1.5)
    assert float(triplet_loss(source, target, a, a_and_i, 0.9)) == 0
    expected = math.log(1 + math.exp(-0.5 / 0.25))
    assert float(contrastive_loss(source, target, a, a_and_i, 0.25)) == pytest.approx(expected)


def test_the_contrastive_loss_lies_between_its_floor_and_that_of_one_point() -> None:
    """Vowels opposite: log 2 for the two anchors with two positives, log 3 for the other three."""
    classes = torch.tensor([0, 0, 1, 1, 1])
    apart = torch.tensor([[1.0], [1.0], [-1.0], [-1.0], [-1.0]])
    floor = (2 * math.log(2) + 3 * math.log(3)) / 5
    assert float(contrastive_loss(apart, apart, classes, classes, 0.05)) == pytest.approx(floor)
    one = torch.ones(5, 1)
    assert float(contrastive_loss(one, one, classes, classes, 0.05)) == pytest.approx(math.log(5))


@each_loss
def test_only_directions_and_classes_matter(loss: Loss) -> None:
    source, target = segments()
    value = float(loss(source, target, SOURCE_VOWELS, TARGET_VOWELS))
    assert float(loss(target, source, TARGET_VOWELS, SOURCE_VOWELS)) == pytest.approx(value)
    lengths = torch.tensor([[0.1], [3.0], [7.0], [1.0], [50.0]])
    assert float(loss(lengths * source, target, SOURCE_VOWELS, TARGET_VOWELS)) == pytest.approx(value)
    order = torch.tensor([3, 1, 4, 0, 2])
    assert float(loss(source[order], target, SOURCE_VOWELS[order], TARGET_VOWELS)) == pytest.approx(value)
    turn = torch.linalg.qr(torch.tensor(np.random.default_rng(1).standard_normal((3, 3))))[0]
    turned = loss(source @ turn, target @ turn, SOURCE_VOWELS, TARGET_VOWELS)
    assert float(turned) == pytest.approx(value)
    assert float(loss(source, target, 7 - SOURCE_VOWELS, 7 - TARGET_VOWELS)) == pytest.approx(value)
    wrong = float(loss(source, target, SOURCE_VOWELS, (TARGET_VOWELS + 1) % 3))
    assert wrong != pytest.approx(value, abs=1e-3)


@each_loss
def test_the_gradient_is_that_of_finite_differences(loss: Loss) -> None:
    source, target = (side.requires_grad_() for side in segments(3))
    assert torch.autograd.gradcheck(lambda s, t: loss(s, t, SOURCE_VOWELS, TARGET_VOWELS), (source, target))


@each_loss
def test_a_step_down_the_gradient_brings_the_same_vowel_closer_and_others_farther(loss: Loss) -> None:
    anchor = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    target = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # the same vowel, another one
    loss(anchor, target, torch.tensor([0]), torch.tensor([0, 1])).backward()
    assert anchor.grad is not None
    step = -anchor.grad[0]
    assert step[1] > 0 > step[2]
    assert step[0] == pytest.approx(0, abs=1e-6)  # along itself: only directions count


@each_loss
def test_embeddings_of_zeros_have_a_finite_gradient(loss: Loss) -> None:
    source = torch.zeros(2, 3, requires_grad=True)
    target = torch.zeros(2, 3, requires_grad=True)
    loss(source, target, torch.tensor([0, 1]), torch.tensor([0, 1])).backward()
    assert source.grad is not None
    assert target.grad is not None
    assert bool(torch.isfinite(torch.cat([source.grad, target.grad])).all())


@each_loss
def test_an_anchor_without_its_vowel_on_the_other_side_is_left_out(loss: Loss) -> None:
    source, target = segments()
    lonely = torch.cat([source, torch.ones(1, 3)])
    of_its_own = torch.cat([SOURCE_VOWELS, torch.tensor([9])])
    terms = []
    for side, vowels in ((source, SOURCE_VOWELS), (lonely, of_its_own)):
        frozen = side.clone().requires_grad_()
        loss(frozen, target.detach(), vowels, TARGET_VOWELS).backward()
        terms.append(frozen)
    assert terms[1].grad is not None
    assert terms[1].grad[-1].abs().max() > 0  # still a negative of the target's anchors
    alone = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    with pytest.raises(ValueError, match="no segment has both a segment of its vowel and one of another"):
        loss(alone, target.float(), torch.tensor([9]), TARGET_VOWELS)


@each_loss
def test_shapes_that_do_not_fit_are_the_callers_mistake(loss: Loss) -> None:
    source, target = segments()
    with pytest.raises(ValueError, match=r"\(n, E\) and \(m, E\), got \(5, 3\) and \(4, 2\)"):
        loss(source, target[:, :2], SOURCE_VOWELS, TARGET_VOWELS)
    with pytest.raises(ValueError, match="got 4 and 4 vowels for 5 and 4 segments"):
        loss(source, target, SOURCE_VOWELS[:4], TARGET_VOWELS)


def test_a_temperature_must_be_positive() -> None:
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        contrastive_loss(*segments(), SOURCE_VOWELS, TARGET_VOWELS, 0)
