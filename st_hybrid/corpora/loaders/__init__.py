"""Public training sets by name; see the functions' own descriptions for their sources."""

from st_hybrid.corpora.loaders.mfaq import load_mfaq
from st_hybrid.corpora.loaders.mmarco import load_mmarco
from st_hybrid.corpora.loaders.mrtydi import load_mrtydi
from st_hybrid.corpora.loaders.squad import load_squad

__all__ = ["load_mfaq", "load_mmarco", "load_mrtydi", "load_squad"]
