"""st-hybrid's retrieval tasks for mteb: XQuAD-R and MLQA-R within and across languages.

Importing this package adds the tasks and benchmarks to mteb's registries, so that
``mteb.get_tasks``, ``mteb.get_benchmark`` and the ``mteb`` command find them by name. An installed
st-hybrid does so by itself when mteb is imported (docs/start-up-hook.md); ``python -m mteb_tasks
run ...`` is the ``mteb`` command with them added, whether the hook is there or not.
"""

from __future__ import annotations

from mteb_tasks.beir import beir_tasks
from mteb_tasks.exports import export_beir, export_trec
from mteb_tasks.registration import KNOWN_MTEB, register
from mteb_tasks.tasks import TASKS

__all__ = ["KNOWN_MTEB", "TASKS", "beir_tasks", "export_beir", "export_trec", "register"]

register()
