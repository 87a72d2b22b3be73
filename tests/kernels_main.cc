// The main program of tests that run kernels, on the instruction set that BLOCKFORMER_ISA names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/program.h"
#include "kernels/kernel_isa.h"

int main(int argc, char** argv) {
  return blockformer::RunProgram("test", [&] {
    blockformer::ChooseIsa();  // before cases are made for each instruction set
    testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
  });
}
