"""Loading: what is refused, with what words, and what a loaded encoder says of itself."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from layersim.encoders.checkpoint import EMBEDDED, find_checkpoint
from layersim.encoders.load import load_encoder, refuse_broken_torchaudio
from layersim.encoders.wavlm import ATTENTION
from layersim.errors import LayersimError


def change_weights(folder, change):
    """Load the tensors of a checkpoint, let ``change`` spoil the dict, write them back."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_an_encoder_says_what_its_features_depend_on(tiny):
    folder = tiny("wavlm-stable")
    encoder = load_encoder(str(folder))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    description = encoder.describe()
    assert json.loads(json.dumps(description)) == description
    assert "before any final layer norm" in description.pop("layer_rule")
    assert description == {
        "checkpoint": "wavlm-stable", "revision": None, "weights_sha256": digest, "model_type": "wavlm",
        "layers": ["0", "1", "2", "3"], "stack": "encoder", "precision": "fp32", "max_seconds": 30.0,
        "attention": ATTENTION,
    }  # fmt: skip
    assert (encoder.width, encoder.notes) == (16, ())


def test_a_loaded_model_is_in_evaluation_mode_without_gradients(family, tiny):
    model = load_encoder(str(tiny(family))).body.model
    assert not any(module.training for module in model.modules())
    assert not any(weight.requires_grad for weight in model.parameters())


def test_loading_prints_nothing_and_leaves_the_librarys_verbosity_as_it_was(tiny, capfd):
    before = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    load_encoder(str(tiny("hubert-stable")))
    assert capfd.readouterr() == ("", "")
    assert (transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()) == before


def test_half_precision_weights_are_computed_with_in_full(tiny_copy, speech):
    folder = tiny_copy("whisper")
    change_weights(folder, lambda weights: weights.update({k: v.half() for k, v in weights.items()}))
    encoder = load_encoder(str(folder))
    assert {weight.dtype for weight in encoder.body.model.parameters()} == {torch.float32}
    assert encoder.encode([speech(8_000)]).frames.dtype == torch.float32


def test_sharded_weights_are_read_and_hashed_together(tiny_copy, tiny, speech):
    folder = tiny_copy("wavlm-stable")
    model = transformers.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="8KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    encoder, whole = load_encoder(str(folder)), load_encoder(str(tiny("wavlm-stable")))
    together = b"".join(shard.read_bytes() for shard in shards)
    assert encoder.weights_sha256 == hashlib.sha256(together).hexdigest()
    wave = speech(8_000)
    torch.testing.assert_close(encoder.encode([wave]).frames, whole.encode([wave]).frames)
    shards[1].unlink()
    with pytest.raises(LayersimError, match=rf"weight files are missing: {shards[1].name}"):
        load_encoder(str(folder))


