#!/usr/bin/env python3
"""Writes Jane Austen's six novels, from Debian's package r-cran-janeaustenr, as JSON lines.

    scripts/extract_austen.py r-cran-janeaustenr_1.0.0-1_all.deb TRAIN.jsonl VALIDATION.jsonl

Each line is one chapter, {"title": ..., "text": ...}, with every paragraph on one line. Every
twentieth chapter goes to VALIDATION.jsonl, the others to TRAIN.jsonl.

The package holds one character vector a novel in a file of R's lazy-load form: records of a 4-byte
big-endian length of the uncompressed data and a zlib stream, which holds R's XDR serialisation
("R Internals", section 1.8). Needs only Python's standard library and dpkg-deb.
"""

import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import zlib

DATABASE = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
MAX_NOVEL_BYTES = 1 << 26
VALIDATION_INTERVAL = 20

CHARACTER_VECTOR = 16
CHARACTER_STRING = 9
TYPE_MASK = 0xFF
HAS_ATTRIBUTES_OR_TAG = 0x600
LATIN1 = 1 << (12 + 2)

CHAPTER = re.compile(r"\s*chapter\s+([0-9]+|[IVXLC]+)\.?\s*", re.IGNORECASE)
NOT_PROSE = re.compile(r"\s*(volume\s+[IVX]+|finis|the end|[*\s]*\*)\s*", re.IGNORECASE)


class FormatError(Exception):
    """The input is not what this script reads; the message says where and why."""


class XdrReader:
    """Reads the parts of R's XDR serialisation that a character vector needs."""

    def __init__(self, data):
        self.data = data
        self.position = 0

    def take(self, size):
        if size < 0 or size > len(self.data) - self.position:
            raise FormatError(f"byte {self.position}: {size} bytes expected, "
                              f"{len(self.data) - self.position} left")
        self.position += size
        return self.data[self.position - size:self.position]

    def integer(self):
        return struct.unpack(">i", self.take(4))[0]

    def header(self):
        if self.take(2) != b"X\n":
            raise FormatError("not in R's XDR form: it must begin with 'X'")
        version = self.integer()
        self.take(8)  # the R that wrote it, and the oldest that reads it
        if version == 3:
            self.take(self.integer())  # the name of the native encoding
        elif version != 2:
            raise FormatError(f"serialisation version {version}; 2 and 3 can be read")

    def item(self, wanted_type, name):
        at = self.position
        flags = self.integer()
        if flags & TYPE_MASK != wanted_type or flags & HAS_ATTRIBUTES_OR_TAG:
            raise FormatError(f"byte {at}: a plain {name} expected, found type "
                              f"{flags & TYPE_MASK} with flags {flags:#x}")
        return flags

    def string(self):
        flags = self.item(CHARACTER_STRING, "string")
        size = self.integer()
        if size == -1:
            raise FormatError(f"byte {self.position}: a missing value (NA) among the lines")
        return self.take(size).decode("latin-1" if flags & LATIN1 else "utf-8")

    def character_vector(self):
        self.item(CHARACTER_VECTOR, "character vector")
        strings = [self.string() for _ in range(self.integer())]
        if self.position != len(self.data):
            raise FormatError(f"{len(self.data) - self.position} bytes after the last string")
        return strings


def read_character_vector(data):
    reader = XdrReader(data)
    reader.header()
    return reader.character_vector()


def read_records(database):
    """Yields the uncompressed records of a lazy-load database."""
    position = 0
    while position < len(database):
        size = int.from_bytes(database[position:position + 4], "big")
        if size > MAX_NOVEL_BYTES:
            raise FormatError(f"byte {position}: a record of {size} bytes is too long")
        stream = zlib.decompressobj()
        try:
            record = stream.decompress(database[position + 4:], size + 1)
        except zlib.error as error:
            raise FormatError(f"byte {position}: {error}") from error
        if not stream.eof or len(record) != size:
            raise FormatError(f"byte {position}: a record of {size} bytes is cut short or too long")
        yield record
        position = len(database) - len(stream.unused_data)


def chapters(lines):
    """Yields (title, lines) for each chapter; what stands before the first is dropped."""
    title, body = None, []
    for line in lines[1:]:
        if CHAPTER.fullmatch(line):
            if title:
                yield title, body
            title, body = f"{lines[0].strip()}, {line.strip()}", []
        elif not NOT_PROSE.fullmatch(line):
            body.append(line)
    if not title:
        raise FormatError(f"no chapter found in {lines[0]!r}")
    yield title, body


def unwrap(lines):
    """Joins the lines of each paragraph; paragraphs stay apart by an empty line."""
    paragraphs = "\n".join(line.strip() for line in lines).split("\n\n")
    joined = (" ".join(paragraph.split()) for paragraph in paragraphs)
    return "\n\n".join(paragraph for paragraph in joined if paragraph) + "\n"


def read_documents(database):
    """All chapters of all novels, as they are written."""
    documents = [{"title": title, "text": unwrap(body)}
                 for record in read_records(database)
                 for title, body in chapters(read_character_vector(record))]
    if not documents:
        raise FormatError("no records")
    return documents


def write_documents(documents, path):
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps(document) + "\n")
    os.replace(partial, path)


def main(package, train, validation):
    with tempfile.TemporaryDirectory() as directory:
        try:
            subprocess.run(["dpkg-deb", "--extract", package, directory], check=True)
            documents = read_documents(pathlib.Path(directory, DATABASE).read_bytes())
            held_out = documents[VALIDATION_INTERVAL // 2::VALIDATION_INTERVAL]
            write_documents([each for each in documents if each not in held_out], train)
            write_documents(held_out, validation)
        except (FormatError, OSError, UnicodeDecodeError, subprocess.CalledProcessError) as error:
            print(f"extract_austen.py: {package}: {error}", file=sys.stderr)
            return 1
    print(f"{len(documents)} chapters, {len(held_out)} of them held out for validation")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
