"""Spoils files and has them read: whatever is in a file, the answer is its content or a LayersimError."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reading import ReaderProcess

EXAMPLES = 100  # of each strategy and reader; ``--hypothesis-profile long`` for more


def refuse_faults(
    process: ReaderProcess,
    reader: str,
    good: Iterable[bytes],
    spoilt: Iterable[bytes],
    strategy: st.SearchStrategy[bytes] | None,
    examples: int = EXAMPLES,
    library_failures: int = 0,
) -> list[str]:
    """Read good files, which must be read; then spoilt ones, those of a list and those of a strategy.

    Parameters
    ----------
    library_failures : int
        How often a library in C may hang or crash: what no reader of ours can mend is counted, not hidden.

    Returns
    -------
    list of str
        What became of the spoilt files.
    """
    folder = Path(process.folder.name)
    answers: list[str] = []
    broken: list[bytes] = []
    for number, data in enumerate(good):
        file = folder / f"{reader}-good-{number}"
        file.write_bytes(data)
        answer = (process.warm if not number else process.read)(reader, file)
        assert answer == "read", f"good file {number} of {reader}: {answer}"
    file = folder / reader

    def check(data: bytes) -> None:
        file.write_bytes(data)
        answer = process.read(reader, file)
        answers.append(answer)
        if answer.startswith(("fault: no answer", "fault: the process ended")):
            broken.append(data)
            assert len(broken) <= library_failures, f"{answer}\n{data[:2000]!r}"
        else:
            assert not answer.startswith("fault"), f"{answer}\n{data[:2000]!r}"

    for number, data in enumerate(spoilt):
        try:
            check(data)
        except AssertionError as error:
            raise AssertionError(f"spoilt file {number} of {reader}: {error}") from None
    if strategy is not None:
        _given(strategy, check, examples)
    return answers


def _given(strategy: st.SearchStrategy[bytes], check: Callable[[bytes], None], examples: int) -> None:
    wanted = examples if settings().max_examples == 100 else settings().max_examples

    @settings(
        max_examples=wanted,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(data: bytes) -> None:
        check(data)

    run()
