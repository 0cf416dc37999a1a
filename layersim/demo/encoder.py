"""The demo's encoder: WavLM's architecture, tiny, with random weights. No download, and no knowledge.

It goes through exactly the code that a pretrained WavLM goes through, so it shows that the pipeline works and
what its outputs look like. Its layers are random projections of the sound: numbers made with it say nothing
about emotion, languages or layers of a trained model.
"""

from __future__ import annotations

from pathlib import Path

from layersim.workspace import write_text

NAME = "random-wavlm-tiny"  # the folder's name, which every output then carries
BLOCKS, WIDTH = 12, 64

README = f"""# {NAME}: random weights, not a trained model

WavLM's architecture ({BLOCKS} blocks, width {WIDTH}) with random weights from a fixed seed, made by
`layersim demo` so that the whole pipeline runs without a download. It was never trained on anything.
Results made with it show what layersim does; they are no finding about emotion, language or layers.
For research name a pretrained encoder, for example `microsoft/wavlm-base-plus` or `openai/whisper-base`.
"""


def make_encoder(folder: Path, seed: int = 0) -> Path:
    """Write the random encoder into ``folder / NAME`` as transformers saves models; return that folder.

    The front end is that of WavLM-large (25 ms windows every 20 ms, layer norm) with fewer channels: of the
    two that WavLM has, it keeps more of the voice when its weights are random. (A linear probe on mean and
    standard deviation, from one demo corpus to the other, each standardised by itself, three seeds and six
    layers: 34 to 48 % UAR, against 21 to 34 % with the group norm of WavLM-base; chance is 25 %.) The
    caller's random state is left as it was.

    >>> import tempfile
    >>> sorted(file.name for file in make_encoder(Path(tempfile.mkdtemp())).iterdir())
    ['README.md', 'config.json', 'model.safetensors', 'preprocessor_config.json']
    """
    import torch
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel
    from transformers.utils import logging as transformers_logging

    config = WavLMConfig(
        hidden_size=WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        conv_dim=(32,) * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        initializer_range=0.05,  # with WavLM's own 0.02 the blocks would hardly differ
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=4,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WavLMModel(config)
    target = folder / NAME
    bars_were_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # one file in no time: nothing to show
    try:
        model.save_pretrained(target)
    finally:
        if bars_were_on:
            transformers_logging.enable_progress_bar()
    Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=16_000,
        padding_value=0.0,
        do_normalize=False,
        return_attention_mask=True,
    ).save_pretrained(target)
    write_text(target / "README.md", README)
    return target
