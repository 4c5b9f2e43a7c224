"""Machine translation of queries and passages, to make parallel data from one language.

Works with sequence-to-sequence models of transformers: NLLB-200, M2M-100, mBART-50, MADLAD-400,
OPUS-MT, and any other that is told what to do by words before the text. A translation can be
stopped at any time and goes on where it was; languages can be added later; under ``torchrun`` or
``accelerate launch`` the processes share the work.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from st_hybrid.languages import get_language
from st_hybrid.quality import QualityLimits
from st_hybrid.translation.assembly import ALL_MARKS, LanguageCounts, assemble, count_language
from st_hybrid.translation.codes import TranslationError
from st_hybrid.translation.decoding import Decoding
from st_hybrid.translation.files import file_digest, write_json
from st_hybrid.translation.loading import load_translator
from st_hybrid.translation.outputs import (
    beside,
    check_output,
    name_beside,
    remove_old_files,
    write_marks,
    write_output,
)
from st_hybrid.translation.sharing import await_others, count_missing, translate_share
from st_hybrid.translation.sources import Source, read_source
from st_hybrid.translation.translator import Translator
from st_hybrid.translation.work import Processes, Work, find_work, open_work

__all__ = [
    "ALL_MARKS",
    "Decoding",
    "LanguageCounts",
    "TranslationError",
    "TranslationReport",
    "Translator",
    "load_translator",
    "merge_translations",
    "translate",
]

_FORMAT: Final = 1  # of work folders; another one is not continued
_PACKAGES: Final = ("st-hybrid", "torch", "transformers", "tokenizers", "sentencepiece")


@dataclass(frozen=True, slots=True)
class TranslationReport:
    """What a translation wrote.

    Attributes:
        output: The output.
        files: Its files.
        sidecar: The JSON file that says what was translated, by which model and how.
        marks: The table of translations that the quality pass marked.
        languages: Counts of each target language.
    """

    output: Path
    files: tuple[Path, ...]
    sidecar: Path
    marks: Path
    languages: tuple[LanguageCounts, ...]

    def table(self) -> str:
        """The counts as a Markdown table."""
        header = ["language", "translated", "kept", "without text", *ALL_MARKS, "dropped"]
        lines = [header, ["---", *["---:"] * (len(header) - 1)]]
        for x in self.languages:
            counts = (x.translated, x.kept, x.without_text, *x.marked.values(), x.dropped)
            lines.append([x.language, *map(str, counts)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def translate(
    source: str | Path,
    output: str | Path,
    *,
    model: str | Path | Translator,
    to: Sequence[str],
    source_language: str | None = None,
    decoding: Decoding | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str = "auto",
    batch_tokens: int = 4096,
    limits: QualityLimits | None = None,
    drop_bad: bool = False,
    overwrite: bool = False,
) -> TranslationReport | None:
    """Translate a file or folder, or go on with it.

    Every finished batch is kept in ``<output>.work``: the same call goes on after any stop, and a
    call with more languages adds them. The output holds all languages that the work folder holds
    completely. Texts that a wide table has in a target language already are kept as they are.

    Args:
        source: What to translate, see :func:`st_hybrid.translation.sources.read_source`.
        output: A file of the source's kind for all languages (``.tsv``, ``.jsonl``, perhaps with
            ``.xz``), or a folder with a file, or BEIR folder, a language.
        model: A folder, a name of the hub, or a loaded model.
        to: Codes of the target languages.
        source_language: Code of the language to translate from; a wide table of one language needs
            none.
        decoding: How to ask the model; the defaults where not given. A loaded model has its own.
        revision: Commit, branch or tag of a model of the hub.
        device: Such as ``"cuda:1"``, see :func:`st_hybrid.translation.loading.load_translator`.
        dtype: Number type of the weights, likewise.
        batch_tokens: The most tokens of a batch: pieces times the longest of them times beams. May
            change from call to call.
        limits: From where on the quality pass marks a translation; may change likewise.
        drop_bad: Whether to leave marked translations out of the output; may change likewise.
        overwrite: Whether to replace what was begun under other settings.

    Returns:
        What was written; ``None`` in all processes but the first.

    Raises:
        FileNotFoundError: If there is no such source.
        TranslationError: If the model lacks a language, the output belongs to other settings or
            another run, or another process ended too early.
        ValueError: If a file is malformed, which names its line, or an argument is not allowed.
    """
    if batch_tokens < 1:
        raise ValueError(f"batch_tokens is {batch_tokens}: expected 1 or more")
    output = Path(output)
    read = read_source(source, source_language)
    targets = _targets(to, read)
    check_output(read, output)
    processes = Processes.of_environment()
    if isinstance(model, Translator):
        if decoding is not None:
            raise ValueError("decoding is given twice: a loaded model has its own")
        translator = model
    else:
        translator = load_translator(
            model, decoding=decoding, revision=revision, device=device, dtype=dtype
        )
    for code in targets:
        translator.direction(read.language, code)
    work = open_work(output, _settings(translator, read), overwrite=overwrite)
    with work.holding(processes.rank):
        work.note_run(processes.rank, _run(translator, processes, batch_tokens))
        translate_share(translator, read, targets, work, processes, batch_tokens)
        if processes.rank:
            return None
        await_others(read, targets, work, processes)
        return _finish(read, output, targets, work, limits or QualityLimits(), drop_bad=drop_bad)


def merge_translations(
    source: str | Path,
    output: str | Path,
    *,
    limits: QualityLimits | None = None,
    drop_bad: bool = False,
) -> TranslationReport:
    """Write the output from what is translated already, without a model.

    Args:
        source: What was translated.
        output: Where to; its work folder lies beside it.
        limits: From where on the quality pass marks a translation.
        drop_bad: Whether to leave marked translations out.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: If there is no such source.
        TranslationError: If the source changed since, or no language is complete.
        ValueError: If a file is malformed.
    """
    output = Path(output)
    work = find_work(output)
    read = read_source(source, work.settings["source"]["language"])
    check_output(read, output)
    if read.digest() != work.settings["source"]["content"]:
        raise TranslationError(
            f"{source} changed since it was translated into {output}: give the source of then"
        )
    with work.holding(0):
        return _finish(read, output, (), work, limits or QualityLimits(), drop_bad=drop_bad)


def _targets(to: Sequence[str], source: Source) -> tuple[str, ...]:
    codes = (to,) if isinstance(to, str) else tuple(dict.fromkeys(to))
    if not codes:
        raise ValueError("to is empty: give at least one language to translate to, such as 'de'")
    for code in codes:
        get_language(code)
    if source.language in codes:
        raise ValueError(
            f"to has {source.language!r}, the language that {source.path} is translated from"
        )
    return codes


def _settings(translator: Translator, source: Source) -> dict[str, Any]:
    """What decides the translations: a work folder is continued if all of it is the same."""
    return {
        "format": _FORMAT,
        "model": {
            "name": translator.name,
            "revision": translator.revision,
            "family": translator.family.name if translator.family else "other",
            "architecture": type(translator.model).__name__,
        },
        "decoding": {**dataclasses.asdict(translator.decoding), "dtype": translator.dtype},
        "source": {"language": source.language, "content": source.digest()},
    }


def _run(translator: Translator, processes: Processes, batch_tokens: int) -> dict[str, Any]:
    """With what a process translates; recorded, but free to change from call to call."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "device": translator.model.device.type,
        "processes": processes.world,
        "batch_tokens": batch_tokens,
    }


