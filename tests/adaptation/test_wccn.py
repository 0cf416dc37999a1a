"""The presets are the source's table; the network is what it says; training finds what was planted."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.task import Learned, Task, guesses
from layersim.adaptation.wccn import DeepWccn, WccnClassifier, WccnConfig, learn_wccn
from layersim.errors import LayersimError
from layersim.metrics import uar
from layersim.settings import resolve_settings

EMOTIONS = ("anger", "happiness", "neutral", "sadness")
LAYERS, WIDTH = 2, 10
TRAINING_SETS = ("DECH", "DEEN", "ENCH")
NAMES = {
    "learning rate (Adagrad)": "learning_rate",
    "weight decay": "weight_decay",
    "dropout": "dropout",
    "λ": "smoothing",
    "β": "beta",
    "batch size": "batch",
}
TABLE = {  # arXiv 2311.13678, copied by hand
    "DECH": {"learning_rate": 0.0003, "weight_decay": 0.0004, "dropout": 0.45, "smoothing": 0.2,
             "beta": 0.0008, "batch": 14},
    "DEEN": {"learning_rate": 0.0003, "weight_decay": 0.0005, "dropout": 0.05, "smoothing": 0.5,
             "beta": 0.0012, "batch": 14},
    "ENCH": {"learning_rate": 0.0003, "weight_decay": 0.0005, "dropout": 0.3, "smoothing": 0.4,
             "beta": 0.0017, "batch": 14},
}  # fmt: skip
IN_ALL = {"optimiser": "adagrad", "embedding": 192, "alpha": 0.1, "pooling": "mean-std", "crop_seconds": 2.0}


@pytest.fixture
def papers_table(shared: Path) -> dict[str, dict[str, float]]:
    """The hyper-parameters of section 2 of PAPERS.md, read from its Markdown table."""
    file = shared / "papers" / "PAPERS.md"
    if not file.is_file():
        pytest.skip("no papers/PAPERS.md in the folder 'shared' beside the repository")
    section = file.read_text(encoding="utf-8").split("\n## 2. ")[1].split("\n## 3. ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()
            if line.startswith("|")]  # fmt: skip
    head = next(number for number, row in enumerate(rows) if row == ["", *TRAINING_SETS])
    values = {row[0]: row[1:] for row in rows[head + 2 : head + 2 + len(NAMES)]}
    assert set(values) == set(NAMES)
    return {
        name: {NAMES[label]: float(cells[place]) for label, cells in values.items()}
        for place, name in enumerate(TRAINING_SETS)
    }


def test_the_presets_are_the_table_of_papers_md(papers_table: dict[str, dict[str, float]]) -> None:
    assert papers_table == TABLE
    for name in TRAINING_SETS:
        preset = WccnConfig.presets[f"paper-{name}"]
        assert {key: preset[key] for key in papers_table[name]} == papers_table[name]


def test_the_presets_hold_what_the_source_states_and_nothing_else() -> None:
    for name in TRAINING_SETS:
        assert dict(WccnConfig.presets[f"paper-{name}"]) == {**TABLE[name], **IN_ALL}
        WccnConfig(**WccnConfig.presets[f"paper-{name}"])
    common = {key: value for key, value in TABLE["DECH"].items()
              if all(row[key] == value for row in TABLE.values())}  # fmt: skip
    assert common == {"learning_rate": 0.0003, "batch": 14}
    assert dict(WccnConfig.presets["paper"]) == {**common, **IN_ALL}
    assert set(WccnConfig.presets) == {"paper", *(f"paper-{name}" for name in TRAINING_SETS)}


def test_every_value_says_where_it_comes_from() -> None:
    plain = resolve_settings(WccnConfig)
    stated = {name for name, origin in plain.origins.items() if origin == f"paper: {WccnConfig.paper}"}
    assert stated == set(WccnConfig.presets["paper"])
    assert all(getattr(plain.config, name) == WccnConfig.presets["paper"][name] for name in stated)
    assert {plain.origins[name] for name in set(plain.origins) - stated} == {"default (not in source)"}
    preset = ("preset paper-DEEN", WccnConfig.presets["paper-DEEN"])
    chosen = resolve_settings(WccnConfig, preset=preset)
    assert (chosen.config.dropout, chosen.origins["dropout"]) == (0.05, "preset paper-DEEN")
    assert {chosen.origins[name] for name in ("epochs", "patience", "whitening")} == {
        "default (not in source)"
    }
    medians = {name: sorted(row[name] for row in TABLE.values())[1]
               for name in ("weight_decay", "dropout", "smoothing", "beta")}  # fmt: skip
    assert {name: getattr(plain.config, name) for name in medians} == medians


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("smoothing", 1.2, "less than or equal to 1"), ("optimiser", "adamw", "'adagrad'"),
     ("pooling", "min-max", "'mean-std'"), ("dropout", 1.0, "less than 1")],
)  # fmt: skip
def test_a_setting_out_of_range_names_its_table(key: str, value: Any, said: str) -> None:
    with pytest.raises(LayersimError, match=rf"table \[train.wccn\]: setting '{key}'.*{said}"):
        resolve_settings(WccnConfig, table={key: value})


@pytest.mark.parametrize("whitening", [True, False])
def test_the_network_is_the_sources_chain(whitening: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    network = WccnClassifier(6, 3, 4, dropout=0.5, smoothing=0.3, whitening=whitening)
    x, labels = torch.randn(30, 6, generator=generator), torch.arange(30) % 3
    for _ in range(3):
        network(x, labels)
    network.eval()
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    hidden = np.maximum(x.numpy() @ weights["project.weight"].T + weights["project.bias"], 0)
    if whitening:
        assert np.abs(weights["wccn.transform"] - np.eye(4)).max() > 0.1  # not vacuous
        hidden = hidden @ weights["wccn.transform"]
    np.testing.assert_allclose(network.embed(x).detach(), hidden, rtol=1e-4, atol=1e-5)
    centred = hidden - hidden.mean(axis=1, keepdims=True)
    normed = centred / np.sqrt(centred.var(axis=1, keepdims=True) + 1e-5)
    normed = normed * weights["norm.weight"] + weights["norm.bias"]
    expected = normed @ weights["classifier.weight"].T + weights["classifier.bias"]
    np.testing.assert_allclose(network(x).detach(), expected, rtol=1e-4, atol=1e-5)
    assert any(name.startswith("wccn") for name in weights) == whitening
    assert torch.equal(network(x), network(x.reshape(30, 2, 3)))  # layers side by side


def test_every_weight_has_a_gradient_and_deep_wccn_has_none() -> None:
    network = WccnClassifier(6, 3, 4, dropout=0.0, smoothing=0.3)
    x, labels = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
    torch.nn.functional.cross_entropy(network(x, labels), labels).backward()
    assert isinstance(network.wccn, DeepWccn)
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"project", "norm", "classifier"}
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert float(weight.grad.abs().max()) > 1e-4, name


def part(seed: int, rows: int, nuisance: float = 0.0) -> LabelledFeatures:
    """Emotions planted as one direction each, the same for every seed, and one direction that is noise."""
    rng, planted = np.random.default_rng(seed), np.random.default_rng(99)
    directions = 2 * planted.standard_normal((len(EMOTIONS), LAYERS, WIDTH))
    noise = planted.standard_normal((LAYERS, WIDTH))
    truth = rng.permutation(np.arange(rows) % len(EMOTIONS))
    values = directions[truth] + rng.standard_normal((rows, LAYERS, WIDTH))
    values += nuisance * rng.standard_normal((rows, 1, 1)) * noise
    return LabelledFeatures(
        tuple(f"corpus/{seed}-{row}" for row in range(rows)),
        torch.tensor(values, dtype=torch.float32),
        tuple(EMOTIONS[number] for number in truth),
        tuple(f"{row % 5:02d}" for row in range(rows)),
    )


def planted_task(nuisance: float = 0.0) -> Task:
    """The target holds NaN: what reads it cannot go on."""
    target = UnlabelledFeatures(("other/0", "other/1"), torch.full((2, LAYERS, WIDTH), torch.nan))
    return Task(part(1, 120, nuisance), part(2, 40, nuisance), target, EMOTIONS)


def quick(**settings: Any) -> WccnConfig:
    return WccnConfig(**{"epochs": 12, "embedding": 16, "learning_rate": 0.02, **settings})


def network_of(learned: Learned) -> WccnClassifier:
    assert isinstance(learned.network, WccnClassifier)
    return learned.network


@pytest.mark.parametrize("whitening", [True, False])
def test_planted_emotions_are_found_in_utterances_never_seen(whitening: bool) -> None:
    learned = learn_wccn(planted_task(), quick(whitening=whitening), 3)
    unseen = part(7, 200)
    probabilities = learned.probabilities(unseen.features)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert uar(unseen.emotions, guesses(probabilities, EMOTIONS)) > 0.95
    assert learned.curves is not None
    assert list(learned.curves) == [
        "epoch", "cross_entropy", "source_validation_cross_entropy", "source_validation_uar"
    ]  # fmt: skip
    best = learned.curves.set_index("epoch")["source_validation_uar"]
    assert best[learned.best_epoch] == best.max()
    assert learned.details["whitening"] == whitening
    assert learned.details["width"] == LAYERS * WIDTH


def test_the_covariances_are_of_the_embeddings_that_are_whitened_in_training_and_after() -> None:
    """With weights that stand still and all rows in a mini-batch, what is embedded afterwards is white."""
    task = planted_task(nuisance=8.0)
    still = quick(epochs=3, batch=120, learning_rate=1e-9, weight_decay=0, dropout=0, smoothing=0)
    network = network_of(learn_wccn(task, still, 0))
    emotions = np.array(task.source.emotions)

    def within(rows: torch.Tensor) -> np.ndarray:
        values = rows.detach().double().numpy()
        return np.mean([np.cov(values[emotions == name].T, bias=True) for name in EMOTIONS], axis=0)

    hidden = torch.relu(network.project(task.source.features.flatten(start_dim=1)))
    assert np.linalg.cond(within(hidden)) > 1000
    np.testing.assert_allclose(within(network.embed(task.source.features)), np.eye(16), atol=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_the_callers_random_numbers_stay() -> None:
    task, config = planted_task(), quick(epochs=2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = learn_wccn(task, config, 1)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(6)
    again, other = learn_wccn(task, config, 1), learn_wccn(task, config, 2)
    states = [network_of(learned).state_dict() for learned in (first, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["project.weight"], states[2]["project.weight"])
    assert first.curves is not None
    assert first.curves.equals(again.curves)


def test_using_the_network_afterwards_leaves_it_as_it_is() -> None:
    learned = learn_wccn(planted_task(), quick(epochs=2), 1)
    network = network_of(learned)
    assert not network.training
    before = copy.deepcopy(network.state_dict())
    one = learned.probabilities(part(8, 20).features * 100)
    assert np.array_equal(one, learned.probabilities(part(8, 20).features * 100))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_details_say_how_many_mini_batches_each_emotions_covariance_is_an_average_of() -> None:
    task = planted_task()
    learned = learn_wccn(task, quick(epochs=1, batch=60), 1)
    assert learned.details["measured"] == dict.fromkeys(
        EMOTIONS, 2
    )  # 120 rows, 2 steps, all emotions in each
    assert learn_wccn(task, quick(epochs=1, whitening=False), 1).details["measured"] is None


def test_a_source_smaller_than_a_batch_is_one_batch() -> None:
    task = planted_task()
    small = Task(part(1, 10), task.validation, task.target, EMOTIONS)
    assert learn_wccn(small, quick(epochs=3, patience=3), 1).details["measured"]["anger"] in (1, 2, 3)


def test_too_little_smoothing_and_too_long_steps_say_what_to_do() -> None:
    with pytest.raises(LayersimError, match="of 16 dimensions cannot be inverted with smoothing 0: "):
        learn_wccn(planted_task(), quick(smoothing=0.0), 1)
    spoilt = planted_task()
    spoilt.source.features[:20] = torch.inf
    with pytest.raises(LayersimError, match=r"in epoch 1: the loss is nan.*table\s+\[train.wccn\]"):
        learn_wccn(spoilt, quick(), 1)
