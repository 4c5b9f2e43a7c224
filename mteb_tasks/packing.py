"""Embeddings of any kind as plain bytes: for files, and for other processes.

One encoding is a header, which is a line of JSON, and up to three arrays:

* ``values``: the numbers. For dense embeddings they are all there is;
* ``ends``: where the rows end, for embeddings whose rows differ in length: sparse tensors, and
  lists of arrays or tensors, as late-interaction models give;
* ``columns``: the places of a sparse tensor's values within their rows.

The header holds a digest of everything else, by which damage is noticed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, get_args

import numpy as np
import xxhash
from numpy.typing import NDArray

from st_hybrid.tiles import Embeddings

if TYPE_CHECKING:
    import torch

__all__ = ["DamagedError", "Header", "Packed", "pack", "read_array", "read_header", "unpack"]

Kind = Literal["array", "tensor", "sparse", "arrays", "tensors"]

_FORMAT: Final = "st-hybrid encodings 1"
_LONGEST_HEADER: Final = 4096


class DamagedError(ValueError):
    """Bytes are not the encodings that they should be."""


@dataclass(frozen=True)
class Header:
    """What packed embeddings are.

    Attributes:
        kind: An array, a dense or sparse tensor, a list of arrays or of tensors.
        rows: The number of rows.
        dtype: The numbers' type, by numpy's or torch's name.
        shape: The shape of a row, without the dimension in which rows differ in length.
        device: Where tensors were.
        sizes: The arrays' names, in order, and their bytes.
    """

    kind: Kind
    rows: int
    dtype: str
    shape: tuple[int, ...]
    device: str
    sizes: dict[str, int]

    @property
    def item_size(self) -> int:
        """Bytes of one number."""
        if self.kind in ("array", "arrays"):
            return np.dtype(self.dtype).itemsize
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype.itemsize

    @property
    def step_size(self) -> int:
        """Bytes of the values of a row, or of one step in the dimension of varying length."""
        return self.item_size * (1 if self.kind == "sparse" else math.prod(self.shape))

    def digest(self, contents: Iterable[NDArray[np.uint8]]) -> str:
        """A digest of header and arrays.

        Args:
            contents: The arrays, one after the other, in pieces of any size.

        Returns:
            128 bits of XXH3, as hexadecimal digits.
        """
        digest = xxhash.xxh3_128(json.dumps(asdict(self)).encode())
        for piece in contents:
            digest.update(piece.data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Packed:
    """Embeddings as plain bytes.

    Attributes:
        header: What they are.
        arrays: ``values``, and ``ends`` and ``columns`` where needed, as bytes.
    """

    header: Header
    arrays: dict[str, NDArray[np.uint8]]

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return sum(self.header.sizes.values())

    def write(self, file: BinaryIO) -> None:
        """Write header and arrays.

        Args:
            file: Where to; it need not be at its start.
        """
        line = {"format": _FORMAT, **asdict(self.header)}
        line["digest"] = self.header.digest(self.arrays.values())
        file.write(json.dumps(line).encode() + b"\n")
        for array in self.arrays.values():
            file.write(array.data)


def pack(embeddings: Embeddings) -> Packed | None:
    """Turn embeddings into plain bytes, without a copy where they lie in memory in one piece.

    Args:
        embeddings: What an encoder returned.

    Returns:
        The bytes, or ``None`` for kinds that are neither arrays, tensors nor lists of them.
    """
    import torch

    if isinstance(embeddings, np.ndarray) and embeddings.dtype.kind in "biuf":
        return _packed("array", embeddings, len(embeddings), embeddings.shape[1:])
    if isinstance(embeddings, torch.Tensor) and embeddings.layout is torch.strided:
        return _packed("tensor", embeddings, len(embeddings), embeddings.shape[1:])
    if isinstance(embeddings, torch.Tensor) and embeddings.layout is torch.sparse_coo:
        return _pack_sparse(embeddings)
    if isinstance(embeddings, list) and embeddings:
        return _pack_list(embeddings)
    return None


def unpack(
    header: Header, arrays: Mapping[str, NDArray[np.uint8]], rows: int | None = None
) -> Embeddings:
    """Make embeddings of bytes.

    Args:
        header: What the embeddings are.
        arrays: The arrays of all rows, or of some that follow one another; their ``ends`` are
            counted from the first of them.
        rows: The number of rows; by default all.

    Returns:
        Embeddings of the kind that was packed. They may share the arrays' memory.
    """
    rows = header.rows if rows is None else rows
    if "ends" not in arrays:
        return _as_values(header, arrays["values"], (rows, *header.shape))
    ends = arrays["ends"].view(np.int64)
    if header.kind != "sparse":
        values = _as_values(header, arrays["values"], (-1, *header.shape))
        return [values[first:end] for first, end in zip([0, *ends], ends, strict=False)]
    import torch

    places = np.stack(
        [np.repeat(np.arange(rows), np.diff(ends, prepend=0)), arrays["columns"].view(np.int64)]
    )
    return torch.sparse_coo_tensor(
        torch.from_numpy(places).to(header.device),
        torch.as_tensor(_as_values(header, arrays["values"], (-1,))),
        (rows, *header.shape),
        is_coalesced=True,
        check_invariants=False,
    )


def read_header(file: BinaryIO) -> tuple[Header, str]:
    """Read what :meth:`Packed.write` wrote before the arrays.

    Args:
        file: The file, at the place where the header begins; it is left where the arrays begin.

    Returns:
        The header, and the digest that header and arrays should have.

    Raises:
        DamagedError: If there is no such header.
    """
    try:
        fields = json.loads(file.readline(_LONGEST_HEADER))
        if fields["format"] != _FORMAT or fields["kind"] not in get_args(Kind):
            raise DamagedError(f"the format is {fields['format']!r}: expected {_FORMAT!r}")
        header = Header(
            fields["kind"],
            int(fields["rows"]),
            str(fields["dtype"]),
            tuple(int(side) for side in fields["shape"]),
            str(fields["device"]),
            {str(name): int(size) for name, size in fields["sizes"].items()},
        )
        return header, str(fields["digest"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"there is no header of encodings ({error})") from error


def read_array(file: BinaryIO, place: int, size: int) -> NDArray[np.uint8]:
    """Read bytes.

    Args:
        file: The file, which need not be buffered.
        place: Where they begin.
        size: How many there are.

    Returns:
        The bytes, in memory of their own.

    Raises:
        DamagedError: If the file ends before.
    """
    array = np.empty(size, dtype=np.uint8)
    file.seek(place)
    got = file.readinto(array.data) if size else 0  # type: ignore[attr-defined] # of typeshed
    if got != size:
        raise DamagedError(f"the file ends {size - got} bytes too early")
    return array


def _pack_sparse(embeddings: torch.Tensor) -> Packed | None:
    import torch

    if embeddings.ndim != 2 or embeddings.dense_dim():
        return None
    whole = embeddings.coalesce()
    rows, columns = whole.indices()
    ends = torch.bincount(rows, minlength=len(whole)).cumsum(0)
    more = {"ends": ends, "columns": columns}
    return _packed("sparse", whole.values(), len(whole), whole.shape[1:], more)


def _pack_list(rows: list[Any]) -> Packed | None:
    import torch

    tensors = all(isinstance(row, torch.Tensor) and row.layout is torch.strided for row in rows)
    if not tensors and not all(isinstance(row, np.ndarray) for row in rows):
        return None
    if len({(row.ndim, row.shape[1:], row.dtype) for row in rows}) > 1 or not rows[0].ndim:
        return None
    more = {"ends": np.cumsum([len(row) for row in rows], dtype=np.int64)}
    shape = rows[0].shape[1:]
    if tensors:
        return _packed("tensors", torch.cat(rows), len(rows), shape, more)
    return _packed("arrays", np.concatenate(rows), len(rows), shape, more)


def _packed(
    kind: Kind,
    values: NDArray[Any] | torch.Tensor,
    rows: int,
    shape: tuple[int, ...],
    more: Mapping[str, NDArray[np.int64] | torch.Tensor] | None = None,
) -> Packed:
    arrays = {name: _as_bytes(x) for name, x in {"values": values, **(more or {})}.items()}
    header = Header(
        kind,
        rows,
        str(values.dtype).removeprefix("torch."),
        tuple(shape),
        str(values.device),
        {name: array.nbytes for name, array in arrays.items()},
    )
    return Packed(header, arrays)


def _as_bytes(values: NDArray[Any] | torch.Tensor) -> NDArray[np.uint8]:
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    import torch

    flat = values.detach().cpu().contiguous().reshape(-1)
    array: NDArray[np.uint8] = flat.view(torch.uint8).numpy()
    return array


def _as_values(
    header: Header, array: NDArray[np.uint8], shape: tuple[int, ...]
) -> NDArray[Any] | torch.Tensor:
    if header.kind in ("array", "arrays"):
        values: NDArray[Any] = array.view(header.dtype).reshape(shape)
        return values
    import torch

    dtype: torch.dtype = getattr(torch, header.dtype)
    # Nothing cannot be viewed as another type.
    flat = torch.from_numpy(array).view(dtype) if len(array) else torch.empty(0, dtype=dtype)
    return flat.reshape(shape).to(header.device)
