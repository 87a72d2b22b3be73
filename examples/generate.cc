// Continues a prompt: generate MODEL_DIRECTORY PROMPT
#include <iostream>
#include <string_view>

#include "blockformer/error.h"
#include "blockformer/text_generator.h"
#include "blockformer/version.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: generate MODEL_DIRECTORY PROMPT (blockformer " << blockformer::kVersion
              << ")\n";
    return 2;
  }
  try {
    auto generator = blockformer::TextGenerator::Load(argv[1]);
    blockformer::TextOptions options;
    options.max_tokens = 64;
    options.temperature = 0.7;
    options.top_p = 0.95;
    generator.Generate(argv[2], options, [](std::string_view piece) {
      std::cout << piece << std::flush;
      return true;
    });
    std::cout << "\n";
  } catch (const blockformer::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
