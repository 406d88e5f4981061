"""NumPy's files, read so that a damaged or hostile one is told in one line and takes no more memory than its size."""

from __future__ import annotations

import os
import zipfile
from typing import Iterable

import numpy as np

from .errors import UserError


def load_npy(path: str | os.PathLike[str], cure: str = "write it again") -> np.ndarray:
    """An array of a .npy file, as a read-only memory map.

    Args:
        cure: what to do about a file that cannot be used.

    Raises:
        UserError: the file is missing, empty, damaged or cut short, or holds Python objects.
    """
    try:
        with open(path, "rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise UserError(f"{path} is not a .npy array; {cure}")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path, or {cure}") from error
    except Exception as error:  # whatever a damaged header leads to: ValueError, SyntaxError, OverflowError, ...
        raise UserError(f"{path} is not a whole .npy array ({type(error).__name__}); {cure}") from error


def load_npz(
    path: str | os.PathLike[str], names: Iterable[str], cure: str = "write it again", what: str = "a whole .npz archive"
) -> dict[str, np.ndarray]:
    """Arrays of an uncompressed .npz file, as `np.savez` writes it.

    Args:
        names: which arrays.
        cure: as for `load_npy`.
        what: what the file should be, for messages.

    Raises:
        UserError: the file is missing, damaged or compressed, or lacks an array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("compressed")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path, or {cure}") from error
    except Exception as error:  # BadZipFile, KeyError, ValueError, SyntaxError, EOFError, zlib.error, MemoryError, ...
        raise UserError(f"{path} is not {what} ({type(error).__name__}); {cure}") from error
