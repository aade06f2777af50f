"""A rank on the CPU ends with its own status, whatever the C++ libraries do at the end."""

import subprocess
import sys

import pytest

# The C library calls `abort` at the end of the process, unless that is left out.
RANK = """
import atexit, ctypes, os, socket, sys
import torch
from mmengine.config import Config
from vanillanet_det.engine.launch import init_distributed
from vanillanet_det_tools.main import run_process

libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)
atexit.register(print, "Python's own clean-up")

def run():
    if sys.argv[1] == "gloo":
        with socket.socket() as a_socket:
            a_socket.bind(("127.0.0.1", 0))
            port = a_socket.getsockname()[1]
        os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1",
                          MASTER_PORT=str(port), CUDA_VISIBLE_DEVICES="")
        init_distributed(Config(dict(launcher="pytorch")))
    print("before the end")
    if sys.argv[2] != "0":
        sys.exit(int(sys.argv[2]))

run_process(run)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "status", "found"), [("gloo", 0, 0), ("gloo", 2, 2), ("", 2, -6)])
def test_status(kind, status, found):
    result = subprocess.run(
        [sys.executable, "-c", RANK, kind, str(status)], capture_output=True, text=True
    )
    assert result.returncode == found, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-2:] == ["before the end", "Python's own clean-up"]
