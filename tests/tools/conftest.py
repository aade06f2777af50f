"""The tools, called in this process or as a user calls them."""

import importlib
import subprocess
import sys

import pytest
from mmengine.logging import MMLogger


@pytest.fixture(scope="session")
def tool(root):
    """Call a tool's `main` in this process; returns its exit status."""

    def call(name, *args):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(root / "tools")
            patch.setattr(sys, "argv", [f"tools/{name}.py", *map(str, args)])
            try:
                importlib.import_module(name).main()
            except SystemExit as exit:
                return exit.code
            finally:
                sys.modules.pop(name, None)  # `test` is a module of Python's own, too
                # Loggers would keep writing to the standard output of this test.
                for logger in MMLogger._instance_dict.values():
                    logger.handlers.clear()
                MMLogger._instance_dict.clear()
        return 0

    return call


@pytest.fixture(scope="session")
def command(root):
    """Command line of a tool, for a process of its own."""

    def make(name, *args):
        return [sys.executable, str(root / "tools" / f"{name}.py"), *map(str, args)]

    return make


@pytest.fixture(scope="session")
def run_tool(command):
    """Run a tool to its end in a process of its own."""

    def run(name, *args, **kwargs):
        return subprocess.run(
            command(name, *args), capture_output=True, text=True, timeout=300, **kwargs
        )

    return run
