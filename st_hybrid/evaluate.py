"""Evaluate a model with mteb: a local folder, a hub name, a model of mteb's registry, an object.

mteb alone refuses a local folder. Here a folder gets a name and a revision of its own, and its
results go where mteb keeps all results, so that mteb and :mod:`st_hybrid.leaderboard` read them.
The revision is a digest of the folder's content: folders of one name never share a result, and a
model that was trained further is evaluated again instead of being served from the cache.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tqdm import tqdm

from st_hybrid.languages import get_language

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.cache import ResultCache
    from mteb.models import ModelMeta, SentenceTransformerEncoderWrapper
    from sentence_transformers import SentenceTransformer

__all__ = ["LOCAL_ORGANISATION", "evaluate", "folder_revision", "load_encoder", "select_tasks"]

logger = logging.getLogger(__name__)

LOCAL_ORGANISATION: Final = "local"
"""What stands before the slash in the name of a local model; mteb wants ``organisation/name``."""

_REVISION_LENGTH: Final = 40  # as long as a commit of the hub
_MODEL_FILES: Final = ("modules.json", "config.json")  # one of them is in every loadable folder

# What training and evaluation leave in a model's folder beside the model.
_OTHER_FOLDERS: Final = frozenset({"__pycache__", "eval", "results", "runs"})
_OTHER_FILES: Final = frozenset(
    {"README.md", "optimizer.pt", "scaler.pt", "scheduler.pt", "trainer_state.json"}
    | {"training_args.bin"}
)


def evaluate(
    model: str | Path | SentenceTransformer,
    tasks: Sequence[str | AbsTask],
    output: str | Path,
    *,
    name: str | None = None,
    batch_size: int = 32,
    languages: Sequence[str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Evaluate a model on tasks and write mteb's standard result files.

    The prompts that a model was saved with (``query``, ``document``) are used. Beside the results
    of st-hybrid's tasks stand the ranks behind them (:mod:`st_hybrid.rank_files`). Results that the
    output folder already holds for this model, name and revision, are not computed again, unless
    they are of another revision of the task's data: mteb would take them for results of these data.

    Args:
        model: A local folder, a name of the hub or of mteb's registry, or a loaded model. A string
            that names an existing folder is that folder.
        tasks: Names of mteb's, st-hybrid's or the demo's tasks, or task objects.
        output: The folder for results; they go to ``results/<model>/<revision>/<task>.json`` in it.
        name: What to call a local folder or a loaded model; by default ``local/`` and the folder's
            name, or ``local/unnamed``. Without a slash, ``local/`` is put before it.
        batch_size: Texts encoded at once.
        languages: Short codes: keep the subsets whose languages are all among them, and in the
            multi setting those whose query language is. ``None`` keeps all.
        overwrite: Compute all results anew, those already there too.

    Returns:
        The result files, one a task, in the order of ``tasks``.

    Raises:
        FileNotFoundError: If ``model`` looks like a path and there is no such folder.
        NotADirectoryError: If ``model`` or ``output`` is a file.
        ValueError: If the folder holds no model, or an argument's value is not allowed.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: expected 1 or more")
    output = Path(output).expanduser()
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"output: '{output}' is a file; give a folder for the results")
    selected = select_tasks(tasks, languages)

    import mteb
    from mteb.cache import ResultCache

    from mteb_tasks.rank_files import ranks_kept_in

    evaluated = _prepare_model(model, name)
    meta = evaluated.mteb_model_meta if hasattr(evaluated, "mteb_model_meta") else evaluated
    cache = ResultCache(output)
    at_terminal = sys.stderr.isatty()
    anew = [task for task in selected if overwrite or _is_of_other_data(cache, task, meta)]
    with _silent_datasets(not at_terminal), ranks_kept_in(output / "results"):
        for strategy, some in (
            ("always", anew),
            ("only-missing", [task for task in selected if task not in anew]),
        ):
            if not some:
                continue
            mteb.evaluate(
                evaluated,
                some,
                cache=cache,
                co2_tracker=False,
                encode_kwargs={"batch_size": batch_size, "show_progress_bar": at_terminal},
                overwrite_strategy=strategy,
                show_progress_bar=at_terminal,
            )
    return [cache.get_task_result_path(task.metadata.name, meta) for task in selected]


def _is_of_other_data(cache: ResultCache, task: AbsTask, meta: ModelMeta) -> bool:
    """Whether the folder holds a result of the task on another revision of its data."""
    found = cache.load_task_result(task.metadata.name, meta)
    stale = found is not None and found.dataset_revision != task.metadata.revision
    if stale:
        logger.info("%s: its data were revised; evaluated anew", task.metadata.name)
    return stale


def folder_revision(folder: str | Path) -> str:
    """Digest the content of a model's folder.

    Names and contents of its files count; what training leaves beside a model does not:
    checkpoints, optimizer state, logs, evaluation results, the model card and hidden files.

    Args:
        folder: The folder.

    Returns:
        The first 40 hexadecimal digits of a SHA-256: the same for the same model wherever it lies.

    Raises:
        OSError: If a file cannot be read.
    """
    folder = Path(folder)
    files = sorted((path.relative_to(folder).as_posix(), path) for path in _model_files(folder))
    total = hashlib.sha256()
    for relative, path in tqdm(files, desc="Reading the model", leave=False, disable=None):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{relative}\0{content}\n".encode())
    return total.hexdigest()[:_REVISION_LENGTH]


def _model_files(folder: Path) -> Iterator[Path]:
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = [
            x
            for x in subfolders
            if not x.startswith((".", "checkpoint-")) and x not in _OTHER_FOLDERS
        ]
        for file in files:
            # rng_state.pth, or one a process: rng_state_0.pth
            if not file.startswith((".", "rng_state")) and file not in _OTHER_FILES:
                yield Path(parent, file)


def _prepare_model(
    model: str | Path | SentenceTransformer, name: str | None
) -> ModelMeta | SentenceTransformerEncoderWrapper:
    """What ``mteb.evaluate`` is to be given, with metadata that tells this model from others."""
    if not isinstance(model, str | Path):
        with tempfile.TemporaryDirectory() as folder:  # so it is the revision of the saved model
            model.save(folder, create_model_card=False)
            revision = folder_revision(folder)
        return _wrap(model, _full_name(name or "unnamed"), revision)
    path = Path(model).expanduser()
    if not path.is_dir() and not _looks_like_path(model, path):
        return _named_model(str(model), name)
    _check_folder(path)
    own_name = _full_name(path.resolve().name if name is None else name)
    revision = folder_revision(path)
    return _with_card(_wrap(_load(path), own_name, revision), path)


def _looks_like_path(model: str | Path, path: Path) -> bool:
    if isinstance(model, Path) or path.exists() or path.is_absolute():
        return True
    # A name of the hub has one slash at most.
    return (
        model.startswith((".", "~")) or "\\" in model or model.endswith("/") or len(path.parts) > 2
    )


def _check_folder(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(
            f"model: there is no folder '{path}'. Give a folder that a model was saved to, "
            "or a name of the hub or of mteb's registry."
        )
    if not path.is_dir():
        raise NotADirectoryError(f"model: '{path}' is a file; give the folder of the model")
    if not any((path / file).is_file() for file in _MODEL_FILES):
        inside = sorted(x.parent.name for x in path.glob("*/modules.json"))
        hint = f"; its folder '{inside[-1]}' holds one" if inside else ""
        raise ValueError(
            f"model: the folder '{path}' holds no model, neither {' nor '.join(_MODEL_FILES)}"
            f"{hint}. Give a folder written by SentenceTransformer.save."
        )


def load_encoder(model: str | Path) -> tuple[SentenceTransformer, str]:
    """Load a model as :func:`evaluate` does, with its prompts, and tell its name.

    Args:
        model: A local folder, or a name of mteb's registry or of the hub.

    Returns:
        The model, and the folder's name or its name on the hub.

    Raises:
        FileNotFoundError: If ``model`` looks like a path and there is no such folder.
        ValueError: If there is no such model, or mteb runs it by code of its own.
    """
    path = Path(model).expanduser()
    if path.is_dir() or _looks_like_path(model, path):
        _check_folder(path)
        return _load(path), path.resolve().name
    from mteb.models import SentenceTransformerEncoderWrapper

    wrapper = _named_model(str(model), None).load_model()
    if type(wrapper) is not SentenceTransformerEncoderWrapper:
        raise ValueError(
            f"model: mteb runs {model!r} by {type(wrapper).__name__}, which takes no module more; "
            "give a model that it runs by sentence-transformers alone"
        )
    loaded = wrapper.model
    loaded.prompts = {**loaded.prompts, **(wrapper.model_prompts or {})}
    return loaded, str(model)


def _load(path: Path) -> SentenceTransformer:
    from st_hybrid.debias.saving import load_model

    try:
        return load_model(path)
    except Exception as error:  # a damaged folder fails in as many ways as there are file formats
        raise ValueError(
            f"model: the folder '{path}' cannot be loaded as a SentenceTransformer "
            f"({type(error).__name__}: {error}). Save the model again."
        ) from error


def _full_name(name: str) -> str:
    name = name.strip().strip("/")
    if not name:
        raise ValueError("name is empty: expected a name such as 'my-model' or 'my-team/my-model'")
    return name if "/" in name else f"{LOCAL_ORGANISATION}/{name}"


def _wrap(
    model: SentenceTransformer, name: str, revision: str
) -> SentenceTransformerEncoderWrapper:
    from mteb.models import SentenceTransformerEncoderWrapper

    with (
        _without_card_name(model),
        _errors_only("mteb.models.model_meta"),
        warnings.catch_warnings(),
    ):
        # mteb still calls the host by names that it has replaced.
        warnings.simplefilter("ignore", FutureWarning)
        wrapper = SentenceTransformerEncoderWrapper(model)
    known: dict[str, str | int | None] = {
        "name": name,
        "revision": revision,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    if wrapper.mteb_model_meta.max_tokens == math.inf:  # static models; strict JSON has no infinity
        known["max_tokens"] = None
    wrapper.mteb_model_meta = wrapper.mteb_model_meta.model_copy(update=known)
    return wrapper


def _with_card(
    wrapper: SentenceTransformerEncoderWrapper, folder: Path
) -> SentenceTransformerEncoderWrapper:
    """Say in the metadata what the model card says of training: whether a test set is new."""
    from st_hybrid.robustness.model_cards import card_of_folder

    card, meta = card_of_folder(folder), wrapper.mteb_model_meta
    known: dict[str, set[str] | str] = {}
    if card.training_sets is not None:
        known["training_datasets"] = set(card.training_sets)
    if card.base_model and meta.adapted_from is None:
        known["adapted_from"] = card.base_model
    wrapper.mteb_model_meta = meta.model_copy(update=known)
    return wrapper


@contextlib.contextmanager
def _without_card_name(model: SentenceTransformer) -> Iterator[None]:
    """Hide the card's free-text name from mteb, which would insist on a slash in it."""
    card = model.model_card_data
    kept = card.model_name
    card.model_name = None
    try:
        yield
    finally:
        card.model_name = kept


