import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import quickstart_report


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def make_results(folder, block_text="the cat", block_rate=200.0):
    write(folder / "data/validation.json", json.dumps({"documents": 2, "tokens": 98, "text_bytes": 400}))
    write(folder / "data/train.jsonl", json.dumps({"text": "the cat sat"}) + "\n")
    write(folder / "block.text.jsonl", json.dumps({"text": block_text}) + "\n")
    write(folder / "vanilla.text.jsonl", json.dumps({"text": "zebra"}) + "\n")
    results = []
    for kind, rate in (("block", block_rate), ("vanilla", 100.0)):
        write(folder / kind / "latest/state.json", json.dumps({"validation_loss": 4.0}))
        for batch in (8, 1):
            results.append({"batch": batch, "kind": kind, "prompt": 448, "generate": 64,
                            "total_tokens_per_s": rate * batch})
    write(folder / "throughput.json", json.dumps({"results": results}))


class QuickstartReportTest(unittest.TestCase):
    def report(self, **results):
        output, errors = io.StringIO(), io.StringIO()
        with tempfile.TemporaryDirectory() as directory:
            folder = pathlib.Path(directory)
            make_results(folder, **results)
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
                code = quickstart_report.main(folder)
        return code, output.getvalue(), errors.getvalue()

    def test_bits_per_byte_counts_the_end_of_text(self):
        counts = {"documents": 2, "tokens": 98, "text_bytes": 400}
        self.assertAlmostEqual(quickstart_report.bits_per_byte(4.0, counts), 1.4427, 4)

    def test_known_words(self):
        share = quickstart_report.known_words_share("the cat flew home", {"the", "cat"})
        self.assertEqual(share, 0.5)
        self.assertEqual(quickstart_report.known_words_share("", {"the"}), 0)

    def test_good_results(self):
        code, output, errors = self.report()
        self.assertEqual((code, errors), (0, ""))
        self.assertIn("block     4.000    1.443", output)
        self.assertIn("(100% of the words", output)
        rows = [line.split() for line in output.splitlines()]
        self.assertIn(["1", "200", "100", "2.00"], rows)
        self.assertLess(rows.index(["1", "200", "100", "2.00"]),
                        rows.index(["8", "1600", "800", "2.00"]))

    def test_what_falls_short_is_an_error(self):
        code, _, errors = self.report(block_text="the cat flew")
        self.assertEqual(code, 1)
        self.assertIn("only 67% of the block model's words", errors)
        code, _, errors = self.report(block_rate=90.0)
        self.assertEqual(code, 1)
        self.assertIn("only 0.90 times as fast", errors)


if __name__ == "__main__":
    unittest.main()