def test_a_folder_here_goes_before_the_encoder_that_comes_along(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = find_checkpoint(EMBEDDED)
    assert shipped.name == EMBEDDED
    assert shipped.folder != tmp_path / EMBEDDED
    shutil.copytree(tiny("hubert-group"), tmp_path / EMBEDDED)
    ours = find_checkpoint(EMBEDDED)
    assert ours.name == EMBEDDED
    assert ours.weights_sha256 != shipped.weights_sha256


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(LayersimError, match=r"no config\.json, so this is not a checkpoint"):
        load_encoder(str(tmp_path))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(LayersimError, match=r"no such folder, and not a hub id. Give a folder"):
        load_encoder(str(tmp_path / "nowhere"))


def test_pickled_weights_are_refused_and_never_read(tiny_copy):
    folder = tiny_copy("hubert-group")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(LayersimError, match=r"only pickle files \(pytorch_model.bin\).*unpickling runs code"):
        load_encoder(str(folder))


def test_a_folder_without_weights_is_refused(tiny_copy):
    folder = tiny_copy("hubert-group")
    (folder / "model.safetensors").unlink()
    with pytest.raises(LayersimError, match=r"no model.safetensors, no weights"):
        load_encoder(str(folder))


def test_weights_that_are_cut_off_are_refused(tiny_copy):
    file = tiny_copy("hubert-group") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(LayersimError, match=r"hubert-group: its weights cannot be loaded"):
        load_encoder(str(file.parent))


def test_missing_weights_are_refused_not_made_up(tiny_copy):
    folder = tiny_copy("wavlm-group")
    change_weights(folder, lambda weights: weights.pop("encoder.layers.1.layer_norm.weight"))
    with pytest.raises(
        LayersimError, match=r"1 weights are missing .* random \(encoder.layers.1.layer_norm.weight\)"
    ):
        load_encoder(str(folder))


def test_the_mask_vector_of_training_may_be_missing(tiny_copy):
    folder = tiny_copy("wavlm-group")
    change_weights(folder, lambda weights: weights.pop("masked_spec_embed"))
    assert load_encoder(str(folder)).width == 16


def test_what_the_mask_vector_holds_does_not_matter(tiny_copy):
    folder = tiny_copy("wavlm-group")
    change_weights(folder, lambda weights: weights["masked_spec_embed"].fill_(float("nan")))
    assert load_encoder(str(folder)).layers[-1] == "3"


def test_a_configuration_with_fewer_blocks_than_weights_is_refused(tiny_copy):
    folder = tiny_copy("wav2vec2-layer")
    change_json(folder / "config.json", num_hidden_layers=2)
    with pytest.raises(LayersimError, match=r"weights of blocks that its config.json does not describe"):
        load_encoder(str(folder))


def test_weights_of_other_shapes_are_refused(tiny_copy):
    folder = tiny_copy("wav2vec2-layer")
    change_json(folder / "config.json", intermediate_size=32)
    with pytest.raises(LayersimError, match=r"wav2vec2-layer: its weights cannot be loaded"):
        load_encoder(str(folder))


def test_nan_weights_are_refused_by_name(tiny_copy):
    folder = tiny_copy("hubert-stable")
    name = "encoder.layers.2.attention.k_proj.weight"
    change_weights(folder, lambda weights: weights[name].fill_(float("nan")))
    with pytest.raises(LayersimError, match=rf"weight {name} holds NaN or infinite values"):
        load_encoder(str(folder))


def test_a_checkpoint_without_a_feature_extractor_is_refused(tiny_copy):
    folder = tiny_copy("hubert-group")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(
        LayersimError, match=r"its feature extractor cannot be read.*preprocessor_config\.json"
    ):
        load_encoder(str(folder))


def test_an_encoder_of_another_sample_rate_is_refused(tiny_copy):
    folder = tiny_copy("hubert-group")
    change_json(folder / "preprocessor_config.json", sampling_rate=8_000)
    with pytest.raises(LayersimError, match=r"reads audio at 8000 Hz.*Take a 16 kHz encoder"):
        load_encoder(str(folder))


def test_a_whisper_extractor_of_another_length_is_refused(tiny_copy):
    folder = tiny_copy("whisper")
    change_json(folder / "preprocessor_config.json", chunk_length=3, n_samples=48_000, nb_max_frames=300)
    with pytest.raises(LayersimError, match=r"makes 300 mel frames and the model reads 200"):
        load_encoder(str(folder))


def test_a_text_model_is_refused_before_its_weights_are_read(tmp_path):
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=20
    )
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"never read")
    with pytest.raises(
        LayersimError, match=r"a 'bert' model is not a speech encoder.*Known families: wav2vec2"
    ):
        load_encoder(str(tmp_path))


def test_a_model_type_that_needs_code_of_its_own_is_refused(tiny_copy):
    folder = tiny_copy("hubert-group")
    change_json(
        folder / "config.json", model_type="newspeech", auto_map={"AutoConfig": "configuration_new.Config"}
    )
    with pytest.raises(LayersimError, match=r"Code that comes with a checkpoint is not run"):
        load_encoder(str(folder))


def test_blocks_at_another_rate_than_the_convolutions_are_refused(tiny):
    with pytest.raises(LayersimError, match=r"layer 0 has 24 frames where its convolutions give 49"):
        load_encoder(str(tiny("sew")))


def test_a_stack_that_a_family_lacks_is_refused(tiny):
    with pytest.raises(
        LayersimError, match=r"stack 'both' was asked for, and a 'hubert' model has no decoder"
    ):
        load_encoder(str(tiny("hubert-group")), stack="both")


@pytest.mark.parametrize(("argument", "value"), [("precision", "fp8"), ("stack", "middle")])
def test_unknown_words_are_the_callers_error(argument, value, tiny):
    with pytest.raises(ValueError, match=rf"{argument}: expected one of .* got '{value}'"):
        load_encoder(str(tiny("hubert-group")), **{argument: value})


@pytest.mark.parametrize("device", ["tpu", "mps", "not a device"])
def test_an_unknown_device_is_refused(device, tiny):
    with pytest.raises(LayersimError, match=rf"device '{device}': not known here. Use cpu, cuda"):
        load_encoder(str(tiny("hubert-group")), device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_refused(tiny):
    with pytest.raises(LayersimError, match=r"device 'cuda': torch .* sees 0 CUDA devices"):
        load_encoder(str(tiny("hubert-group")), device="cuda")


BROKEN = "raise OSError('libcudart.so.13: cannot open shared object file')"


def test_a_broken_torchaudio_is_recognised_before_transformers_is_imported(tmp_path):
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text(BROKEN)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from layersim.encoders.load import load_encoder\n"
        "from layersim.errors import LayersimError\n"
        "try: load_encoder('any/thing')\n"
        "except LayersimError as error: print(error)\n"
        "print([name for name in ('transformers', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    message, imported = done.stdout.splitlines()
    assert "is installed and cannot load beside torch" in message
    assert "OSError: libcudart.so.13: cannot open" in message
    assert "pip uninstall torchaudio" in message
    assert imported == "[]"


def test_a_torchaudio_that_loads_is_let_be(tmp_path, monkeypatch):
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    refuse_broken_torchaudio()
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
