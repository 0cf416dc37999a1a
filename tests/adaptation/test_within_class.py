"""Deep-WCCN and plain WCCN against numpy, on mini-batches that lack classes too."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from layersim.adaptation.within_class import DeepWccn, plain_wccn
from layersim.errors import LayersimError

WIDTH, CLASSES = 5, 3


def mini_batch(rng: np.random.Generator, counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose spread depends on the class and is correlated, in a random order."""
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    mix = np.random.default_rng(11).standard_normal((len(counts), WIDTH, WIDTH))
    rows = np.stack([rng.standard_normal(WIDTH) @ mix[label] + 4 * label for label in labels])
    return rows, labels


def sequence(seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """All classes; class 1 with one row; class 2 absent; class 0 absent and 2 with one row; all again."""
    rng = np.random.default_rng(seed)
    return [mini_batch(rng, counts) for counts in ((4, 6, 8), (7, 1, 6), (9, 5, 0), (0, 12, 1), (30, 20, 10))]


def within_by_numpy(seen: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The plain mean of the covariances of every mini-batch that can show one, then over classes."""
    per_class = []
    for number in range(CLASSES):
        shown = [rows[labels == number] for rows, labels in seen]
        covariances = [np.cov(rows.T, bias=True) for rows in shown if len(rows) >= 2]
        if covariances:
            per_class.append(np.mean(covariances, axis=0))
    return np.mean(per_class, axis=0)


def factor_by_numpy(within: np.ndarray, smoothing: float) -> np.ndarray:
    smooth = (1 - smoothing) * within + smoothing * np.eye(len(within))
    return np.linalg.cholesky(np.linalg.inv(smooth))


def run(layer: DeepWccn, batches: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    return [layer(torch.tensor(rows), torch.tensor(labels)).numpy() for rows, labels in batches]


@pytest.mark.parametrize("smoothing", [0.2, 0.5, 1.0])
def test_every_mini_batch_passes_through_the_factor_of_all_seen_so_far_its_own_included(
    smoothing: float,
) -> None:
    batches = sequence()
    layer = DeepWccn(WIDTH, CLASSES, smoothing)
    for place, found in enumerate(run(layer, batches)):
        factor = factor_by_numpy(within_by_numpy(batches[: place + 1]), smoothing)
        expected = np.stack([factor.T @ row for row in batches[place][0]])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert layer.measured.tolist() == [4, 4, 3]  # mini-batches with two rows of the class or more
    np.testing.assert_allclose(layer.transform, np.tril(layer.transform))


def test_with_all_classes_in_every_mini_batch_t_is_the_sources_count_of_mini_batches() -> None:
    rng = np.random.default_rng(5)
    batches = [mini_batch(rng, (5, 4, 3)) for _ in range(6)]
    streamed = np.zeros((CLASSES, WIDTH, WIDTH))
    for t, (rows, labels) in enumerate(batches, start=1):  # as PAPERS.md writes it, term by term
        for c in range(CLASSES):
            own = rows[labels == c]
            deviations = [row - own.mean(axis=0) for row in own]
            batch = sum(np.outer(row, row) for row in deviations) / len(own)
            streamed[c] = streamed[c] + (batch - streamed[c]) / t
    layer = DeepWccn(WIDTH, CLASSES, 0.3)
    run(layer, batches)
    np.testing.assert_allclose(layer.covariances, streamed, rtol=1e-10)
    np.testing.assert_allclose(layer.transform, factor_by_numpy(streamed.mean(axis=0), 0.3), rtol=1e-9)


def test_a_class_that_was_never_measured_takes_no_part_in_the_mean_over_classes() -> None:
    layer = DeepWccn(1, 2, 0.0)
    layer(
        torch.tensor([[0.0], [4.0], [9.0]]), torch.tensor([0, 0, 1])
    )  # class 0: variance 4; class 1: one row
    assert float(layer.transform) == pytest.approx(0.5)  # 1 / sqrt(4), and not 1 / sqrt((4 + 0) / 2)
    layer(torch.tensor([[0.0], [12.0], [7.0], [7.0]]), torch.tensor([1, 1, 0, 0]))
    # class 0: (4 + 0) / 2 = 2, class 1: its first covariance, 36, whole; mean 19
    assert float(layer.transform) == pytest.approx(1 / np.sqrt(19))


def test_mini_batches_that_show_no_spread_leave_the_identity() -> None:
    layer = DeepWccn(2, 3, 0.0)
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
    assert torch.equal(layer(rows, torch.tensor([0, 1, 2])), rows)
    assert layer.measured.tolist() == [0, 0, 0]


def test_without_smoothing_the_within_class_covariance_becomes_the_identity() -> None:
    rng = np.random.default_rng(2)
    batches = [mini_batch(rng, (20, 15, 30)) for _ in range(4)]
    layer = DeepWccn(WIDTH, CLASSES, 0.0)
    run(layer, batches)
    layer.eval()
    mapped = [(layer(torch.tensor(rows)).numpy(), labels) for rows, labels in batches]
    assert np.abs(within_by_numpy(batches) - np.eye(WIDTH)).max() > 1  # it was not one before
    np.testing.assert_allclose(within_by_numpy(mapped), np.eye(WIDTH), atol=1e-9)


def test_evaluation_changes_nothing_and_reads_no_label() -> None:
    layer = DeepWccn(WIDTH, CLASSES, 0.4)
    run(layer, sequence())
    layer.eval()
    before = copy.deepcopy(layer.state_dict())
    rows = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(1)).double() * 50
    plain, labelled = layer(rows), layer(rows, torch.zeros(6, dtype=torch.int64))
    alone = torch.cat([layer(row[None]) for row in rows])
    assert torch.equal(plain, labelled)
    torch.testing.assert_close(plain, alone)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_the_state_is_saved_and_loaded_and_goes_on_where_it_was() -> None:
    batches = sequence()
    first, second = DeepWccn(WIDTH, CLASSES, 0.4), DeepWccn(WIDTH, CLASSES, 0.4)
    assert not list(first.parameters())
    run(first, batches[:3])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert set(first.state_dict()) == {"covariances", "measured", "transform"}
    for one, other in zip(run(first, batches[3:]), run(second, batches[3:]), strict=True):
        assert np.array_equal(one, other)


def test_the_gradient_goes_to_x_and_takes_the_factor_as_a_constant() -> None:
    rows, labels = (torch.tensor(part) for part in sequence()[0])
    layer = DeepWccn(WIDTH, CLASSES, 0.2)
    x = rows.clone().requires_grad_()
    incoming = torch.randn(rows.shape, generator=torch.Generator().manual_seed(3)).double()
    (layer(x, labels) * incoming).sum().backward()
    factor = factor_by_numpy(within_by_numpy([(rows.numpy(), labels.numpy())]), 0.2)
    np.testing.assert_allclose(x.grad, incoming.numpy() @ factor.T, rtol=1e-9, atol=1e-12)

    def slope(fixed: bool) -> float:
        """The loss's change with x[0, 0], by differences; a factor that follows x has another slope."""
        values = []
        for move in (1e-5, -1e-5):
            moved = rows.clone()
            moved[0, 0] += move
            used = layer.eval() if fixed else DeepWccn(WIDTH, CLASSES, 0.2)
            values.append(float((used(moved, labels) * incoming).sum()))
        return (values[0] - values[1]) / 2e-5

    assert float(x.grad[0, 0]) == pytest.approx(slope(fixed=True), rel=1e-6)
    assert abs(slope(fixed=False) - slope(fixed=True)) > 0.01  # so the test can tell the two apart


def test_a_backward_pass_may_come_after_the_next_mini_batch() -> None:
    layer = DeepWccn(WIDTH, CLASSES, 0.2)
    steps = [(torch.tensor(rows).requires_grad_(), torch.tensor(labels)) for rows, labels in sequence()[:2]]
    outputs, factors = [], []
    for x, labels in steps:
        outputs.append(layer(x, labels).sum())
        factors.append(layer.transform.clone())
    sum(outputs).backward()
    for (x, _), factor in zip(steps, factors, strict=True):
        torch.testing.assert_close(x.grad, factor.sum(dim=1).expand_as(x))  # ones @ Bᵀ


def test_under_autocast_covariances_and_product_are_not_in_half_precision() -> None:
    rows, labels = (torch.tensor(part) for part in sequence()[0])
    exact, mixed = DeepWccn(WIDTH, CLASSES, 0.2), DeepWccn(WIDTH, CLASSES, 0.2)
    expected = exact(rows.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = mixed(rows.float(), labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert torch.equal(mixed.transform, exact.transform)
    assert mixed(rows.bfloat16(), labels).dtype == torch.bfloat16


def test_a_mini_batch_that_is_not_finite_is_seen_and_not_kept() -> None:
    layer = DeepWccn(WIDTH, CLASSES, 0.2)
    batches = sequence()
    run(layer, batches[:1])
    before = copy.deepcopy(layer.state_dict())
    spoilt = batches[1][0].copy()
    spoilt[0, 0] = np.nan
    assert np.isnan(run(layer, [(spoilt, batches[1][1])])[0]).any()
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_what_does_not_fit_is_refused_by_name() -> None:
    layer, rows = DeepWccn(2, 3, 0.0), torch.randn(4, 2)
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2\), got \(4, 3\)"):
        layer(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(ValueError, match="needs the labels of x"):
        layer(rows)
    with pytest.raises(ValueError, match=r"labels must have shape \(4,\), got \(3,\)"):
        layer(rows, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"labels must lie in 0..2, got 0 to 3"):
        layer(rows, torch.tensor([0, 1, 2, 3]))
    with pytest.raises(ValueError, match=r"smoothing must lie in 0..1, got 1.5"):
        DeepWccn(2, 3, 1.5)
    with pytest.raises(ValueError, match="width and classes must be at least 1, got 0 and 3"):
        DeepWccn(0, 3, 0.5)


@pytest.mark.parametrize("kind", ["few rows", "a constant dimension", "the same dimension twice"])
def test_a_singular_covariance_without_smoothing_says_what_to_do(kind: str) -> None:
    rows = torch.randn(3 if kind == "few rows" else 40, 6, generator=torch.Generator().manual_seed(0)) * 100
    if kind == "a constant dimension":
        rows[:, 2] = 0.1
    if kind == "the same dimension twice":
        rows[:, 2] = rows[:, 4]
    labels = torch.zeros(len(rows), dtype=torch.int64)
    message = "of 6 dimensions cannot be inverted with smoothing 0: .*Set a larger smoothing"
    with pytest.raises(LayersimError, match=message):
        DeepWccn(6, 1, 0.0)(rows, labels)
    with pytest.raises(LayersimError, match=message):
        plain_wccn(rows.numpy(), labels.numpy(), smoothing=0.0)
    assert torch.isfinite(DeepWccn(6, 1, 0.1)(rows, labels)).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_plain_wccn_equals_numpy(smoothing: float) -> None:
    rows, labels = mini_batch(np.random.default_rng(4), (40, 9, 25))
    names = np.array(["anger", "neutral", "sadness"])[labels]
    expected = factor_by_numpy(within_by_numpy([(rows, labels)]), smoothing)
    np.testing.assert_allclose(plain_wccn(rows, names, smoothing), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(plain_wccn(rows, list(names), smoothing), expected, rtol=1e-9, atol=1e-12)


def test_plain_wccn_makes_the_within_class_covariance_the_identity() -> None:
    rows, labels = mini_batch(np.random.default_rng(6), (40, 9, 25))
    mapped = rows @ plain_wccn(rows, labels, smoothing=0.0)
    np.testing.assert_allclose(within_by_numpy([(mapped, labels)]), np.eye(WIDTH), atol=1e-10)


def test_plain_wccn_with_more_features_than_utterances_needs_smoothing_and_shrinks_what_varies() -> None:
    rng = np.random.default_rng(8)
    rows, labels = rng.standard_normal((60, 988)), np.repeat(["anger", "sadness"], 30)
    rows[:, 0] *= 10
    with pytest.raises(LayersimError, match="of 988 dimensions cannot be inverted with smoothing 0"):
        plain_wccn(rows, labels, smoothing=0.0)
    factor = plain_wccn(rows, labels, smoothing=0.2)
    inverse = np.linalg.inv(0.8 * (np.cov(rows[:30].T, bias=True) + np.cov(rows[30:].T, bias=True)) / 2
                            + 0.2 * np.eye(988))  # fmt: skip
    np.testing.assert_allclose(factor @ factor.T, inverse, rtol=1e-6, atol=1e-9)
    mapped = rows @ factor
    within = (mapped[:30].var(axis=0) + mapped[30:].var(axis=0)) / 2
    assert rows[:, 0].var() > 60
    assert within.max() <= 1 / 0.8 + 1e-9  # (1 - λ) Bᵀ S_w B = I - λ Bᵀ B


def test_plain_wccn_leaves_a_class_of_one_utterance_out() -> None:
    rows = np.array([[0.0], [4.0], [100.0]])
    np.testing.assert_allclose(plain_wccn(rows, ["sad", "sad", "calm"], smoothing=0.0), [[0.5]])
    with pytest.raises(LayersimError, match="none of 3 classes has two utterances"):
        plain_wccn(rows, ["sad", "happy", "calm"])


def test_plain_wccn_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"shapes \(N, F\) and \(N,\), got \(3, 2\), \(2,\)"):
        plain_wccn(np.zeros((3, 2)), ["sad", "sad"])
    with pytest.raises(ValueError, match="features must be finite"):
        plain_wccn(np.array([[np.inf], [0.0]]), ["sad", "sad"])
    with pytest.raises(ValueError, match=r"smoothing must lie in 0..1, got -0.1"):
        plain_wccn(np.zeros((2, 1)), ["sad", "sad"], smoothing=-0.1)
