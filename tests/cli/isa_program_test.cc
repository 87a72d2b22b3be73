// The program on each instruction set. They take processes of their own, since oneDNN makes its
// choice only once.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "config/json.h"
#include "kernels/isa.h"
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

// bf16 is left out: it rounds inputs only where the processor has bf16 products.
TEST_F(IsaProgramTest, AllGenerateTheSame) {
  for (const char* dtype : {"f32", "int8"}) {
    const std::string generate = fmt::format(
        "generate --model {} --prompt 'the end' --max-tokens 40 --ignore-eos --json --dtype {}",
        Path("block"), dtype);
    const Json best = ParseJson(Run(generate, false).output, "output");
    ASSERT_EQ(best["ids"].size(), 40U);
    for (const Isa isa : SupportedIsas()) {
      const Outcome outcome = RunOn(IsaName(isa), generate, false);
      ASSERT_EQ(outcome.exit_code, 0) << IsaName(isa);
      EXPECT_EQ(ParseJson(outcome.output, "output")["ids"], best["ids"])
          << dtype << " on " << IsaName(isa);
    }
  }
}

TEST_F(IsaProgramTest, DoctorShowsWhatKernelsAndOneDnnUse) {
  const std::map<Isa, std::string> limits = {{Isa::kAvx2, "oneDNN avx2"},
                                             {Isa::kAvx512, "oneDNN avx512_core"}};
  for (const Isa isa : SupportedIsas()) {
    const Outcome outcome = RunOn(IsaName(isa), "doctor --json", false);
    ASSERT_EQ(outcome.exit_code, 0) << IsaName(isa);
    const Json kernels = ParseJson(outcome.output, "output")["kernels"];
    EXPECT_EQ(kernels["isa"], IsaName(isa));
    if (limits.contains(isa)) {
      EXPECT_EQ(kernels["gemm"], limits.at(isa));
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
  expect("sse9", "'sse9' is not known; portable, avx2, avx512 and vnni are");
  expect("AVX2", "'AVX2' is not known");
  expect("''", "'' is not known");
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512, Isa::kVnni}) {
    if (testing::Value(SupportedIsas(), testing::Contains(isa))) continue;
    expect(IsaName(isa), fmt::format("this processor does not have {}", IsaName(isa)));
  }
}

}  // namespace
}  // namespace blockformer
