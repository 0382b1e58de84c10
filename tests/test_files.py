"""Files of arrays are whole, or as they were."""

from __future__ import annotations

import io
import os
import re
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from meshgym.errors import FileError, FolderError
from meshgym.files import check_finite, decode, read_arrays, reading, write_arrays, write_together
from meshgym.scenarios import load_scenario
from meshgym.traces.collect import open_collection
from meshgym.traces.collection import FILENAME, read_collection
from meshgym.traces.plan import make_plan


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


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that is full: no file can grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    files = {tmp_path / name: b"before" for name in ("a", "b")}
    write_together(files)
    with largest_file(1000), pytest.raises(FolderError, match="free space or choose another folder"):
        write_together({tmp_path / "a": b"after", tmp_path / "b": bytes(10_000)})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_full_disk_keeps_the_runs_of_a_collection(tmp_path: Path) -> None:
    scenario = load_scenario("S1")
    plan = make_plan(scenario, 400, 0)
    response = {"qps": 1.0, "p200": 1.0, "p503": 0.0}
    with open_collection(tmp_path, scenario, plan, 0) as collection:
        size = collection.path.stat().st_size

        def fill() -> None:
            for run in range(400):
                collection.add(run, 0, 1, response)

        with largest_file(size + 8192), pytest.raises(FolderError, match="the runs before are kept"):
            fill()
    kept = len(read_collection(tmp_path / FILENAME)[1])
    assert 0 < kept < 400
    with open_collection(tmp_path, scenario, plan, 0) as collection:
        assert collection.missing() == list(range(kept, 400))
        collection.add(kept, 0, 1, response)
