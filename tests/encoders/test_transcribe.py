"""Texts written by Whisper: the decoding against a plain loop, real speech where there are real weights."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from layersim.corpus.audio import read_audio
from layersim.encoders.transcribe import cut_at_pauses, load_transcriber
from layersim.errors import LayersimError

WORDS = ("the", "cat", "sat", "on", "mats")
END, START, ENGLISH, GERMAN, TRANSCRIBE, PLAIN = range(5, 11)  # then two timestamps
SPECIAL = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>")
VOCABULARY = (*WORDS, *SPECIAL, "<|0.00|>", "<|0.02|>")


def save_tokenizer(folder: Path, vocabulary: tuple[str, ...] = VOCABULARY) -> None:
    vocab = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[name for name in vocabulary if name.startswith("<|")],
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of two seconds with five words, whose weights are random."""
    folder = tmp_path_factory.mktemp("tiny") / "tiny-whisper"
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(3)
        config = transformers.WhisperConfig(
            d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=20,
            max_source_positions=100, max_target_positions=24, vocab_size=len(VOCABULARY),
            decoder_start_token_id=START, pad_token_id=END, bos_token_id=END, eos_token_id=END,
            suppress_tokens=None, begin_suppress_tokens=None, tie_word_embeddings=False,
        )  # fmt: skip
        model = transformers.WhisperForConditionalGeneration(config)
        for weights in model.parameters():  # far from what training starts with, so that sounds differ
            if weights.requires_grad:
                torch.nn.init.normal_(weights, std=0.6)
        torch.nn.init.normal_(model.model.decoder.embed_positions.weight, std=6)  # or one word goes on
        model.generation_config = transformers.GenerationConfig(
            decoder_start_token_id=START, bos_token_id=END, eos_token_id=END, pad_token_id=END,
            suppress_tokens=[START, ENGLISH, GERMAN, TRANSCRIBE, PLAIN], begin_suppress_tokens=[END],
        )  # fmt: skip
        model.save_pretrained(folder)
        transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(folder)
        save_tokenizer(folder)
    return folder


def greedy(folder: Path, wave: np.ndarray, language: int) -> str:
    """The same by a plain loop over the library's model."""
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder).eval()
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    mel = extractor(wave, sampling_rate=16_000, return_tensors="pt")["input_features"]
    ids = [START, language, TRANSCRIBE, PLAIN]
    while len(ids) < 4 + 24 // 2:
        with torch.no_grad():
            scores = model(mel, decoder_input_ids=torch.tensor([ids])).logits[0, -1]
        allowed = [*range(len(WORDS)), *([END] if len(ids) > 4 else [])]
        ids.append(max(allowed, key=lambda number: float(scores[number])))
        if ids[-1] == END:
            break
    return " ".join(WORDS[number] for number in ids[4:] if number < END)


def test_the_text_is_the_greedy_one_of_each_recording_in_its_language(writer, speech):
    waves = [speech(16_000, 1), speech(30_000, 2), speech(8_000, 5)]
    languages = ["en", "de-AT", "English"]
    found = load_transcriber(str(writer), "cpu").transcribe(waves, languages)
    wanted = [
        greedy(writer, wave, token) for wave, token in zip(waves, (ENGLISH, GERMAN, ENGLISH), strict=True)
    ]
    assert found == wanted
    assert len(set(found)) > 1  # or the test would say little


def test_a_recording_longer_than_the_window_is_written_piece_by_piece(writer, speech):
    wave = np.concatenate([speech(31_000, 1), np.zeros(2_000, dtype=np.float32), speech(20_000, 2)])
    pieces = cut_at_pauses(wave, 32_000)
    assert [len(piece) for piece in pieces] == [31_600, 21_400]  # 25,600 + 7 x 800 + 400: in the silence
    np.testing.assert_array_equal(np.concatenate(pieces), wave)
    transcriber = load_transcriber(str(writer), "cpu")
    assert transcriber.transcribe([wave], ["en"]) == [" ".join(transcriber.transcribe(pieces, ["en", "en"]))]


def test_the_name_tells_the_weights(writer):
    assert re.fullmatch(r"tiny-whisper [0-9a-f]{12}", load_transcriber(str(writer)).name)


def test_a_language_that_the_model_lacks_is_a_named_error(writer, speech):
    transcriber = load_transcriber(str(writer), "cpu")
    with pytest.raises(LayersimError, match=r"tiny-whisper: does not know the language 'zh' \(zh\)"):
        transcriber.transcribe([speech(16_000)], ["zh"])
    with pytest.raises(LayersimError, match="language 'klingonese': no pronunciations are known"):
        transcriber.transcribe([speech(16_000)], ["klingonese"])


def test_a_checkpoint_that_writes_no_text_or_is_not_whole_is_refused(
    tiny: Callable[[str], Path], writer: Path, tmp_path: Path
):
    with pytest.raises(LayersimError, match=r"is 'wavlm', which writes no text\. Take a Whisper checkpoint"):
        load_transcriber(str(tiny("wavlm-group")))
    with pytest.raises(LayersimError, match=r"whisper: has no tokenizer\.json"):
        load_transcriber(str(tiny("whisper")))  # has no tokenizer
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in writer.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    save_tokenizer(copy, tuple(name for name in VOCABULARY if name != "<|notimestamps|>"))
    with pytest.raises(LayersimError, match=r"copy: its tokenizer lacks <\|notimestamps\|>"):
        load_transcriber(str(copy))
    config = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, "decoder_layers": 3}), encoding="utf-8")
    with pytest.raises(LayersimError, match="weights are missing from the checkpoint and would be random"):
        load_transcriber(str(copy))


@pytest.mark.slow
def test_real_weights_write_what_is_said(shared):
    folder = shared / "data" / "ravdess" / "flac"
    files = sorted(folder.glob("03-01-01-01-0[12]-01-0[12].flac"))[:3]
    waves = [read_audio(file) for file in files]
    texts = load_transcriber(str(shared / "models" / "whisper-base"), "cpu").transcribe(waves, ["en"] * 3)
    said = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}  # of RAVDESS
    assert len(texts) == 3
    for file, text in zip(files, texts, strict=True):
        assert re.sub(r"[^a-z ]", "", text.casefold()) == said[file.stem.split("-")[4]]
