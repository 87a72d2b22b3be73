"""Tests of what check_lm_eval.py does without the harness."""

import contextlib
import io
import math
import unittest

import check_lm_eval
import lm_eval_data
from check_lm_eval import Run, Scores


class DataTest(unittest.TestCase):

    def test_every_task_has_records_that_have_the_hubs_form(self):
        self.assertEqual(lm_eval_data.FILES.keys(), lm_eval_data.INVENTED.keys())
        for task, records in lm_eval_data.INVENTED.items():
            self.assertTrue(records)
            for record in records:
                lm_eval_data.to_hub(task, record)
                if "choices" in record:
                    self.assertLess(record["label"], len(record["choices"]))

    def test_hub_forms(self):
        record = {"ctx": "A: B: c _", "choices": ["x", "y"], "label": 1}
        lettered = {"text": ["x", "y"], "label": ["A", "B"]}
        self.assertEqual({"question": "A: B: c _", "choices": lettered, "answerKey": "B"},
                         lm_eval_data.to_hub("arc_easy", record))
        self.assertEqual({"question_stem": "A: B: c _", "choices": lettered, "answerKey": "B"},
                         lm_eval_data.to_hub("openbookqa", record))
        self.assertEqual({"activity_label": "A", "ctx_a": "B: c _", "ctx_b": "",
                          "endings": ["x", "y"], "label": "1"},
                         lm_eval_data.to_hub("hellaswag", record))
        self.assertEqual({"goal": "A: B: c _", "sol1": "x", "sol2": "y", "label": 1},
                         lm_eval_data.to_hub("piqa", record))
        self.assertEqual({"sentence": "A: B: c _", "option1": "x", "option2": "y", "answer": "2"},
                         lm_eval_data.to_hub("winogrande", record))
        self.assertEqual({"text": "a"}, lm_eval_data.to_hub("lambada_openai", {"text": "a"}))


class CompareTest(unittest.TestCase):
    RUN = Run("hf, vanilla", None, "hf", {}, check_lm_eval.Tolerance(1e-3, 1e-6))

    def compare(self, harness, program):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            differences = check_lm_eval.compare(self.RUN, {"piqa": harness}, {"piqa": program})
        return differences, output.getvalue()

    def test_agreement(self):
        harness = Scores({(0, 0): (-1.0, True), (0, 1): (-2000.0, False)},
                         {"alias": "piqa", "acc,none": 0.5, "perplexity,none": 1000.0,
                          "perplexity_stderr,none": 3.0, "bits_stderr,none": "N/A"})
        program = Scores({(0, 0): (-1.0009, True), (0, 1): (-2000.0019, False)},
                         {"acc,none": 0.5, "perplexity,none": 1000.05})
        differences, output = self.compare(harness, program)
        self.assertEqual([], differences)
        self.assertRegex(output, r"piqa +2 +1\.9e-03 +0  acc 0\.5000")

    def test_differences(self):
        requests = {(0, 0): (-1.0, True)}
        metrics = {"acc,none": 0.5, "acc_stderr,none": 0.1, "perplexity,none": 10.0}
        harness = Scores(requests, metrics)
        for program, expected in (
                (Scores({(0, 0): (-1.0011, True)}, metrics), "document 0, request 0: [-1.0, True]"),
                (Scores({(0, 0): (math.nan, True)}, metrics), "request 0"),
                (Scores({(0, 0): (-1.0, False)}, metrics), "[-1.0, False] in blockformer eval"),
                (Scores({}, metrics), "1 requests in the harness, 0 in blockformer eval"),
                (Scores({(1, 0): (-1.0, True)}, metrics), "or of other documents"),
                (Scores(requests, metrics | {"acc,none": 0.501}), "acc,none: 0.5"),
                (Scores(requests, metrics | {"acc_stderr,none": 0.2}), "acc_stderr,none: 0.1"),
                (Scores(requests, metrics | {"perplexity,none": 10.01}), "perplexity,none: 10.0"),
                (Scores(requests, {"acc,none": 0.5, "acc_stderr,none": 0.1}), "None in blockf")):
            differences, _ = self.compare(harness, program)
            self.assertEqual(1, len(differences), differences)
            self.assertTrue(differences[0].startswith("hf, vanilla, piqa, "))
            self.assertIn(expected, differences[0])


if __name__ == "__main__":
    unittest.main()
