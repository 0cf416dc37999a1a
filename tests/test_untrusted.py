"""Nothing that comes from elsewhere (checkpoints, caches, models, manifests) may run code or lead astray.

The sources are read, not run: a call that unpickles would do no harm in a test and all of it at a user's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "layersim").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])

UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle"}
RUNNERS = {"eval", "exec", "__import__"}  # of Python itself; what has such a name elsewhere is another thing

PROCESSES = {  # they unpickle what the processes that they started themselves send, and nothing else
    "joblib.Parallel", "joblib.delayed", "joblib.externals.loky.cpu_count",
    "joblib.externals.loky.ProcessPoolExecutor",
}  # fmt: skip


def faults(source: str) -> Iterator[str]:
    """Say what in a source could run what it loads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = []
        for name in names:
            if name.split(".")[0] in UNPICKLERS:
                yield f"line {node.lineno}: imports {name}"
            if name.split(".")[0] == "joblib" and name not in PROCESSES:
                yield f"line {node.lineno}: {name}: joblib loads by unpickling"
        if isinstance(node, ast.Call):
            yield from call_faults(node)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if (
                    isinstance(key, ast.Constant)
                    and key.value == "trust_remote_code"
                    and not is_just(value, False)
                ):
                    yield f"line {node.lineno}: trust_remote_code"


def call_faults(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in RUNNERS or last in ("read_pickle", "to_pickle"):
        yield f"line {call.lineno}: {name}()"
    if name in ("torch.load", "load_state_dict_from_url") and not is_just(given.get("weights_only"), True):
        yield f"line {call.lineno}: {name}() without weights_only=True"
    if "hub.load" in name or last == "load_state_dict_from_url":
        yield f"line {call.lineno}: {name}()"
    if "allow_pickle" in given and not is_just(given["allow_pickle"], False):
        yield f"line {call.lineno}: allow_pickle"
    if "trust_remote_code" in given and not is_just(given["trust_remote_code"], False):
        yield f"line {call.lineno}: trust_remote_code"
    model = re.search(r"(AutoModel\w*|For\w+|\w*Model)\.from_pretrained$", name)
    if model and not is_just(given.get("use_safetensors"), True):
        yield f"line {call.lineno}: {name}() without use_safetensors=True"


def is_just(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_no_source_can_run_what_it_loads():
    assert len(SOURCES) > 100
    found = [
        f"{file.relative_to(ROOT)}: {fault}" for file in SOURCES for fault in faults(file.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from cloudpickle import loads",
        "import joblib",
        "from joblib import load",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "torch.load(file, weights_only=flag)",
        "torch.hub.load('owner/name', 'model')",
        "numpy.load(file, allow_pickle=True)",
        "pd.read_pickle(file)",
        "AutoConfig.from_pretrained(folder, trust_remote_code=True)",
        "local = {'trust_remote_code': flag}",
        "AutoModel.from_pretrained(folder)",
        "WhisperForConditionalGeneration.from_pretrained(folder, use_safetensors=False)",
        "eval(text)",
    ],
)
def test_the_scan_sees_what_it_is_for(line):
    assert len(list(faults(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "from joblib import Parallel, delayed",
        "from joblib.externals.loky import ProcessPoolExecutor, cpu_count",
        "torch.load(file, map_location='cpu', weights_only=True)",
        "model.eval()",
        "AutoModel.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)",
        "AutoTokenizer.from_pretrained(folder)",
    ],
)
def test_the_scan_lets_the_rest_be(line):
    assert list(faults(line)) == []


def test_manifest_paths_become_files_in_one_place():
    joins = {
        f"{file.relative_to(ROOT).as_posix()}: {ast.unparse(node)}"
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and "audio_root" in ast.unparse(node.left)
    }
    # The demonstration writes its own corpus there.
    assert joins == {
        "layersim/corpus/recordings.py: audio_root / path",
        "layersim/demo/corpus.py: audio_root / str(utterance.row['path'])",
    }


def test_pickled_weights_are_refused_with_a_command_that_converts_them(tmp_path):
    import transformers

    config = transformers.HubertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    folder = tmp_path / "tiny hubert"
    transformers.HubertModel(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(LayersimError, match=r"only pickle files \(pytorch_model\.bin\)") as caught:
        load_encoder(str(folder))
    command = re.search(r'python -c "(.+)"$', str(caught.value))
    assert command is not None
    exec(command[1], {})
    assert load_encoder(str(folder)).layers == ("0", "1")
