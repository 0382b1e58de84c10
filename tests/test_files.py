"""Files of arrays are whole, or as they were."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from meshgym.errors import FileError, FolderError
from meshgym.files import check_finite, decode, read_arrays, reading, write_arrays, write_together


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "new" / "a.npz", {"one": np.arange(3), "text": np.array("ü")})
    found = read_arrays(path)
    assert list(found) == ["one", "text"]
    assert found["one"].tolist() == [0, 1, 2]
    assert str(found["text"]) == "ü"


def test_a_file_is_kept_where_the_next_cannot_be_written(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "a.npz", {"one": np.arange(3)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(path, {"one": np.arange(9), "thing": np.array([object()])})
    assert path.read_bytes() == before
    with pytest.raises(FolderError, match=r"cannot write .*a\.npz/b\.npz"):
        write_arrays(path / "b.npz", {})


def read(path: Path) -> object:
    with reading(path, "a file of arrays", FileError, "Make it again."):
        return read_arrays(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive", b"\x93NUMPY\x01\x00"])
def test_other_files_are_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(FileError, match=r"a\.npz isn't a file of arrays, or is damaged .*Make it again"):
        read(tmp_path / "a.npz")


def test_what_is_no_file_is_one_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "loop", Path("/dev/zero")):
        with pytest.raises(FileError, match=re.escape(str(path))):
            read(path)
    with pytest.raises(FileError, match=r"there is no file of arrays .*nothing"):
        read(tmp_path / "nothing")


def test_sizes_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    """A small compressed file that would take gigabytes, and a shape that its bytes don't hold."""
    bomb, huge = tmp_path / "bomb.npz", tmp_path / "huge.npz"
    np.savez_compressed(bomb, zeros=np.zeros(2**24))
    with pytest.raises(FileError, match="compressed"):
        read(bomb)
    whole = io.BytesIO()
    np.lib.format.write_array_header_1_0(whole, {"shape": (10**12,), "fortran_order": False, "descr": "<f8"})
    with zipfile.ZipFile(huge, "w") as archive:
        archive.writestr("a.npy", whole.getvalue() + b"x" * 8)
    with pytest.raises(FileError, match="shape"):
        read(huge)


def test_the_files_of_one_result_are_replaced_together(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    write_together(dict.fromkeys(paths, b"before"))
    with pytest.raises(FolderError):
        write_together({paths[0]: b"after", tmp_path / "a" / "c": b"after"})
    assert [path.read_bytes() for path in paths] == [b"before"] * 2
    assert sorted(tmp_path.iterdir()) == paths


@pytest.mark.parametrize(
    ("content", "reason"), [(b"\xff\xfea\0", "UTF-8"), (b"\xef\xbb\xbfa", "byte order mark"), (b"a\0", "NUL")]
)
def test_text_is_utf8(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode(content)


def test_numbers_are_finite() -> None:
    check_finite({"a": np.array([1.0]), "text": np.array("a")})
    with pytest.raises(ValueError, match="b holds numbers that aren't finite"):
        check_finite({"a": np.array([1.0]), "b": np.array([np.nan])})
