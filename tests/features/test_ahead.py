"""What is decoded ahead and written behind the encoder's back."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import soundfile
import torch
from joblib import Parallel, delayed

from layersim.errors import AudioError, ClaimedError, LayersimError
from layersim.features import ahead, maker, shard_writer
from layersim.features.ahead import BackgroundWriting, Decoders
from layersim.features.decoding import Clip, Decoding


def clips(*seconds: float) -> list[Clip]:
    return [Clip(f"{n:g}", Path(f"{n:g}.wav"), None, None, round(16_000 * n)) for n in seconds]


@pytest.mark.parametrize("at_once", [1, 2])
def test_what_was_begun_is_not_done_twice_and_what_was_not_asked_for_is_forgotten(at_once):
    calls = []

    def note(piece):
        calls.extend(clip.samples // 16_000 for clip in piece)
        return [10 * clip.samples // 16_000 for clip in piece]

    def results(pieces):
        return [value for piece in pieces for value in piece.result()]

    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        decoders = Decoders(pool, at_once)
        decoders.begin(note, clips(1, 2, 3))
        assert results(decoders.submit(note, clips(1, 2, 3))) == [10, 20, 30]
        assert sorted(calls) == [1, 2, 3]
        assert results(decoders.submit(note, clips(1, 2))) == [10, 20]  # taken once, so now it is done again
        assert calls.count(1) == 2

        held = pool.submit(gate.wait)  # the one thread is busy: nothing begun gets its turn
        decoders.begin(note, clips(7))
        decoders.begin(note, clips(8))  # while the shard of 7 is computed
        decoders.begin(note, clips(9))  # and while that of 8 is
        gate.set()
        assert held.result()
        assert results(decoders.submit(note, clips(8))) == [80]
        pool.submit(gate.clear).result()
        held = pool.submit(gate.wait)
        decoders.begin(note, clips(11))
        decoders.end()
        gate.set()
    assert calls.count(7) == calls.count(11) == 0


def test_an_error_of_what_was_begun_comes_where_it_is_asked_for():
    def fail(piece):
        raise OSError(f"{piece[0].path} is broken")

    with ThreadPoolExecutor(1) as pool:
        decoders = Decoders(pool, 1)
        decoders.begin(fail, clips(1))
        with pytest.raises(OSError, match=r"1\.wav is broken"):
            decoders.submit(fail, clips(1))[0].result()


@pytest.fixture
def in_processes(monkeypatch):
    """Decode as for a GPU: in other processes."""
    for_a_gpu = ahead.decoders_for

    def pretend(encoder, one_at_a_time):
        return for_a_gpu(SimpleNamespace(device=torch.device("cuda")), one_at_a_time)

    monkeypatch.setattr(maker, "decoders_for", pretend)


@pytest.mark.parametrize("scales", [False, True])
def test_processes_decode_to_the_same_bytes_as_threads(
    tmp_path, make_corpus, small, monkeypatch, request, scales
):
    scaling = small.SmallEncoder()
    scaling.scales = scales
    monkeypatch.setattr(small.SmallEncoder, "__init__", lambda self: vars(self).update(vars(scaling)))
    threads, processes = make_corpus(tmp_path / "threads"), make_corpus(tmp_path / "processes")
    small.extract_small(threads.folder)
    request.getfixturevalue("in_processes")
    small.extract_small(processes.folder, batch_seconds=2)
    for file in sorted((threads.folder / "cache").glob("part-*")):
        assert (processes.folder / "cache" / file.name).read_bytes() == file.read_bytes()


def test_a_recording_that_cannot_be_decoded_is_named_from_another_process(corpus, small, in_processes):
    broken = corpus.folder / corpus.manifest["path"][4]
    size = len(soundfile.read(broken)[0])
    soundfile.write(broken, np.zeros(size), 16_000)
    with pytest.raises(AudioError, match=r"u04\.wav: every sample is zero"):
        small.extract_small(corpus.folder)


def test_a_decoding_process_that_is_killed_ends_the_run_and_the_next_goes_on(
    corpus, small, in_processes, monkeypatch
):
    def kill(label, done, total):
        if label.startswith("extracting") and done > 0.6:
            for worker in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):  # one that is ending
                    if "popen_loky_posix" in " ".join(worker.cmdline()):
                        worker.kill()

    with pytest.raises(LayersimError, match="decodes recordings was ended from outside"):
        small.extract_small(corpus.folder, kill)
    small.extract_small(corpus.folder)
    assert len(list((corpus.folder / "cache").glob("part-*.h5"))) == 4


def test_joblib_keeps_its_own_processes_beside_those_that_decode():
    piece = clips(1.0)
    (first,) = Decoders(ahead.decoding_processes(), 8).submit(Decoding(scales=False), piece)
    assert Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(3)) == [0, 1, 2]
    (second,) = Decoders(ahead.decoding_processes(), 8).submit(Decoding(scales=False), piece)
    for future in (first, second):
        (fault,) = future.result()
        assert "1.wav: no such file" in str(fault)


def test_decoding_processes_end_with_the_one_that_started_them_however_it_ends():
    work = (
        "import os, time; from layersim.features.ahead import decoding_processes; "
        "print(decoding_processes().submit(os.getpid).result(), flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", work],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    worker = psutil.Process(int(starter.stdout.readline()))
    assert worker.is_running()
    starter.kill()
    starter.communicate()
    _, alive = psutil.wait_procs([worker], timeout=20)
    assert not alive


class Writer:
    """Stands for a shard's writer; finishes when it is let."""

    def __init__(self, log, name, error=None):
        self.log, self.name, self.error, self.gate = log, name, error, threading.Event()

    def finish(self, rows):
        self.gate.wait(10)
        if self.error:
            raise self.error
        self.log.append(f"{self.name} written")

    @contextmanager
    def claimed(self):
        try:
            yield self
        finally:
            self.log.append(f"{self.name} left")


