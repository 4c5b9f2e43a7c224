"""Translates a process's share of a source into its journal, and waits for the other processes.

A share is every ``world``-th window of rows. Windows and the batches in them depend on the source
and the settings alone, so any number of processes, stopped and started any number of times, makes
the same batches and with them the same translations.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from st_hybrid.translation.codes import TranslationError
from st_hybrid.translation.journal import Done, JournalWriter, read_done
from st_hybrid.translation.planning import PlannedPiece, plan_batches, plan_pieces
from st_hybrid.translation.sources import Field, Source
from st_hybrid.translation.work import Processes, Work

if TYPE_CHECKING:
    from st_hybrid.translation.codes import Direction
    from st_hybrid.translation.translator import Translator

__all__ = ["await_others", "count_missing", "translate_share", "window_rows"]

_GRACE_SECONDS: Final = 120.0  # within which all processes of a run have begun
_WINDOWS: Final = 32  # at least, where rows allow: so many processes share evenly
_FEWEST_ROWS: Final = 64
_MOST_ROWS: Final = 4096


@dataclass(frozen=True)
class _Share:
    """What this process has to do in one column and target language."""

    field: Field
    language: str
    wanted: NDArray[np.bool_]  # rows to translate, done or not
    done: Done
    windows: tuple[slice, ...]  # of rows, those in which a row lacks

    def rows(self, window: slice) -> NDArray[np.int64]:
        """The rows of a window that are to be translated, those already done too."""
        return np.flatnonzero(self.wanted[window]) + int(window.start)


def window_rows(rows: int) -> int:
    """How many rows of a column are sorted by length together.

    Args:
        rows: Rows of the column.

    Returns:
        A thirty-second of the rows, in 64..4096.
    """
    return min(_MOST_ROWS, max(_FEWEST_ROWS, rows // _WINDOWS))


def translate_share(
    translator: Translator,
    source: Source,
    languages: Sequence[str],
    work: Work,
    processes: Processes,
    batch_tokens: int,
) -> None:
    """Translate what this process has to and the journal lacks.

    Args:
        translator: The model.
        source: The texts.
        languages: Codes of the target languages, one after the other.
        work: Where the journals lie.
        processes: Which share is this process's.
        batch_tokens: The most tokens of a batch.

    Raises:
        TranslationError: If the model lacks a language or memory.
    """
    shares = list(_shares(source, languages, work, processes))
    total = sum(
        int(share.field.characters[window][share.wanted[window]].sum())
        for share in shares
        for window in share.windows
    )
    # One bar, of the first process: all have shares of like size.
    hidden = True if processes.rank else None
    with tqdm(total=total, unit="char", unit_scale=True, disable=hidden) as progress:
        for share in shares:
            progress.set_description(f"{source.language} -> {share.language}")
            direction = translator.direction(source.language, share.language)
            folder = work.journal(share.language, share.field.name)
            with JournalWriter(folder, processes.rank) as journal:
                for window in share.windows:
                    for characters in _translate_window(
                        translator, direction, share, share.rows(window), journal, batch_tokens
                    ):
                        progress.update(characters)


def await_others(
    source: Source, languages: Sequence[str], work: Work, processes: Processes
) -> None:
    """Wait until the other processes have done their shares.

    Args:
        source: The texts.
        languages: Codes of the target languages.
        work: Where the journals lie.
        processes: How many processes there are; this is the first.

    Raises:
        TranslationError: If another process ended before its share was done.
    """
    begun, pause = time.monotonic(), 0.1
    seen: set[int] = set()
    while True:
        alive = {rank for rank in range(1, processes.world) if work.is_held(rank)}
        seen |= alive
        if not alive:
            missing = count_missing(source, languages, work)
            if not missing:
                return
            late = time.monotonic() - begun > _GRACE_SECONDS
            if late or len(seen) == processes.world - 1:
                raise TranslationError(
                    f"{missing} translations lack: another of the {processes.world} processes "
                    "ended before its share was done. Nothing is lost; run the same command again"
                )
        time.sleep(pause)
        pause = min(2.0, 1.5 * pause)


def count_missing(source: Source, languages: Sequence[str], work: Work) -> int:
    """Count what is not translated yet.

    Args:
        source: The texts.
        languages: Codes of the target languages.
        work: Where the journals lie.

    Returns:
        Texts that lack, of all columns and languages together.
    """
    missing = 0
    for language in languages:
        for field in source.fields:
            done = read_done(work.journal(language, field.name), len(field.ids))
            missing += int((field.wanted(language) & ~done.rows).sum())
    return missing


def _shares(
    source: Source, languages: Sequence[str], work: Work, processes: Processes
) -> Iterator[_Share]:
    number = 0  # of the window among all columns and languages: dealt to the processes in turn
    for language in languages:
        for field in source.fields:
            rows = len(field.ids)
            done = read_done(work.journal(language, field.name), rows)
            wanted = field.wanted(language)
            size = window_rows(rows)
            windows = []
            for first in range(0, rows, size):
                window = slice(first, first + size)
                # A window that was begun is planned whole: its batches stay as they were.
                if number % processes.world == processes.rank and (
                    (wanted[window] & ~done.rows[window]).any()
                ):
                    windows.append(window)
                number += 1
            yield _Share(field, language, wanted, done, tuple(windows))


def _translate_window(
    translator: Translator,
    direction: Direction,
    share: _Share,
    rows: NDArray[np.int64],
    journal: JournalWriter,
    batch_tokens: int,
) -> Iterator[float]:
    """Translate a window batch by batch; yields how many characters of the source are done."""
    pieces = plan_pieces(
        rows.tolist(),
        share.field.texts.take(rows).to_pylist(),
        lambda parts: translator.encode(parts, direction),
        translator.decoding.piece_tokens(translator.limit),
        direction.source,
        direction.target,
        single_sentences=translator.decoding.single_sentences,
    )
    lengths = share.field.characters
    for batch in plan_batches(pieces, batch_tokens, translator.decoding.beams):
        lacking: list[PlannedPiece] = [piece for piece in batch if not share.done.has(piece)]
        if lacking:
            made = translator.generate([piece.ids for piece in lacking], direction)
            journal.add(lacking, made)
        yield sum(lengths[piece.row] / piece.of for piece in batch)
