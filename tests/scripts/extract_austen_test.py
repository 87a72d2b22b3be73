import json
import pathlib
import struct
import tempfile
import unittest
import zlib

import extract_austen
from extract_austen import FormatError

UTF8 = 1 << (12 + 3)


def string(text, flags=UTF8, encoding="utf-8"):
    encoded = text.encode(encoding)
    return struct.pack(">ii", flags | 9, len(encoded)) + encoded


def vector(strings, version=3, flags=0):
    header = b"X\n" + struct.pack(">iii", version, 0x040201, 0x030500)
    if version == 3:
        header += struct.pack(">i", 5) + b"UTF-8"
    return header + struct.pack(">ii", flags | 16, len(strings)) + b"".join(strings)


def record(data, size=None):
    return struct.pack(">I", len(data) if size is None else size) + zlib.compress(data)


class XdrTest(unittest.TestCase):
    def test_strings_in_both_versions_and_encodings(self):
        latin1 = string("£20", 1 << (12 + 2), "latin-1")
        for version in (2, 3):
            data = vector([string("Emma"), string(""), string("£10"), latin1], version)
            self.assertEqual(extract_austen.read_character_vector(data),
                             ["Emma", "", "£10", "£20"])

    def assert_fails(self, data, words):
        with self.assertRaisesRegex(FormatError, words):
            extract_austen.read_character_vector(data)

    def test_every_truncation_is_an_error(self):
        data = vector([string("Emma"), string("by Jane Austen")])
        for size in range(len(data)):
            with self.assertRaises(FormatError):
                extract_austen.read_character_vector(data[:size])

    def test_what_is_not_a_plain_character_vector(self):
        self.assert_fails(b"A\n" + bytes(20), "begin with 'X'")
        self.assert_fails(vector([], version=4), "version 4")
        self.assert_fails(vector([], flags=0x200), "plain character vector")
        self.assert_fails(vector([struct.pack(">ii", 9, -1)]), "missing value")
        self.assert_fails(vector([struct.pack(">ii", 9, -2)]), "-2 bytes expected")
        self.assert_fails(vector([string("a")]) + b"more", "4 bytes after")


class RecordsTest(unittest.TestCase):
    def test_records_follow_each_other(self):
        self.assertEqual(list(extract_austen.read_records(record(b"one") + record(b"two"))),
                         [b"one", b"two"])

    def assert_fails(self, database):
        with self.assertRaises(FormatError):
            list(extract_austen.read_records(database))

    def test_damaged_records(self):
        self.assert_fails(record(b"one", size=2))
        self.assert_fails(record(b"one", size=4))
        self.assert_fails(record(b"one", size=1 << 31))
        self.assert_fails(record(b"one")[:-1])
        self.assert_fails(b"\0\0\0\3not zlib")


class ChaptersTest(unittest.TestCase):
    LINES = ["EMMA", "By Jane Austen", "VOLUME I", "CHAPTER I", "", "Emma Woodhouse, handsome,",
             "clever, and  rich.", "", "She was the youngest.", "Chapter 2", "Mr. Weston.", "FINIS"]

    def test_chapters_become_documents_of_unwrapped_paragraphs(self):
        found = [(title, extract_austen.unwrap(body))
                 for title, body in extract_austen.chapters(self.LINES)]
        self.assertEqual(found, [
            ("EMMA, CHAPTER I",
             "Emma Woodhouse, handsome, clever, and rich.\n\nShe was the youngest.\n"),
            ("EMMA, Chapter 2", "Mr. Weston.\n"),
        ])

    def test_a_novel_without_chapters_is_an_error(self):
        with self.assertRaisesRegex(FormatError, "no chapter"):
            list(extract_austen.chapters(["EMMA", "text"]))

    def test_documents_of_all_records(self):
        novel = record(vector([string(line) for line in self.LINES]))
        documents = extract_austen.read_documents(novel + novel)
        self.assertEqual([document["title"] for document in documents],
                         ["EMMA, CHAPTER I", "EMMA, Chapter 2"] * 2)
        with self.assertRaisesRegex(FormatError, "no records"):
            extract_austen.read_documents(b"")

    def test_documents_are_written_as_json_lines(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "a.jsonl")
            documents = [{"title": "a", "text": "£1\n"}, {"title": "b", "text": ""}]
            extract_austen.write_documents(documents, path)
            lines = path.read_text(encoding="utf-8").splitlines()
            self.assertEqual([json.loads(line) for line in lines], documents)


if __name__ == "__main__":
    unittest.main()
