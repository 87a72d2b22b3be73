#include "kernels/kernel_isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/error.h"

namespace blockformer {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::ThrowsMessage;

// What it accepts would limit the tests that follow; tests/cli/isa_program_test.cc shows it.
TEST(IsaTest, RefusesWhatTheProcessorDoesNotHave) {
  const char* const set = std::getenv("BLOCKFORMER_ISA");
  const std::string before = set == nullptr ? "" : set;
  const Isa active = ActiveIsa();
  const auto choose = [](const std::string& name) {
    setenv("BLOCKFORMER_ISA", name.c_str(), 1);
    ChooseIsa();
  };
  EXPECT_THAT([&] { choose("AVX2"); },
              ThrowsMessage<Error>(HasSubstr("'AVX2' is not known; portable, dotprod, avx2")));
  for (const Isa isa : {Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kVnni}) {
    if (testing::Value(SupportedIsas(), Contains(isa)) || set != nullptr) continue;
    EXPECT_THAT([&] { choose(IsaName(isa)); },
                ThrowsMessage<Error>(HasSubstr("this processor does not have")));
  }
  if (set == nullptr) {
    unsetenv("BLOCKFORMER_ISA");
  } else {
    setenv("BLOCKFORMER_ISA", before.c_str(), 1);
  }
  EXPECT_EQ(ActiveIsa(), active);
}

}  // namespace
}  // namespace blockformer
