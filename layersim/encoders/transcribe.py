"""Write down speech with a Whisper checkpoint, for utterances whose text nobody knows.

Greedy decoding without timestamps, in the language that is given: the same recording gives the same text. A
model always writes something, also for noise, and what it wrote is no more than a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from layersim.alignment.pronunciation.languages import find_language
from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.checkpoint import Checkpoint, find_checkpoint
from layersim.encoders.load import (
    find_device,
    first_line,
    quiet,
    refuse_broken_torchaudio,
    refuse_wrong_weights,
)
from layersim.errors import LayersimError

if TYPE_CHECKING:
    import torch

Wave = npt.NDArray[np.float32]

# espeak-ng's names of languages where Whisper has another.
_WHISPER_CODES = {"cmn": "zh", "nb": "no"}
_PAUSE = SAMPLE_RATE // 20  # 50 ms: what counts as quiet when a long recording is cut


def load_transcriber(checkpoint: str, device: str = "auto") -> WhisperTranscriber:
    """Load a Whisper checkpoint that writes texts.

    Parameters
    ----------
    checkpoint : str
        A folder with ``config.json``, ``preprocessor_config.json``, ``tokenizer.json`` and safetensors
        weights; or a hub id, ``owner/name`` or ``owner/name@revision``.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    LayersimError
        If the checkpoint cannot be found or read, is no Whisper, or lacks weights or its tokenizer; if an
        installed torchaudio is broken; if the device is not there.
    """
    refuse_broken_torchaudio()
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer, WhisperForConditionalGeneration

    place = find_device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    source = find_checkpoint(checkpoint)
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    folder = str(source.folder)
    with quiet():
        try:
            config = AutoConfig.from_pretrained(folder, **local)
            if config.model_type != "whisper":
                raise LayersimError(
                    f"{source.name}: is {config.model_type!r}, which writes no text. Take a Whisper "
                    "checkpoint, for example openai/whisper-small."
                )
            if not any((source.folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
                raise LayersimError(
                    f"{source.name}: has no tokenizer.json, and what the model says cannot be read. Put the "
                    "one that belongs to it beside config.json."
                )
            extractor = AutoFeatureExtractor.from_pretrained(folder, **local)
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            model, info = WhisperForConditionalGeneration.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **local,
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise LayersimError(
                f"{source.name}: cannot be loaded to write texts: {first_line(error)} It needs config.json, "
                "preprocessor_config.json, tokenizer.json and weights of one checkpoint."
            ) from error
    refuse_wrong_weights(source.name, model, info)
    model.eval().requires_grad_(False).to(place)
    return WhisperTranscriber(source, model, extractor, tokenizer)


class WhisperTranscriber:
    """A Whisper checkpoint that writes texts, see `load_transcriber`."""

    def __init__(self, source: Checkpoint, model: Any, extractor: Any, tokenizer: Any) -> None:
        self.name = f"{source.name} {source.weights_sha256[:12]}"
        self._checkpoint = source.name
        self._model = model
        self._extractor = extractor
        self._tokenizer = tokenizer
        self._vocabulary: dict[str, int] = tokenizer.get_vocab()
        missing = [name for name in ("<|transcribe|>", "<|notimestamps|>") if name not in self._vocabulary]
        if missing:
            raise LayersimError(
                f"{source.name}: its tokenizer lacks {' and '.join(missing)}. Take the tokenizer.json that "
                "belongs to the checkpoint."
            )

    def transcribe(self, waves: Sequence[Wave], languages: Sequence[str]) -> list[str]:
        """Write down recordings.

        Parameters
        ----------
        waves : sequence of ndarray, float32, mono, 16 kHz
            Longer ones than the model's window (30 s) are cut where they are quietest.
        languages : sequence of str
            As in manifests: ``en``, ``de-AT``, ``zh``, ...

        Raises
        ------
        LayersimError
            If the model does not know a language.
        """
        prompts = [self._prompt(language) for language in languages]
        pieces = [cut_at_pauses(wave, self._extractor.n_samples) for wave in waves]
        owners = [row for row, parts in enumerate(pieces) for _ in parts]
        said = self._write([part for parts in pieces for part in parts], [prompts[row] for row in owners])
        texts: list[list[str]] = [[] for _ in waves]
        for row, text in zip(owners, said, strict=True):
            texts[row].append(text.strip())
        return [" ".join(filter(None, parts)) for parts in texts]

    def _prompt(self, language: str) -> list[int]:
        start = int(self._model.config.decoder_start_token_id)
        plain = self._vocabulary["<|notimestamps|>"]
        base = find_language(language).voice.partition("-")[0]
        code = _WHISPER_CODES.get(base, base)
        multilingual = getattr(self._model.generation_config, "is_multilingual", True)
        if not multilingual and code == "en":
            return [start, plain]
        if not multilingual or f"<|{code}|>" not in self._vocabulary:
            raise LayersimError(
                f"{self._checkpoint}: does not know the language {language!r} ({code}). Take a multilingual "
                "Whisper checkpoint that does, or write these texts into the manifest."
            )
        return [start, self._vocabulary[f"<|{code}|>"], self._vocabulary["<|transcribe|>"], plain]

    def _write(self, waves: Sequence[Wave], prompts: Sequence[list[int]]) -> list[str]:
        import torch
        from transformers import GenerationConfig, GenerationMixin

        if len({len(prompt) for prompt in prompts}) > 1:
            raise ValueError("prompts: expected one length")
        mel = self._extractor(list(waves), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
        device: torch.device = self._model.device
        own = self._model.generation_config
        last = self._vocabulary["<|notimestamps|>"]
        timestamps = range(last + 1, self._model.config.vocab_size)  # all that stand behind
        generation = GenerationConfig(
            do_sample=False,
            num_beams=1,
            # half of the decoder's positions, as in OpenAI's own decoding
            max_new_tokens=self._model.config.max_target_positions // 2,
            decoder_start_token_id=self._model.config.decoder_start_token_id,
            bos_token_id=own.bos_token_id,
            eos_token_id=own.eos_token_id,
            pad_token_id=own.pad_token_id if own.pad_token_id is not None else own.eos_token_id,
            suppress_tokens=sorted({*(own.suppress_tokens or ()), *timestamps}),
            begin_suppress_tokens=own.begin_suppress_tokens,
        )
        with quiet(), torch.inference_mode():
            # The plain loop of transformers: Whisper's own wants tables in generation_config.json that not
            # every checkpoint has, and differs between transformers 4 and 5.
            ids = GenerationMixin.generate(
                self._model, mel.to(device), generation_config=generation,
                decoder_input_ids=torch.tensor(list(prompts), device=device),
            )  # fmt: skip
        return list(self._tokenizer.batch_decode(ids, skip_special_tokens=True))


def cut_at_pauses(wave: Wave, longest: int) -> list[Wave]:
    """Cut a recording into pieces of at most ``longest`` samples, at the quietest 50 ms of each last fifth.

    >>> wave = np.ones(100_000, dtype=np.float32)
    >>> wave[44_800:45_600] = 0
    >>> [len(piece) for piece in cut_at_pauses(wave, 50_000)]
    [45200, 40400, 14400]
    """
    pieces = []
    while len(wave) > longest:
        first = longest - longest // 5
        blocks = wave[first : first + (longest - first) // _PAUSE * _PAUSE].reshape(-1, _PAUSE)
        place = first + int(np.argmin((blocks**2).sum(axis=1))) * _PAUSE + _PAUSE // 2
        pieces.append(wave[:place])
        wave = wave[place:]
    return [*pieces, wave]
