"""Files of arrays are whole, or as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshgym.errors import FolderError
from meshgym.files import UNREADABLE, read_arrays, write_arrays


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "new" / "a.npz", {"one": np.arange(3), "text": np.array("ü")})
    read = read_arrays(path)
    assert list(read) == ["one", "text"]
    assert read["one"].tolist() == [0, 1, 2]
    assert str(read["text"]) == "ü"


def test_a_file_is_kept_where_the_next_cannot_be_written(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "a.npz", {"one": np.arange(3)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(path, {"one": np.arange(9), "thing": np.array([object()])})
    assert path.read_bytes() == before
    with pytest.raises(FolderError, match=r"cannot write .*a\.npz/b\.npz"):
        write_arrays(path / "b.npz", {})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive", b"\x93NUMPY\x01\x00"])
def test_other_files_raise_what_can_be_caught(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UNREADABLE):
        read_arrays(tmp_path / "a.npz")
