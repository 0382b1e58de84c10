"""Import the traces that the paper's authors disclosed.

They have no licence, so none are bundled. Download ``disclosure/S1.csv``, ``S2.csv`` and ``S5.csv`` from
github.com/bfmengnu/Model-based-Reinforcement-Learning-for-Service-Mesh-Fault-Resiliency and give the files' paths.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd

from meshgym.errors import TraceError
from meshgym.files import reading
from meshgym.traces.store import check_traces, unpacked

#: sha256 of the files as disclosed, at commit 6e00256.
CHECKSUMS: dict[str, str] = {
    "S1": "aa5d240fecbe3d2bc2d0fd92fa75daeb28851a5489dd475170ac6aa478a07603",
    "S2": "2d8a130be3aab486daff8ee4345056d38a211f02ded539f24c7b8e5bf85f44ef",
    "S5": "6fa8ceeb4775309a634c1d2927405f00210bfd2bfd4b659256b6f7d472ae1fc8",
}
#: Their columns. The files are text of ``numpy.savetxt``: separated by spaces despite their name, without a header.
_COLUMNS = (
    "http1_max_pending_requests",
    "max_requests_per_connection",
    "max_connections",
    "base_ejection_time_s",  # in minutes in the files
    "consecutive_5xx_errors",
    "interval_s",
    "max_ejection_percent",
    "threads",
    "calls",
    "p503",
    "qps",
)


def load_authors_traces(path: str | Path) -> pd.DataFrame:
    """Read one of the authors' sets; return it with this project's columns and units.

    Args:
        path: ``S1.csv``, ``S2.csv`` or ``S5.csv`` as disclosed, gzipped or not.

    Returns:
        One row per run, in the order of the runs; p200 is 1 - p503, as the authors computed it.

    Raises:
        TraceError: the file is missing, or not the disclosed one.
    """
    path = Path(path)
    name = path.name.split(".")[0]
    with reading(path, "a trace file", TraceError, "Download it again."):
        text = unpacked(path)
    if hashlib.sha256(text).hexdigest() != CHECKSUMS.get(name):
        raise TraceError(
            f"{path} is not one of the authors' files {', '.join(f'{known}.csv' for known in CHECKSUMS)} "
            "as of commit 6e00256: its checksum differs; download it again"
        )
    frame = pd.DataFrame(np.loadtxt(io.BytesIO(text)), columns=list(_COLUMNS))
    frame["base_ejection_time_s"] *= 60
    frame["p200"] = 1 - frame["p503"]
    return check_traces(frame, str(path))
