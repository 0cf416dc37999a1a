"""How layersim-mini is pretrained: the same speech each time, units that are right, runs that resume."""

import numpy as np
import pretrain_mini
import pytest
import torch

from layersim.alignment.pronunciation.espeak import synthesise
from layersim.demo.sentences import ENGLISH, MANDARIN
from layersim.encoders.load import load_encoder
from layersim.encoders.windows import FrameGrid
from mini import training
from mini.corruption import corrupt
from mini.network import Kind, Predictor, configure, hide, save_encoder
from mini.speech import draw_line, make_batches
from mini.targets import Codebook, vectors
from mini.texts import draw_text


@pytest.fixture(scope="module")
def batches():
    return make_batches(seed=3, job=5, seconds=4.0)


def test_a_batch_depends_on_seed_and_number_alone(batches):
    again = make_batches(seed=3, job=5, seconds=4.0)
    for ours, theirs in zip(batches, again, strict=True):
        assert ours.heard.tobytes() == theirs.heard.tobytes()
        assert ours.prosody.tobytes() == theirs.prosody.tobytes()
    other = make_batches(seed=3, job=6, seconds=4.0)
    assert other[0].clean.tobytes() != batches[0].clean.tobytes()


def test_there_is_one_unit_vector_for_each_frame_of_the_encoder(batches):
    grid = FrameGrid.of_convolutions(configure().conv_kernel, configure().conv_stride)
    for batch in batches:
        frames = grid.count(batch.heard.shape[1])
        assert batch.mfcc.shape[:2] == batch.prosody.shape[:2] == (len(batch.heard), frames)
        assert np.isfinite(batch.heard).all()
        assert batch.heard.dtype == np.float32


def test_every_voice_that_is_drawn_can_speak_what_is_drawn():
    rng = np.random.default_rng(0)
    spoken = list(synthesise([draw_line(rng) for _ in range(60)]))
    assert min(speech.seconds for speech in spoken) > 0.5
    assert sum(len(speech.phones) for speech in spoken) > 10 * len(spoken)


def test_no_text_is_one_of_the_demo():
    rng = np.random.default_rng(1)
    texts = {draw_text(rng)[1] for _ in range(2000)}
    assert len(texts) > 1900
    assert not texts & set(ENGLISH + MANDARIN)


@pytest.mark.parametrize("frequency", [110.0, 200.0, 400.0])
def test_pitch_is_that_of_the_wave(frequency):
    times = np.arange(16_000) / 16_000
    wave = sum(np.sin(2 * np.pi * frequency * k * times) / k for k in range(1, 8))
    _, prosody = vectors((0.2 * wave).astype(np.float32))
    inner = prosody[3:-3]
    assert inner[:, 0] / 2.0 == pytest.approx(np.log2(frequency / 200.0), abs=0.01)
    assert inner[:, 2] == pytest.approx(1.5)


def test_noise_without_a_voice_has_no_pitch():
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    _, prosody = vectors(0.1 * noise)
    assert (prosody[:, 2] > 0).mean() < 0.1


def test_units_are_the_nearest_centres():
    rng = np.random.default_rng(0)
    centres, frames = torch.from_numpy(rng.normal(size=(7, 5))), torch.from_numpy(rng.normal(size=(2, 30, 5)))
    expected = torch.cdist(frames.reshape(-1, 5), centres).argmin(1).reshape(2, 30)
    assert torch.equal(Codebook(centres).units(frames), expected)


def test_half_of_the_frames_are_hidden_in_spans_and_some_in_every_clip():
    hidden = hide((400, 100), 10, torch.Generator().manual_seed(0))
    # 1 - 0.92^10 of the frames past the first ten
    assert hidden[:, 10:].float().mean().item() == pytest.approx(1 - 0.92**10, abs=0.02)
    assert hide((50, 3), 5, torch.Generator().manual_seed(0)).any(1).all()


def test_a_recording_changes_each_clip_in_its_own_way_and_keeps_its_length(batches):
    clean = np.concatenate([batch.clean[:, :32_000] for batch in batches])
    heard = corrupt(clean, np.random.default_rng(0))
    assert heard.shape == clean.shape
    assert (heard != clean).any(1).all()
    likeness = [np.corrcoef(a, b)[0, 1] for a, b in zip(heard, clean, strict=True)]
    assert np.median(np.abs(likeness)) > 0.5  # speech is still there


def test_the_learning_rate_rises_then_falls_to_a_hundredth():
    rates = [training.schedule(step, 2000) for step in range(2000)]
    top = int(np.argmax(rates))
    assert 300 < top < 500
    assert all(np.diff(rates[:top]) > 0)
    assert all(np.diff(rates[top:]) < 0)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_a_shorter_teacher_gives_the_same_middle_block(batches):
    model = Predictor({"sound": Kind(3)})
    waves = torch.from_numpy(batches[0].clean)
    whole = model.layer(waves, 4)
    model.keep_blocks(4)
    assert torch.equal(model.layer(waves, 4), whole)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path, monkeypatch):
    def few(seed, first, workers):
        job, skipped = divmod(first, training.BATCHES_PER_JOB)
        while True:
            yield from make_batches(seed, job, seconds=4.0)[skipped:]
            job, skipped = job + 1, 0

    monkeypatch.setattr(training, "batches", few)
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    stage = training.Round("round-1", 4, 1e-3, 0, span=10)

    def targets(batch):
        return {"sound": torch.from_numpy((batch.mfcc[..., 0] > 0).astype(np.int64))}

    class Killed(Exception):
        pass

    def killer(words):
        if " 3/4" in words:
            raise Killed

    def run(folder, say):
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        model = Predictor({"sound": Kind(2, block=3)})
        training.train(model, targets, stage, folder=folder, seed=0, device="cpu", workers=1, say=say)
        return model.state_dict()

    whole = run(tmp_path / "whole", lambda _words: None)
    with pytest.raises(Killed):
        run(tmp_path / "killed", killer)
    resumed = run(tmp_path / "killed", lambda _words: None)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    rows = (tmp_path / "killed" / "round-1.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3", "4"]


def test_a_folder_that_holds_another_run_is_refused(tmp_path, monkeypatch):
    (tmp_path / "settings.json").write_text('{"seed": 1, "steps": [1, 1], "peak": 0.001}')
    monkeypatch.setattr("sys.argv", ["pretrain_mini.py", "--work", str(tmp_path), "--steps", "1", "1"])
    with pytest.raises(SystemExit, match=r"holds a run with .*'seed': 1.* Give another --work"):
        pretrain_mini.main()
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]


def test_what_is_saved_is_an_encoder_that_layersim_loads(tmp_path):
    torch.manual_seed(0)
    save_encoder(Predictor({"sound": Kind(3)}).encoder, tmp_path / "layersim-mini")
    encoder = load_encoder(str(tmp_path / "layersim-mini"))
    assert encoder.layers == tuple(str(number) for number in range(13))
    assert encoder.exact_batching
