"""Arrays in .npy files, memory-mapped: memory use does not grow with them."""

from __future__ import annotations

import os

import numpy as np

from common.errors import UserError, one_line
from common.files import is_sound, open_regular


def map_array(path: str | os.PathLike[str], *, links: bool = False) -> np.memmap:
    """The array in a .npy file, read-only; that of objects, which would be pickled, is refused.

    Args:
        path: the file. One that `common.files.seal` sealed is checked.
        links: as `common.files.open_regular` takes it.

    Raises:
        UserError: the file cannot be opened.
        ValueError: it is damaged, or no such array.
    """
    try:
        with open_regular(path, links=links) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):  # only the length of the header takes other bytes
                read = np.lib.format.read_array_header_2_0
            shape, fortran, kind = read(file)
            if kind.hasobject:
                raise ValueError("it holds pickled objects, which are never loaded")
            order = "F" if fortran else "C"
            array = np.memmap(file, kind, "r", file.tell(), shape, order)  # type: ignore[call-overload]
            end = array.offset + array.nbytes
            if is_sound(file, end):
                return array
    except UserError:
        raise
    except Exception as error:  # damaged bytes make numpy raise almost anything
        raise ValueError(one_line(error)) from None
    raise ValueError("it was changed since it was written")