@contextlib.contextmanager
def _errors_only(name: str) -> Iterator[None]:
    """Hold back what mteb warns of whenever a static model has no vocabulary size to show."""
    source = logging.getLogger(name)
    level = source.level
    source.setLevel(logging.ERROR)
    try:
        yield
    finally:
        source.setLevel(level)


@contextlib.contextmanager
def _silent_datasets(silent: bool) -> Iterator[None]:
    """Hide the progress bars of ``datasets``, which are drawn into log files too."""
    import datasets

    hide = silent and not datasets.are_progress_bars_disabled()
    if hide:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            datasets.enable_progress_bars()


def _named_model(model: str, name: str | None) -> ModelMeta:
    """Metadata of a model of mteb's registry or the hub; mteb loads it when it has to."""
    import mteb

    if name is not None:
        raise ValueError(
            f"name is {name!r}, but {model!r} is no local folder and keeps its own name; leave "
            "name out, or give a folder"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is said by the error below
        try:
            meta = mteb.get_model_meta(model, fetch_from_hf=True)
        except Exception as error:  # the hub's clients raise many kinds
            raise ValueError(
                f"{_unknown_model(model)} ({type(error).__name__}: {error})"
            ) from error
    if meta.loader is None:
        raise ValueError(_unknown_model(model))
    return meta


def _unknown_model(model: str) -> str:
    return (
        f"model: {model!r} is neither a folder nor a model of mteb's registry, and the hub has no "
        "such model or cannot be reached; check the spelling, or give a folder's path"
    )


def select_tasks(tasks: Sequence[str | AbsTask], languages: Sequence[str] | None) -> list[AbsTask]:
    """Find tasks by name, and keep the subsets of some languages.

    Args:
        tasks: Names of mteb's, st-hybrid's or the demo's tasks, or task objects, which stay as they
            are.
        languages: Short codes, as for :func:`evaluate`; ``None`` keeps all subsets.

    Returns:
        Task objects, in the order given.

    Raises:
        ValueError: If there is no task, a name is unknown, or no subset is left.
    """
    given: Sequence[str | AbsTask] = [tasks] if isinstance(tasks, str) else tasks
    if not given:
        raise ValueError("tasks is empty: expected at least one, such as 'XQuADRetrievalCross'")
    # A copy: selecting languages must not change the caller's task.
    selected = [_get_task(x) if isinstance(x, str) else copy.copy(x) for x in given]
    return selected if languages is None else [_with_languages(x, languages) for x in selected]


def _get_task(name: str) -> AbsTask:
    import mteb

    import mteb_tasks  # noqa: F401 -- adds our tasks to mteb's registry
    from mteb_tasks.demo import DEMO_TASKS

    for demo_task in DEMO_TASKS:
        if demo_task.metadata.name == name:
            return demo_task()
    try:
        return mteb.get_task(name)
    except KeyError as error:
        said = str(error.args[0]).removeprefix("KeyError: ")
        raise ValueError(
            f"tasks: {said} All names are listed by 'mteb available-tasks'."
        ) from error


def _with_languages(task: AbsTask, languages: Sequence[str]) -> AbsTask:
    chosen = {get_language(code).mteb_code for code in languages}
    pooled = getattr(task, "setting", None) == "multi"  # its passages are in all languages
    subsets = task.metadata.hf_subsets_to_langscripts
    kept = [
        subset
        for subset in task.hf_subsets
        if chosen.issuperset(subsets[subset][:1] if pooled else subsets[subset])
    ]
    if not kept:
        raise ValueError(
            f"languages: {task.metadata.name} has no subset in {', '.join(languages) or 'none'}; "
            f"its languages are {', '.join(sorted(task.metadata.languages))}"
        )
    return task.filter_languages(None, hf_subsets=kept)
