"""Checkpoints of a model hub, which no test may reach: what its client answers is stood in for."""

from __future__ import annotations

from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import errors

from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError


def test_a_hub_id_is_fetched_as_json_and_safetensors_only(tiny_copy, monkeypatch):
    folder = tiny_copy("wavlm-group")
    commit = folder.rename(folder.parent / "0123abc")
    asked = []

    def fetch(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(commit)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    encoder = load_encoder("someone/tiny-wavlm@v2")
    assert asked == [("someone/tiny-wavlm", "v2", ["*.json", "model.safetensors", "model-*.safetensors"])]
    assert (encoder.checkpoint, encoder.revision) == ("someone/tiny-wavlm", "0123abc")


def discussion(number, author, title="Adding `safetensors` variant of this model"):
    return SimpleNamespace(num=number, author=author, title=title, is_pull_request=True)


def test_the_hubs_own_conversion_stands_in_for_pickled_weights(tiny_copy, monkeypatch, tmp_path):
    converted = tiny_copy("wavlm-group")
    main = tmp_path / "main"
    main.mkdir()
    (main / "config.json").write_text((converted / "config.json").read_text())
    folders = {None: main, "refs/pr/4": converted}

    def fetch(_name, revision, **_rest):
        return folders[revision]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    offered = [
        discussion(2, "a stranger"),
        discussion(3, "SFconvertbot", "Hello"),
        discussion(4, "SFconvertbot"),
    ]
    monkeypatch.setattr(huggingface_hub.HfApi, "get_repo_discussions", lambda *_: iter(offered))
    encoder = load_encoder("someone/tiny-wavlm")
    assert encoder.notes == (
        "someone/tiny-wavlm: weights from the hub's safetensors conversion, someone/tiny-wavlm@refs/pr/4",
    )
    offered.pop()
    with pytest.raises(LayersimError, match=r"someone/tiny-wavlm: no model.safetensors, no weights"):
        load_encoder("someone/tiny-wavlm")


def failing(error):
    def fetch(*args, **named):
        raise error

    return fetch


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.LocalEntryNotFoundError("no"), r"the model hub is out of reach \(LocalEntryNotFoundError\)"),
        (ConnectionError("no"), r"not fetched before, and the model hub is out of reach \(ConnectionError\)"),
        (errors.HFValidationError("no"), "neither a folder here nor a checkpoint on the model hub"),
    ],
)
def test_what_the_hub_cannot_give_is_said(error, message, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", failing(error))
    with pytest.raises(LayersimError, match=rf"^someone/tiny: .*{message}"):
        load_encoder("someone/tiny")


def test_no_conversion_is_looked_for_without_the_hub(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: tmp_path)
    monkeypatch.setattr(huggingface_hub.HfApi, "get_repo_discussions", failing(ConnectionError("no")))
    with pytest.raises(LayersimError, match=r"name the revision: someone/tiny@refs/pr/NUMBER"):
        load_encoder("someone/tiny")
