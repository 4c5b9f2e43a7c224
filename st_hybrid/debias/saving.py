"""A model with its language taken out: as an object, as a folder, and loaded again."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from st_hybrid.debias.fitting import Debiasing
from st_hybrid.debias.module import LanguageDebias

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["debias_model", "load_model", "save_debiased"]

_TYPE: Final = f"{LanguageDebias.__module__}.{LanguageDebias.__qualname__}"


def debias_model(model: SentenceTransformer, debiasing: Debiasing) -> SentenceTransformer:
    """Put a fit behind a model's last module.

    Args:
        model: The model that it was fitted for; it stays as it is, and shares its weights with the
            new one.
        debiasing: The fit.

    Returns:
        The model with :class:`LanguageDebias` as its last module, with the same prompts, similarity
        function and truncation.

    Raises:
        ValueError: If the model has such a module already, or embeddings of another size.
    """
    from sentence_transformers import SentenceTransformer

    modules = list(model.children())
    if any(isinstance(module, LanguageDebias) for module in modules):
        raise ValueError("model has a LanguageDebias already: give the model that it was made from")
    size = _full_dimension(model)
    if size is not None and size != debiasing.means.shape[1]:
        raise ValueError(
            f"debiasing is of {debiasing.means.shape[1]} dimensions, the model's embeddings have "
            f"{size}: fit it with this model"
        )
    made = SentenceTransformer(
        modules=[*modules, LanguageDebias.from_fit(debiasing)],
        device=str(model.device),
        prompts={name: prompt or "" for name, prompt in model.prompts.items()},
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
        truncate_dim=model.truncate_dim,
    )
    if model.module_kwargs is not None:  # which arguments of encode reach which module
        made.module_kwargs = {
            str(place): model.module_kwargs[name]
            for place, name in enumerate(dict(model.named_children()))
            if name in model.module_kwargs
        }
    return made


def save_debiased(
    model: SentenceTransformer,
    debiasing: Debiasing,
    folder: str | Path,
    *,
    overwrite: bool = False,
) -> None:
    """Save a model with a fit behind its last module.

    The folder appears when everything is written, or not at all. It is loaded by
    :func:`load_model`, or by ``SentenceTransformer(folder, trust_remote_code=True)`` where
    st-hybrid is installed: the host runs no class from outside itself without that argument.

    Args:
        model: The model that the debiasing was fitted for.
        debiasing: The fit.
        folder: The folder to make.
        overwrite: Whether to replace a saved model that is there.

    Raises:
        ValueError: If the two do not fit together.
        FileExistsError: If the folder holds something, and is not to be replaced or is no model.
    """
    made = debias_model(model, debiasing)
    target = Path(folder)
    check_target(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    old = partial.with_suffix(".old")
    try:
        made.save(str(partial), create_model_card=False)
        if target.exists():
            target.replace(old)
        partial.replace(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.replace(target)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def check_target(target: Path, *, overwrite: bool) -> None:
    """Check that a model can be saved in a folder, before the work is done.

    Args:
        target: The folder.
        overwrite: Whether a model that is there may be replaced.

    Raises:
        FileExistsError: If the folder holds something, and is not to be replaced or is no model.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / "modules.json").is_file():
        raise FileExistsError(f"'{target}' holds something else than a model: name another folder")
    if not overwrite:
        raise FileExistsError(
            f"'{target}' exists already: name another folder, or overwrite=True (--overwrite)"
        )


def load_model(folder: str | Path, **options: Any) -> SentenceTransformer:  # noqa: ANN401
    """Load any saved model, also one with :class:`LanguageDebias`.

    No other class from outside sentence-transformers is run, and no code of the folder.

    Args:
        folder: The model's folder, or its name on the hub.
        **options: Further arguments of ``SentenceTransformer``.

    Returns:
        The model.
    """
    from sentence_transformers import SentenceTransformer

    # The host has no public way to name a class that may be loaded; the alternative,
    # trust_remote_code=True, would also run code that lies in the folder.
    load = getattr(SentenceTransformer, "_load_with_module_classes", None)
    if load is None:  # then the host asks for the argument, for such a model alone
        return SentenceTransformer(str(folder), **options)
    model: SentenceTransformer = load(str(folder), {_TYPE: LanguageDebias}, **options)
    return model


def _full_dimension(model: SentenceTransformer) -> int | None:
    with model.truncate_embeddings(None):
        return model.get_embedding_dimension()