def give(writing, writer):
    with ExitStack() as claim:
        claim.enter_context(writer.claimed())
        writing.finish(claim, writer, lambda: None)


def test_the_next_shard_is_begun_while_one_is_written_and_the_one_after_waits():
    log = []
    first, second = Writer(log, "first"), Writer(log, "second")
    with BackgroundWriting() as writing:
        give(writing, first)
        log.append("computing second")  # the first has not been let yet
        first.gate.set()
        give(writing, second)
        assert log == ["computing second", "first written", "first left"]
        second.gate.set()
    assert log[3:] == ["second written", "second left"]


def test_an_error_of_writing_stops_the_run_at_the_next_shard_and_gives_up_both_claims():
    log = []
    first, second = Writer(log, "first", OSError("disk full")), Writer(log, "second")
    first.gate.set()
    with pytest.raises(OSError, match="disk full"), BackgroundWriting() as writing:  # noqa: PT012
        give(writing, first)
        give(writing, second)
    assert log == ["first left", "second left"]


def test_an_error_of_writing_the_last_shard_is_not_lost():
    only = Writer([], "only", OSError("disk full"))
    only.gate.set()
    with pytest.raises(OSError, match="disk full"), BackgroundWriting() as writing:
        give(writing, only)


def test_an_error_of_computing_keeps_what_was_being_written():
    log = []
    first = Writer(log, "first")
    with pytest.raises(ValueError, match="of computing"), BackgroundWriting() as writing:  # noqa: PT012
        give(writing, first)
        first.gate.set()
        raise ValueError("of computing")
    assert log == ["first written", "first left"]


def test_a_full_disk_while_a_shard_is_written_stops_the_extraction_and_leaves_whole_shards(
    corpus, small, monkeypatch
):
    finish = shard_writer.ShardWriter.finish
    finished = []

    def full(self, rows):
        if finished:
            raise OSError(28, "No space left on device")
        finish(self, rows)
        finished.append(rows)

    monkeypatch.setattr(shard_writer.ShardWriter, "finish", full)
    with pytest.raises(OSError, match="No space left"):
        small.extract_small(corpus.folder)
    assert [file.name for file in (corpus.folder / "cache").iterdir()] == ["part-00000.h5"]


def test_every_recording_is_decoded_once_though_shards_are_begun_early(corpus, small, monkeypatch):
    from layersim.features import decoding

    read, paths = decoding.read_audio, []

    def counted(path, start, end):
        paths.append(path.name)
        return read(path, start, end)

    monkeypatch.setattr(decoding, "read_audio", counted)
    small.extract_small(corpus.folder, batch_seconds=0.5)
    assert sorted(paths) == sorted(f"u{number:02d}.wav" for number in range(11))


def test_a_shard_that_another_process_took_over_meanwhile_is_there_in_the_end(
    corpus, small, monkeypatch, caplog
):
    """The late refusal is about the shard before, and no reason to leave the one that is computed."""
    finish, refused = shard_writer.ShardWriter.finish, []

    def late(self, rows):
        if not refused:
            refused.append(rows)
            raise ClaimedError("part-00000.h5: another process has taken it over.")
        finish(self, rows)

    monkeypatch.setattr(shard_writer.ShardWriter, "finish", late)
    small.extract_small(corpus.folder)
    names = [file.name for file in sorted((corpus.folder / "cache").glob("part-*"))]
    assert names == [f"part-{index:05d}.h5" for index in range(4)]
    assert "another process has taken it over" in caplog.text
