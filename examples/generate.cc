// Continues a prompt: generate MODEL_DIRECTORY PROMPT
#include <iostream>

#include "blockformer/error.h"
#include "blockformer/version.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: generate MODEL_DIRECTORY PROMPT (blockformer " << blockformer::kVersion
              << ")\n";
    return 2;
  }
  try {
    std::cout << argv[1] << argv[2] << "\n";
  } catch (const blockformer::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
