// The main program of tests that train, on the instruction set that BLOCKFORMER_ISA names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/isa.h"
#include "base/program.h"

int main(int argc, char** argv) {
  return blockformer::RunProgram("test", [&] {
    blockformer::ReadIsaLimit();
    testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
  });
}
