#!/usr/bin/env python3
"""Checks who includes what, and the names of header guards.

A folder of src/ includes only the folders listed for it below, each library is included only where
it belongs, and the public headers include nothing but the standard library and themselves.
Prints one line a violation and exits with 1 if there is any.

    scripts/dev/check_includes.py            checks the files that git tracks
    scripts/dev/check_includes.py FILE...    checks these; paths are relative to the project's root
"""

import pathlib
import re
import subprocess
import sys

# What a folder of src/ may include besides itself.
FOLDERS = {
    "base": [],
    "config": ["base"],
    "text": ["base", "config"],
    "checkpoint": ["base", "config", "text"],
    "data": ["base", "config", "text", "checkpoint"],
    "runner": ["base", "config"],
    "kernels": ["base"],
    "cpu": ["base", "config", "checkpoint", "runner", "kernels"],
    "cuda": ["base", "config", "checkpoint", "runner"],
    "devices": ["base", "config", "checkpoint", "runner", "cpu", "cuda"],
    "engine": ["base", "config", "text", "checkpoint", "data", "runner", "devices"],
    "eval": ["base", "config", "text", "checkpoint", "data", "runner", "devices", "engine"],
    "api": ["base", "config", "text", "runner", "engine", "eval"],
    "server": ["base", "config", "text", "runner", "devices", "engine", "eval"],
    "train": ["base", "config", "text", "checkpoint", "data", "runner", "devices", "engine"],
    "sweep": ["base", "config"],
    "bench": ["base", "config", "text", "checkpoint", "data", "runner", "kernels", "cpu", "devices",
              "engine", "eval"],
    "cli": ["base", "config", "text", "checkpoint", "data", "runner", "kernels", "devices",
            "engine", "eval", "server", "sweep", "bench"],
}

# The same within a folder that has folders; what lies in it directly may include them all.
SUBFOLDERS = {
    "train": {"kernels": [], "model": ["kernels"], "processes": [],
              "loop": ["kernels", "model", "processes"]},
}

# Headers that a folder may not include although they lie in an allowed one.
FORBIDDEN_HEADERS = {"kernels": ["base/log.h", "base/file.h", "base/progress.h"]}

# Where a library may be included: a pattern of its headers, and a pattern of the files. Tests and
# benchmarks of a folder may include what the folder may.
LIBRARIES = [
    (r"(torch|ATen|c10|c10d|caffe2)/", r"train/"),
    (r"(dnnl|oneapi/)", r"train/kernels/gemm\.cc$"),
    (r"(cuda_|cublas|vector_types)[^/]*\.h$", r"cuda/"),
    (r"hwy/", r"kernels/"),
    (r".*intrin\.h|arm_neon\.h", r"kernels/"),
    (r"nlohmann/", r"config/|.*\.cc$"),
    (r"yaml-cpp/", r"config/|.*\.cc$"),
    (r"CLI/", r"cli/|train/commands\.h$|train/.*\.cc$"),
    (r"spdlog/", r"base/log"),
    (r"omp\.h", r"base/"),
    (r"pcre2", r"text/"),
    (r"utf8proc", r"text/"),
    (r"zstd", r"data/"),
    (r"zlib\.h", r"data/"),
    (r"(boost|openssl)/", r"server/"),
    (r"benchmark/", r"bench/"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def includes_of(text):
    """Yields (line number, True for quotes, header) for each include directive."""
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start(2)) + 1, match[1] == '"', match[2]


def check_public_header(header):
    if header.startswith("blockformer/") or re.fullmatch(r"[a-z_0-9]+|std(def|int)\.h", header):
        return None
    return f"a public header includes {header}; only the standard library and blockformer/ may be"


def check_folder_include(folder, header):
    target = header.split("/")[0]
    if header in FORBIDDEN_HEADERS.get(folder, []):
        return f"{folder} must not include {header}"
    if target in FOLDERS and target != folder and target not in FOLDERS[folder]:
        allowed = ", ".join(FOLDERS[folder]) or "nothing else"
        return f"{folder} includes {header}; it may include {allowed}"
    return None


def check_subfolder_include(path_in_tree, header):
    folder, subfolder = path_in_tree.split("/")[:2]
    allowed = SUBFOLDERS.get(folder, {}).get(subfolder)
    target = header.split("/")
    if allowed is None or target[0] != folder or len(target) < 3:
        return None
    if target[1] == subfolder or target[1] in allowed:
        return None
    return f"{folder}/{subfolder} includes {header}; it may include {', '.join(allowed) or 'nothing else'}"


def check_library(path_in_tree, header):
    for headers, places in LIBRARIES:
        if re.match(headers, header) and not re.match(places, path_in_tree):
            return f"{header} may only be included in files that match {places}"
    return None


def expected_guard(path):
    names = pathlib.PurePosixPath(path).parts
    names = names[2:] if names[0] == "include" else names[1:] if names[0] == "src" else names
    return "BLOCKFORMER_" + re.sub(r"[^A-Za-z0-9]", "_", "_".join(names)).upper() + "_"


def check_guard(path, text):
    guard = expected_guard(path)
    if f"#ifndef {guard}\n#define {guard}\n" not in text:
        return f"the header guard must be {guard}"
    return None


def check_file(path, text):
    """Returns the violations in one file as lines "PATH:LINE: PROBLEM"."""
    problems = []
    top, _, inner = path.partition("/")
    folder = inner.split("/")[0]
    for line, quoted, header in includes_of(text):
        found = []
        if path.startswith("include/"):
            found.append(check_public_header(header))
        elif top in ("src", "tests", "bench") and folder in FOLDERS:
            found.append(check_folder_include(folder, header))
            found.append(check_subfolder_include(inner, header))
            found.append(check_library(inner, header))
        if header.split("/")[0] in FOLDERS and "/" in header and not quoted:
            found.append(f"<{header}> is a header of this project; write \"{header}\"")
        problems += [f"{path}:{line}: {problem}" for problem in found if problem]
    # Highway's -inl.h files are included once for every instruction set.
    if path.endswith(".h") and not path.endswith("-inl.h") and (problem := check_guard(path, text)):
        problems.append(f"{path}:1: {problem}")
    return problems


def tracked_sources():
    listing = subprocess.run(["git", "ls-files", "*.h", "*.cc", "*.cu"], check=True, capture_output=True,
                             text=True)
    return listing.stdout.splitlines()


def main(paths):
    problems = []
    for path in paths or tracked_sources():
        problems += check_file(path, pathlib.Path(path).read_text(encoding="utf-8"))
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
