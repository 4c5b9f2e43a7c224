"""Less language bias without training: what is a text's language in its embedding, taken away.

Two methods, fitted on text whose languages are known: each language's mean is subtracted, or its
principal directions are projected away (LIR). Both are the baseline of methods that train.
"""

from st_hybrid.debias.fitting import METHODS, Debiasing, fit_debiasing
from st_hybrid.debias.module import NO_LANGUAGE, LanguageDebias
from st_hybrid.debias.saving import debias_model, load_model, save_debiased

__all__ = [
    "METHODS",
    "NO_LANGUAGE",
    "Debiasing",
    "LanguageDebias",
    "debias_model",
    "fit_debiasing",
    "load_model",
    "save_debiased",
]
