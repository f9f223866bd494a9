"""Fixtures for the gate's tests."""

import pathlib

import pytest

import gate_nginx
import gate_upstream


@pytest.fixture(scope="session")
def sekisho():
    """The command; the tests of the gate make their policies with it."""
    if not gate_nginx.SEKISHO.exists():
        pytest.fail("build/bin/sekisho is missing: run make first")
    return gate_nginx.SEKISHO


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def nginx_at(sekisho):
    """nginx_at(folder, http, …) starts one, which is stopped and whose logs
    are looked through when the file's tests are done."""
    if not gate_nginx.NGINX:
        pytest.skip("install the Debian package nginx")
    if gate_nginx.MODULE and not pathlib.Path(gate_nginx.MODULE).exists():
        pytest.fail(f"{gate_nginx.MODULE} is missing: run make first")
    started = []

    def start(*arguments, **options):
        started.append(gate_nginx.Nginx(*arguments, **options))
        return started[-1]

    yield start
    failures = []
    for nginx in reversed(started):
        try:
            nginx.stop()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def upstream():
    server = gate_upstream.Upstream()
    yield server
    server.close()
