import unittest

import check_includes


def problems(path, *includes):
    text = "".join(f"#include {include}\n" for include in includes)
    if path.endswith(".h"):
        guard = check_includes.expected_guard(path)
        text = f"#ifndef {guard}\n#define {guard}\n{text}#endif\n"
    return check_includes.check_file(path, text)


class CheckIncludesTest(unittest.TestCase):
    def assert_fine(self, path, *includes):
        self.assertEqual(problems(path, *includes), [])

    def assert_one_problem(self, path, include, words):
        found = problems(path, include)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_folders_include_only_those_above_them(self):
        self.assert_fine("src/engine/a.cc", '"runner/runner.h"', '"engine/b.h"', '"base/error.h"')
        self.assert_one_problem("src/engine/a.cc", '"kernels/gemm.h"', "engine includes")
        self.assert_one_problem("src/eval/a.cc", '"cpu/cpu_model.h"', "eval includes")
        self.assert_one_problem("src/text/a.cc", '"data/token_file.h"', "may include base, config")
        self.assert_one_problem("src/base/a.h", '"config/json.h"', "may include nothing else")

    def test_train_and_the_processors_arithmetic_stay_apart(self):
        self.assert_one_problem("src/train/a.cc", '"cpu/cpu_model.h"', "train includes")
        self.assert_one_problem("src/cli/a.cc", '"train/trainer.h"', "cli includes")

    def test_tests_follow_the_folder_they_mirror(self):
        self.assert_fine("tests/engine/a_test.cc", "<gtest/gtest.h>", '"tests/temp_directory.h"')
        self.assert_one_problem("tests/text/a_test.cc", '"runner/model.h"', "text includes")

    def test_kernels_neither_log_nor_read_configuration(self):
        self.assert_one_problem("src/kernels/a.cc", '"base/log.h"', "must not include base/log.h")
        self.assert_one_problem("src/kernels/a.cc", '"config/model_config.h"', "may include base")

    def test_libraries_have_their_places(self):
        self.assert_fine("src/train/a.h", "<torch/torch.h>")
        self.assert_fine("src/checkpoint/a.cc", "<nlohmann/json.hpp>")
        self.assert_one_problem("src/engine/a.cc", "<torch/torch.h>", "may only be included in")
        self.assert_one_problem("src/engine/a.cc", "<hwy/highway.h>", "kernels/")
        self.assert_one_problem("src/engine/a.cc", "<immintrin.h>", "kernels/")
        self.assert_one_problem("src/text/a.h", "<nlohmann/json.hpp>", "config/")
        self.assert_one_problem("src/train/a.h", "<CLI/CLI.hpp>", "cli/")
        self.assert_fine("src/bench/a.cc", "<benchmark/benchmark.h>")
        self.assert_one_problem("src/cli/a.cc", "<benchmark/benchmark.h>", "bench/")

    def test_public_headers_use_the_standard_library_alone(self):
        self.assert_fine("include/blockformer/a.h", "<string>", '"blockformer/error.h"')
        self.assert_one_problem("include/blockformer/a.h", '"base/error.h"', "a public header")
        self.assert_one_problem("include/blockformer/a.h", "<fmt/format.h>", "a public header")

    def test_project_headers_stand_in_quotes(self):
        self.assert_one_problem("src/data/a.cc", "<base/error.h>", 'write "base/error.h"')

    def test_line_numbers_and_directives_with_spaces(self):
        text = '#include <string>\n\n#  include "cli/commands.h"\n'
        self.assertEqual(len(check_includes.check_file("src/base/a.cc", text)), 1)
        self.assertIn("src/base/a.cc:3:", check_includes.check_file("src/base/a.cc", text)[0])

    def test_header_guards(self):
        self.assertEqual(check_includes.expected_guard("src/base/error.h"),
                         "BLOCKFORMER_BASE_ERROR_H_")
        self.assertEqual(check_includes.expected_guard("include/blockformer/error.h"),
                         "BLOCKFORMER_ERROR_H_")
        self.assertEqual(check_includes.expected_guard("tests/data/temp_dir.h"),
                         "BLOCKFORMER_TESTS_DATA_TEMP_DIR_H_")
        found = check_includes.check_file("src/base/a.h", "#pragma once\n")
        self.assertIn("must be BLOCKFORMER_BASE_A_H_", found[0])


if __name__ == "__main__":
    unittest.main()
