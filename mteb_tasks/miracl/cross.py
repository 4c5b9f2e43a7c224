"""Queries in another language than the passages, machine-translated from those in their language.

For German passages there are, as subsets side by side:

* ``de-de``: the German queries as MIRACL has them;
* ``en-de``: these in English, as a translation system put them. The first language is the query's;
* ``de-en-de``: these, translated back to German. What they score below ``de-de`` is what
  translation costs; what ``en-de`` scores below ``de-en-de`` comes nearer to what the language
  costs.

Scores belong to one translation. Each subset's result carries ``query_sha256``, the SHA-256 of the
file of its queries, and under ``translation`` the model and its decoding: only scores with equal
digests can be compared. :mod:`mteb_tasks.miracl.provenance` keeps the others apart.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mteb_tasks.collection import Texts
from mteb_tasks.miracl.data import LANGUAGES, load_language
from mteb_tasks.miracl.provenance import guard_result_cache
from mteb_tasks.miracl.retrieval import MiraclRetrieval, Subset
from mteb_tasks.miracl.translations import (
    QUERIES_VARIABLE,
    MissingTranslationError,
    Translation,
    available,
    find_folder,
    load_translation,
    originals_path,
    translate_command,
    write_originals,
)

if TYPE_CHECKING:
    from typing import Self

    from mteb.timing import TimingStack

__all__ = ["MiraclCross"]

logger = logging.getLogger(__name__)

_KINDS: Final = {1: "original", 2: "translated", 3: "translated back"}


def _subsets() -> dict[str, Subset]:
    """All subsets, those with the same passages side by side, the original queries first."""
    found = {}
    for own in LANGUAGES:
        others = [language for language in LANGUAGES if language != own]
        found[f"{own}-{own}"] = Subset((own,), (own,))
        found |= {f"{other}-{own}": Subset((own, other), (own,)) for other in others}
        found |= {f"{own}-{other}-{own}": Subset((own, other, own), (own,)) for other in others}
    return found


class MiraclCross(MiraclRetrieval):
    """Abstract base of the tasks with translated queries.

    As long as some translations are there, the subsets that lack theirs are left out.
    """

    subsets = _subsets()

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- mteb's signature
        super().__init__(*args, **kwargs)
        guard_result_cache()
        self._translations: dict[str, Translation] = {}
        self._leave_out()

    def filter_languages(
        self,
        languages: Sequence[str] | None,
        script: Sequence[str] | None = None,
        hf_subsets: Sequence[str] | None = None,
        exclusive_language_filter: bool = False,
    ) -> Self:
        """Select subsets, as mteb does it.

        Args:
            languages: Languages to keep, in mteb's form.
            script: Scripts to keep.
            hf_subsets: Subsets to keep.
            exclusive_language_filter: Whether a subset must have no other language.

        Returns:
            The task.

        Raises:
            ValueError: If nothing is left.
        """
        super().filter_languages(languages, script, hf_subsets, exclusive_language_filter)
        self._leave_out()
        return self

    def load_data(
        self,
        num_proc: int | None = None,
        *,
        timer: TimingStack | None = None,
        **kwargs: Any,  # noqa: ANN401 -- mteb's signature
    ) -> None:
        """Fill ``self.dataset`` with the selected subsets that have their queries.

        Args:
            num_proc: Not needed; mteb's argument.
            timer: Records the time it takes.
            **kwargs: Not needed; mteb's argument.

        Raises:
            MissingTranslationError: If none of the selected translations is there, or one lacks a
                query; the message has the command that makes it.
            MissingFilesError: If files are neither here nor may they be downloaded.
            ChecksumError: If a file is not the one that is known.
            ValueError: If data is not as it should be.
        """
        left_out = self._leave_out()
        if left_out and not self.data_loaded:
            logger.warning(
                "%s: %d subsets are left out, since their queries are not in %s=%s; the first is "
                "%s: %s",
                *(self.metadata.name, len(left_out), QUERIES_VARIABLE, find_folder(), left_out[0]),
                self._command(left_out[0], find_folder()),
            )
        super().load_data(num_proc, timer=timer, **kwargs)

    def queries_of(self, subset: str, original: Texts) -> Texts:
        """The queries as a subset asks them.

        Args:
            subset: Its name.
            original: The queries as MIRACL has them, with its ids.

        Returns:
            The queries, translated where the subset says so.

        Raises:
            MissingTranslationError: If they are not there; the message has the command that makes
                them.
            ChecksumError: If a file is not the one that its sidecar is about.
            ValueError: If a file is malformed, or there is no sidecar.
        """
        way = self.subsets[subset].way
        if len(way) == 1:
            return original
        folder = find_folder()
        try:
            translation = load_translation(folder, way, original.ids)
        except MissingTranslationError as error:
            raise MissingTranslationError(
                f"{self.metadata.name} needs the {way[0]!r} queries of {self.hub.name} "
                f"{' -> '.join(way)} (subset {subset!r}), in the folder that {QUERIES_VARIABLE} "
                f"names (now {folder}): {error}. Make them with: {self._command(subset, folder)}"
            ) from error
        self._translations[subset] = translation
        return translation.queries

    def facts_of(self, subset: str) -> dict[str, Any]:
        """Which queries these are, and how they were translated.

        Args:
            subset: The subset's name.

        Returns:
            ``passage_language`` and ``queries`` (``"original"``, ``"translated"`` or ``"translated
            back"``); of translated ones ``query_sha256``, ``translation`` with file, SHA-256,
            model and decoding of each step, and ``n_empty_queries``, those translated to nothing;
            ``pivot_language`` of those translated back.
        """
        way = self.subsets[subset].way
        facts: dict[str, Any] = {"passage_language": way[0], "queries": _KINDS[len(way)]}
        if len(way) > 1:
            translation = self._translations[subset]
            facts["query_sha256"] = translation.legs[-1].sha256
            facts["translation"] = [dataclasses.asdict(leg) for leg in translation.legs]
            facts["n_empty_queries"] = translation.n_empty
        if len(way) > 2:
            facts["pivot_language"] = way[1]
        return facts

    def unload_data(self) -> None:
        """Let go of the datasets and the translations."""
        super().unload_data()
        self._translations = {}

    def _leave_out(self) -> list[str]:
        """Take the subsets without queries out of the selection, unless nothing were left.

        The number of subsets is in the hundreds, and nobody translates every language into every
        other. Only names of files are looked at: mteb makes every task that it lists.

        Returns:
            What was taken out.
        """
        try:
            ways = available(find_folder(download=False))
        except OSError:  # said again, and not caught, when the data is loaded
            return []
        absent = [
            x for x in self.hf_subsets if len(way := self.subsets[x].way) > 1 and way not in ways
        ]
        kept = [name for name in self.hf_subsets if name not in set(absent)]
        if not absent or all(len(self.subsets[name].way) == 1 for name in kept):
            return []
        self.hf_subsets = kept
        return absent

    def _command(self, subset: str, folder: Path) -> str:
        way = self.subsets[subset].way
        original = originals_path(way[0], self.hub.repository.rpartition("/")[2])
        write_originals(original, way[0], load_language(self.hub, way[0]).queries)
        steps = (
            [way]
            if (folder.joinpath(*way[:2]).with_suffix(".tsv")).is_file()
            else [way[: n + 1] for n in range(1, len(way))]
        )
        return " && ".join(translate_command(folder, original, step) for step in steps)
