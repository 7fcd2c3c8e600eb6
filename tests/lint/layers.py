#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: layers.py BUILD_DIR. Nothing on a floor knows of one above it.

Two ways to see it: what the sources include, and whether the build would refuse it: for each
library, the preprocessor is asked with the library's own flags which headers an #include would
find. It must find those of the layers below, and none of the others.
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

# What each layer may include besides itself (design 1). "testlib" is tests/lib.
ALLOWED = {
    "base": set(),
    "schema": {"base"},
    "rpc": {"schema", "base"},
    "merkle": {"base"},
    "storage": {"base"},
    "raft": {"base"},
    "node": {"raft", "storage", "merkle", "rpc", "schema", "base"},
    "client": {"rpc", "schema", "merkle", "base"},
    "testlib": {"base"},
}
FOLDERS = {
    "base": "proto/base",
    "schema": "proto/schema",
    "rpc": "proto/rpc",
    "merkle": "merkle",
    "storage": "storage",
    "raft": "node/raft",
    "node": "node",
    "client": "client",
    "testlib": "tests/lib",
}
# Libraries of others that one place may name.
ONLY_IN = {"nng/": ("proto/rpc/transport_nng.c",)}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
problems = []


def files_of(layer):
    folder = FOLDERS[layer]
    for parent, _, names in os.walk(folder):
        if layer == "node" and os.path.normpath(parent).startswith("node/raft"):
            continue
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.join(parent, name)


def check_text():
    for layer, allowed in ALLOWED.items():
        for path in files_of(layer):
            with open(path, encoding="utf-8") as source:
                includes = INCLUDE.findall(source.read())
            for _, name in includes:
                first = name.split("/")[0]
                if ".." in name.split("/"):
                    problems.append(f"{path}: includes {name}, around its layer")
                elif "/" in name and first in ALLOWED and first != layer and first not in allowed:
                    problems.append(f"{path}: {layer} may not include {name}")
                for prefix, places in ONLY_IN.items():
                    if name.startswith(prefix) and path not in places:
                        problems.append(f"{path}: only {', '.join(places)} may include {name}")


def commands(build):
    """One compile command's preprocessor flags for each library that is there."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    found = {}
    for entry in entries:
        words = shlex.split(entry["command"])
        target = re.search(r"CMakeFiles/estreat_(\w+)\.dir/", entry["command"])
        if target and target.group(1) in ALLOWED and target.group(1) not in found:
            flags = [w for i, w in enumerate(words)
                     if w.startswith(("-I", "-D", "-std")) or w == "-isystem"
                     or (i > 0 and words[i - 1] == "-isystem")]
            found[target.group(1)] = [words[0]] + flags
    return found


def headers(layer, build):
    folder = FOLDERS[layer]
    if layer == "schema":
        folder = os.path.join(build, "layers/schema/schema")
    names = sorted(n for n in os.listdir(folder) if n.endswith(".h"))
    return [f"{layer}/{name}" for name in names]


def reachable(command, names):
    """Those of the headers that an #include would find with these flags."""
    with tempfile.NamedTemporaryFile("w", suffix=".c") as source:
        for number, name in enumerate(names):
            source.write(f'#if __has_include("{name}")\nfound {number}\n#endif\n')
        source.flush()
        out = subprocess.run(command + ["-E", "-P", source.name], stdout=subprocess.PIPE,
                             check=True, text=True).stdout
    return {names[int(number)] for number in re.findall(r"^found (\d+)$", out, re.M)}


def check_build(build):
    tried = 0
    found = commands(build)
    all_headers = {layer: headers(layer, build) for layer in found}
    names = [h for own in all_headers.values() for h in own]
    for layer, command in found.items():
        # A machine may have headers of such names itself: nodejs has a node/node.h.
        elsewhere = reachable(command[:1], names)
        seen = reachable(command, names)
        for other in found:
            for header in all_headers[other]:
                may = other == layer or other in ALLOWED[layer]
                tried += 1
                if may and header not in seen:
                    problems.append(f"estreat_{layer} cannot include {header}, but may")
                if not may and header in seen - elsewhere:
                    problems.append(f"estreat_{layer} can include {header}, but may not")
    if tried == 0:
        problems.append(f"{build}: no library of ours in compile_commands.json")
    return tried


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    check_text()
    tried = check_build(sys.argv[1])
    print(f"{tried} pairs of library and header tried")
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


main()
