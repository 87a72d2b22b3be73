#!/usr/bin/env python3
"""Runs clang-tidy on the sources of a compilation database, and remembers the clean ones.

    scripts/dev/run_clang_tidy.py BUILD_DIRECTORY JOBS

A file is checked again only when it, a project header that it reaches, its command or the settings
change. Prints the findings and exits with 1 if there are any.
"""

import concurrent.futures
import functools
import hashlib
import json
import pathlib
import re
import subprocess
import sys

CLANG_TIDY = "clang-tidy-16"
ROOTS = ["src", "include", "."]  # where project headers are looked up
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


@functools.cache
def contents(path):
    return path.read_text(encoding="utf-8")


@functools.cache
def direct_includes(path):
    headers = INCLUDE.findall(contents(path))
    candidates = (pathlib.Path(root, header) for header in headers for root in ROOTS)
    return [candidate for candidate in candidates if candidate.is_file()]


def reachable(path):
    """The file and the project headers that it includes, directly or through others."""
    seen = {path}
    pending = [path]
    while pending:
        for header in direct_includes(pending.pop()):
            if header not in seen:
                seen.add(header)
                pending.append(header)
    return sorted(seen)


def settings():
    files = subprocess.run(["git", "ls-files", "*.clang-tidy"], check=True, capture_output=True,
                           text=True).stdout.split()
    return "".join(contents(pathlib.Path(file)) for file in files)


def stamp_name(path, command):
    digest = hashlib.sha256((settings() + command).encode())
    for file in reachable(path):
        digest.update(f"{file}\n{contents(file)}".encode())
    return digest.hexdigest()


def check(build, path):
    result = subprocess.run([CLANG_TIDY, "-p", build, "--quiet", path], capture_output=True,
                            text=True, check=False)
    return result.returncode, result.stdout + (result.stderr if result.returncode else "")


def main(build, jobs):
    stamps = pathlib.Path(build, "tidy")
    stamps.mkdir(exist_ok=True)
    root = pathlib.Path.cwd()
    pending = []
    for entry in json.loads(pathlib.Path(build, "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"])
        if path.is_relative_to(root) and not path.is_relative_to(root / "build"):
            path = path.relative_to(root)
            stamp = stamps / stamp_name(path, entry["command"])
            if not stamp.exists():
                pending.append((path, stamp))

    failures = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda job: check(build, job[0]), pending)
        for number, ((path, stamp), (code, output)) in enumerate(zip(pending, results), 1):
            print(f"[{number}/{len(pending)}] clang-tidy {path}", flush=True)
            if code == 0:
                stamp.touch()
            else:
                failures += 1
                print(output, flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