def _finish(
    source: Source,
    output: Path,
    targets: Sequence[str],
    work: Work,
    limits: QualityLimits,
    *,
    drop_bad: bool,
) -> TranslationReport:
    """Write the output, the marks and, last, the sidecar."""
    known = sorted({*targets, *work.languages()})
    languages = [x for x in known if x in targets or not count_missing(source, [x], work)]
    if not languages:
        raise TranslationError(
            f"none of the languages {', '.join(known)} is complete: run the translation again"
        )
    columns = {x: assemble(work, source, x, limits, drop_bad=drop_bad) for x in languages}
    sidecar, marks = beside(output, "translation.json"), beside(output, "marks.tsv")
    files = write_output(source, output, columns)
    remove_old_files(output, sidecar, files)
    write_marks(marks, columns)
    counts = tuple(count_language(x, fields) for x, fields in columns.items())
    about = {
        "machine_translated": True,
        "source": {
            "name": source.path.name,
            "files": dict(source.files),
            **work.settings["source"],
        },
        "model": work.settings["model"],
        "decoding": work.settings["decoding"],
        "runs": work.runs(),
        "quality": {**dataclasses.asdict(limits), "drop_bad": drop_bad},
        "languages": {x.language: _counts(x) for x in counts},
        "files": {name_beside(output, file): file_digest(file) for file in files},
    }
    write_json(sidecar, about)
    work.remove_others()
    return TranslationReport(output, tuple(files), sidecar, marks, counts)


def _counts(counts: LanguageCounts) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(counts).items() if key != "language"}
