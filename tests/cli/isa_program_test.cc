// The program on each instruction set.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/isa.h"
#include "config/json.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class IsaProgramTest : public ProgramTest {
 protected:
  static Outcome RunOn(const std::string& isa, const std::string& arguments, bool with_errors) {
    return Run(arguments, with_errors, "BLOCKFORMER_ISA=" + isa + " ");
  }
};

// bf16 is left out: it rounds inputs only where the processor has bf16 products. Sums in another
// order differ by roundoffs, which may round an input to the next byte.
TEST_F(IsaProgramTest, AllScoreTheSame) {
  WriteFileAtomically(Path("in.jsonl"), "{\"text\":\"the end of the day\"}\n{\"text\":\"a\"}\n");
  const auto scores = [&](const std::string& dtype, const std::string& isa) {
    const Outcome outcome =
        RunOn(isa,
              fmt::format("score {} --dtype {} --force --input {} --output {}", Path("block"),
                          dtype, Path("in.jsonl"), Path("out.jsonl")),
              true);
    EXPECT_EQ(outcome.exit_code, 0) << isa << ": " << outcome.output;
    std::vector<double> values;
    for (const Json& line : ReadLines(Path("out.jsonl"))) values.push_back(line["log_likelihood"]);
    return values;
  };
  const std::map<std::string, double> tolerances = {{"f32", 1e-5}, {"int8", 1e-2}};
  for (const auto& [dtype, tolerance] : tolerances) {
    const std::vector<double> best = scores(dtype, IsaName(SupportedIsas().back()));
    ASSERT_EQ(best.size(), 2U);
    for (const Isa isa : SupportedIsas()) {
      const std::vector<double> other = scores(dtype, IsaName(isa));
      for (size_t i = 0; i < best.size(); ++i) {
        EXPECT_NEAR(other[i], best[i], -tolerance * best[i]) << dtype << " on " << IsaName(isa);
      }
    }
  }
}

TEST_F(IsaProgramTest, DoctorShowsWhatKernelsUse) {
  for (const Isa isa : SupportedIsas()) {
    const Outcome outcome = RunOn(IsaName(isa), "doctor --json", false);
    ASSERT_EQ(outcome.exit_code, 0) << IsaName(isa);
    const Json report = ParseJson(outcome.output, "output");
    const Json& kernels = report["kernels"];
    EXPECT_EQ(report["threads"], AvailableProcessors());
    EXPECT_THAT(report["threads_limited_by"].get<std::string>(), HasSubstr("processors"));
    EXPECT_EQ(kernels["isa"], IsaName(isa));
    if (isa == Isa::kAvx2) {
      EXPECT_EQ(kernels["highway"], "AVX2");
    }
  }
}

TEST_F(IsaProgramTest, RefusesOthers) {
  const auto expect = [](const std::string& isa, const std::string& part) {
    const Outcome refused = RunOn(isa, "--version", true);
    EXPECT_EQ(refused.exit_code, 2) << isa;
    EXPECT_THAT(refused.output, HasSubstr("BLOCKFORMER_ISA: " + part));
    EXPECT_EQ(std::count(refused.output.begin(), refused.output.end(), '\n'), 1) << isa;
  };
  expect("sse9", "'sse9' is not known; portable, dotprod, avx2, avxvnni, avx512 and vnni are");
  expect("AVX2", "'AVX2' is not known");
  expect("''", "'' is not known");
  for (const Isa isa : {Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kVnni}) {
    if (testing::Value(SupportedIsas(), testing::Contains(isa))) continue;
    expect(IsaName(isa), fmt::format("this processor does not have {}", IsaName(isa)));
  }
}

}  // namespace
}  // namespace blockformer
