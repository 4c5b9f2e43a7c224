"""Files of a data set: at a revision of its repository on the hub, or in a folder laid out so."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_file"]


def find_file(
    repository: str, name: str, *, source: str | Path | None, revision: str | None
) -> Path:
    """Find one file of a data set, downloading it where it is not in the cache.

    ``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and ``HF_HUB_CACHE`` hold as everywhere. A repository's
    script is never run.

    Args:
        repository: The data set's repository, such as ``"unicamp-dl/mmarco"``.
        name: Path of the file in the repository.
        source: A folder in the repository's layout; the hub where not given. A file whose name
            ends in ``.gz`` may lie there unpacked.
        revision: The commit to read from the hub; needed there, so that a run can be repeated.

    Returns:
        Where the file is on this machine.

    Raises:
        FileNotFoundError: If the folder, the revision or the cache lacks the file.
        ConnectionError: If the download breaks off.
        ValueError: If neither a folder nor a revision is given.
    """
    if source is not None:
        return _in_folder(Path(source), name, repository)
    if revision is None:
        raise ValueError(
            f"revision is None: give the commit of {repository} to read, as its page "
            "'Files and versions' names it, or source, a folder in the same layout"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{name} of {repository} at revision {revision!r}"
    try:
        return Path(hf_hub_download(repository, name, repo_type="dataset", revision=revision))
    except LocalEntryNotFoundError as error:
        raise FileNotFoundError(
            f"{where} is neither in the cache nor reachable: allow the network or give source"
        ) from error
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise FileNotFoundError(f"the hub has no {where}: check revision") from error
    except Exception as error:  # the client's transport has errors of its own
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ConnectionError(f"{where} could not be downloaded whole: {reason}") from error


def _in_folder(folder: Path, name: str, repository: str) -> Path:
    for path in (folder / name, folder / name.removesuffix(".gz")):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"no such file: {folder / name}; source must be laid out as {repository}"
    )
