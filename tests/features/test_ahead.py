"""What is decoded ahead and written behind the encoder's back."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager

import pytest

from layersim.errors import ClaimedError
from layersim.features import shards
from layersim.features.ahead import BackgroundWriting, Decoders


def test_what_was_begun_is_not_done_twice_and_what_was_not_asked_for_is_forgotten():
    calls = []

    def note(item):
        calls.append(item)
        return item * 10

    with Decoders(1) as decoders:
        decoders.begin(note, [1, 2])
        assert [decoders.submit(note, item).result() for item in (2, 3, 1)] == [20, 30, 10]
        assert sorted(calls) == [1, 2, 3]
        assert decoders.submit(note, 1).result() == 10  # taken once, so now it is done again
        assert calls.count(1) == 2

        gate = threading.Event()
        held = decoders.submit(gate.wait)  # the one thread is busy: nothing begun gets its turn
        decoders.begin(note, [7])
        decoders.begin(note, [8])  # while the shard of 7 is computed
        decoders.begin(note, [9])  # and while that of 8 is
        gate.set()
        assert held.result()
        assert decoders.submit(note, 8).result() == 80
    assert 7 not in calls


def test_an_error_of_what_was_begun_comes_where_it_is_asked_for():
    def fail(item):
        raise OSError(f"{item} is broken")

    with Decoders(1) as decoders:
        decoders.begin(fail, ["a.wav"])
        assert decoders.submit(len, "abc").result() == 3
        with pytest.raises(OSError, match=r"a\.wav is broken"):
            decoders.submit(fail, "a.wav").result()


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
    finish = shards.ShardWriter.finish
    finished = []

    def full(self, rows):
        if finished:
            raise OSError(28, "No space left on device")
        finish(self, rows)
        finished.append(rows)

    monkeypatch.setattr(shards.ShardWriter, "finish", full)
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
    finish, refused = shards.ShardWriter.finish, []

    def late(self, rows):
        if not refused:
            refused.append(rows)
            raise ClaimedError("part-00000.h5: another process has taken it over.")
        finish(self, rows)

    monkeypatch.setattr(shards.ShardWriter, "finish", late)
    small.extract_small(corpus.folder)
    names = [file.name for file in sorted((corpus.folder / "cache").glob("part-*"))]
    assert names == [f"part-{index:05d}.h5" for index in range(4)]
    assert "another process has taken it over" in caplog.text
