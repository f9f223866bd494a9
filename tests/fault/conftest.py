"""Fixtures of tests/integration, and a stage for one test."""

import importlib.util
import pathlib
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path.insert(0, str(INTEGRATION))

# there is a conftest of that name here too
_spec = importlib.util.spec_from_file_location("integration_conftest",
                                               INTEGRATION / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
sekisho, nginx_at = _module.sekisho, _module.nginx_at


@pytest.fixture
def stage(tmp_path, nginx_at):  # pylint: disable=redefined-outer-name
    """stage(…) makes a Stage; what is left of it is killed."""
    import stage as stages  # pylint: disable=import-outside-toplevel
    made = []

    def make(**options):
        folder = tmp_path / f"stage{len(made)}"
        folder.mkdir()
        made.append(stages.Stage(folder, nginx_at, **options))
        return made[-1]
    yield make
    for one in made:
        one.clear()


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(size) is a file system of that size."""
    import small_disk as disks  # pylint: disable=import-outside-toplevel
    made = []

    def make(size):
        made.append(disks.SmallDisk(tmp_path / f"disk{len(made)}", size))
        return made[-1]
    yield make
    for one in made:
        one.close()
