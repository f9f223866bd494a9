"""The tree keeps to its layers, and exports what it says."""

import os
import re
import subprocess

import pytest

from tool import TOP

MODULE = os.path.join(TOP, "build/lib/ngx_http_sekisho_module.so")

# What a folder may include of the tree; its own files are always allowed.
MAY = {
    "lib/base": set(),
    "lib/policy": {"lib/base"},
    "lib/dicom": {"lib/base"},
    "lib/trail": {"lib/base"},
    "lib/review": {"lib/base", "lib/policy", "lib/dicom", "lib/trail"},
    "lib/otp": {"lib/base"},
    "lib/ipc": {"lib/base", "lib/trail", "lib/otp"},
    "tools": {"lib/base", "lib/policy", "lib/dicom", "lib/trail", "lib/otp",
              "lib/review", "lib/ipc"},
    "modules": {"lib/base", "lib/policy", "lib/dicom", "lib/trail", "lib/ipc",
                "modules"},
    "daemon": {"lib/base", "lib/policy", "lib/trail", "lib/otp",
               "lib/review", "lib/ipc"},
}
FOREIGN = re.compile(r"^(ngx_|nginx|security/|pam)", re.I)


def sources(*tops):
    for top in tops:
        for folder, _, names in os.walk(os.path.join(TOP, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), TOP)


def includes(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', file.read(),
                          re.M)


def layer_of(path):
    for layer in sorted(MAY, key=len, reverse=True):
        if path.startswith(layer + "/"):
            return layer
    return None


def resolve(path, name):
    """A quoted include, as the compiler finds it: beside the file, or by -I."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    if os.path.exists(os.path.join(TOP, beside)):
        return beside
    for option in ("modules",):
        found = os.path.normpath(os.path.join(option, name))
        if os.path.exists(os.path.join(TOP, found)):
            return found
    return None


@pytest.mark.parametrize("layer", MAY)
def test_a_layer_includes_only_what_lies_below(layer):
    seen = 0
    for path in sources(layer):
        for kind, name in includes(path):
            if kind != '"':
                continue
            seen += 1
            target = resolve(path, name)
            assert target is not None, f"{path} includes {name}: not found"
            to = layer_of(target)
            assert to == layer or to in MAY[layer], f"{path} includes {target}"
    assert seen > 0


def test_every_library_folder_is_a_layer_of_this_test():
    folders = {os.path.dirname(path) for path in sources("lib", "tools")}
    assert folders <= set(MAY)


def test_the_library_includes_nothing_of_nginx_or_pam():
    seen = 0
    for path in sources("lib", "tools"):
        for _, name in includes(path):
            seen += 1
            assert not FOREIGN.match(os.path.basename(name)), (path, name)
            assert not name.startswith(("security/", "event", "http", "core/"))
    assert seen > 100


def test_private_headers_stay_in_their_folder():
    private = re.compile(r"(_internal|_parts|_layout|language_\w+)\.h$")
    for path in sources("lib", "tools", "modules"):
        for kind, name in includes(path):
            if kind == '"' and private.search(name):
                assert "/" not in name, f"{path} includes {name}"


def exported(path):
    output = subprocess.run(["nm", "-D", "--defined-only", path], check=True,
                            capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in output.splitlines()}


def test_the_module_exports_what_nginx_looks_for_and_no_more():
    if not os.path.exists(MODULE):
        pytest.fail(f"{MODULE} is not made: run make")
    assert exported(MODULE) == {"ngx_modules", "ngx_module_names",
                                "ngx_module_order"}


def test_every_folder_tells_what_lives_in_it():
    """README.md; `modules/README` is nginx's own habit for an addon."""
    missing = []
    tracked = ("lib", "tools", "modules", "docs", "tests", "conf-examples")
    for top in tracked:
        for folder, folders, names in os.walk(os.path.join(TOP, top)):
            folders[:] = [name for name in folders
                          if name not in ("__pycache__", "corpus", "golden",
                                          "man", ".pytest_cache")]
            has_files = any(not name.startswith(".") for name in names)
            readme = [name for name in names if name.startswith("README")]
            inner = os.path.relpath(folder, os.path.join(TOP, top))
            # conf-examples/nginx and the like are told of one level up
            if has_files and not readme and inner.count("/") == 0 and not (
                    top == "conf-examples" and inner != "."):
                missing.append(os.path.relpath(folder, TOP))
    assert not missing


def test_no_file_names_the_machine_it_was_written_on():
    words = re.compile(r"/work/(?!\S*\$)|/tmp/w[/e]|\bTODO\b|\bFIXME\b")
    for path in sources("lib", "tools", "modules"):
        with open(os.path.join(TOP, path), encoding="utf-8") as file:
            assert not words.search(file.read()), path
