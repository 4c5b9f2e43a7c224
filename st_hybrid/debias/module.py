"""The last module of a sentence-transformers model: takes the language out of its embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from sentence_transformers.base.modules import Module
from torch import Tensor
from torch.nn import functional

from st_hybrid.debias.fitting import Debiasing
from st_hybrid.debias.identification import UNKNOWN, identify, token_scores, tokens_of

__all__ = ["NO_LANGUAGE", "LanguageDebias"]

NO_LANGUAGE: Final = "none"
"""What to give as a language so that embeddings stay as they are."""

_EMBEDDING: Final = "sentence_embedding"


class LanguageDebias(Module):
    """Subtracts each language's mean, or projects its principal directions away.

    The language of a text is identified from its tokens, which earlier modules hand on. A text in
    another language is treated as the fitted one whose tokens are most like its own, and left as it
    is where none of its tokens is known. Where the texts' language is known,
    ``model.encode(texts, language="de")`` says so for all texts of a call, and ``language="none"``
    leaves them as they are.

    Args:
        languages: Language codes.
        method: ``"center"`` or ``"lir"``.
        components: Directions a language that are projected away; 0 with ``"center"``.
        dimensions: Size of the embeddings.
        tokens: Rows of the table by which languages are identified.
        unit_length: Whether to scale the result to length 1.
    """

    # The host declares them as if they were an instance's.
    config_keys: list[str] = [  # noqa: RUF012
        *("languages", "method", "components", "dimensions", "tokens", "unit_length")
    ]
    forward_kwargs: set[str] = {"language"}  # noqa: RUF012

    means: Tensor
    directions: Tensor
    token_weights: Tensor

    def __init__(
        self,
        languages: Sequence[str],
        method: str,
        components: int,
        dimensions: int,
        tokens: int,
        unit_length: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the host's
        self.languages = list(languages)
        self.method = method
        self.components = components
        self.dimensions = dimensions
        self.tokens = tokens
        self.unit_length = unit_length
        number = len(self.languages)
        for name, shape in (
            ("means", (number, dimensions)),
            ("directions", (number, components, dimensions)),
            ("token_weights", (tokens, number)),
        ):
            self.register_buffer(name, torch.zeros(shape))

    @classmethod
    def from_fit(cls, debiasing: Debiasing) -> LanguageDebias:
        """Make the module of a fit.

        Args:
            debiasing: The fit.

        Returns:
            The module, in 32-bit floats.
        """
        module = cls(
            debiasing.languages,
            debiasing.method,
            debiasing.components,
            debiasing.means.shape[1],
            len(debiasing.token_weights),
            debiasing.unit_length,
        )
        for name, buffer in module.named_buffers():
            buffer.copy_(torch.from_numpy(getattr(debiasing, name)))
        return module

    def forward(
        self,
        features: dict[str, Tensor | Any],
        language: str | None = None,
        **kwargs: Any,  # noqa: ANN401 -- the host's signature
    ) -> dict[str, Tensor | Any]:
        """Replace the features' sentence embeddings.

        Args:
            features: Features, with ``sentence_embedding`` of shape ``(texts, dimensions)``.
            language: The language of all texts; identified where not given.
            **kwargs: Not used; the host's signature.

        Returns:
            The features.

        Raises:
            ValueError: If the language was not fitted, or none is given and the features hold no
                token ids.
        """
        if language == NO_LANGUAGE:
            return features
        embeddings: Tensor = features[_EMBEDDING]
        given = embeddings.float()  # half precision is too coarse for a difference of neighbours
        number = self.identify(features) if language is None else self._number(language, len(given))
        if self.method == "lir":
            directions = self.directions[number].float()  # (texts, components, dimensions)
            shares = torch.einsum("tcd,td->tc", directions, given)
            result = given - torch.einsum("tcd,tc->td", directions, shares)
        else:
            result = given - self.means[number].float()
        if self.unit_length:
            result = functional.normalize(result, dim=-1)
        result = torch.where((number == UNKNOWN)[:, None], given, result)
        features[_EMBEDDING] = result.to(embeddings.dtype)
        return features

    def identify(self, features: dict[str, Tensor | Any]) -> Tensor:
        """The language that each text is taken to be in.

        Args:
            features: Features of the texts, with their token ids.

        Returns:
            Positions in ``languages``, :data:`UNKNOWN` where no token is known, shape ``(texts,)``.

        Raises:
            ValueError: If the features hold no token ids.
        """
        scores = token_scores(tokens_of(features), self.token_weights.float())
        return identify(scores)

    def _number(self, language: str, texts: int) -> Tensor:
        if language not in self.languages:
            raise ValueError(
                f"language={language!r}: this model was fitted for {', '.join(self.languages)}; "
                f"give one of them, {NO_LANGUAGE!r} to leave embeddings as they are, or nothing to "
                "have it identified"
            )
        place = self.languages.index(language)
        return torch.full((texts,), place, device=self.means.device)

    def get_embedding_dimension(self) -> int:
        """The size of the embeddings, which does not change."""
        return self.dimensions

    def save(
        self,
        output_path: str,
        *args: Any,  # noqa: ANN401 -- the host's signature
        safe_serialization: bool = True,
        **kwargs: Any,  # noqa: ANN401 -- the host's signature
    ) -> None:
        """Write the module's settings and numbers.

        Args:
            output_path: The module's folder.
            *args: Not used; the host's signature.
            safe_serialization: Whether to write safetensors.
            **kwargs: Not used; the host's signature.
        """
        Path(output_path).mkdir(parents=True, exist_ok=True)
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(  # type: ignore[override] # the host's keyword arguments, handed on
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        **kwargs: Any,  # noqa: ANN401 -- the host's signature
    ) -> LanguageDebias:
        """Read what :meth:`save` wrote.

        Args:
            model_name_or_path: The model's folder, or its name on the hub.
            subfolder: The module's folder in it.
            **kwargs: The host's arguments on where to find it.

        Returns:
            The module.
        """
        names = ("token", "cache_folder", "revision", "local_files_only")
        where = {name: kwargs[name] for name in names if name in kwargs}
        config = cls.load_config(model_name_or_path, subfolder=subfolder, **where)
        module: LanguageDebias = cls.load_torch_weights(
            model_name_or_path, subfolder=subfolder, model=cls(**config), **where
        )
        return module
