// Continues prompts, all of them together, and shows each text as it grows:
// generate_many MODEL_DIRECTORY PROMPT...
#include <iostream>
#include <map>
#include <string>

#include "blockformer/async_engine.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: generate_many MODEL_DIRECTORY PROMPT...\n";
    return 2;
  }
  try {
    auto engine = blockformer::AsyncEngine::Load(argv[1]);
    blockformer::RequestQueue queue;
    blockformer::RequestOptions options;
    options.max_tokens = 64;
    options.temperature = 0.7;
    std::map<int64_t, std::string> texts;
    for (int i = 2; i < argc; ++i) {
      options.stream = static_cast<uint64_t>(i);
      texts[engine.Submit(argv[i], options, &queue).value()] = argv[i];
    }
    while (const auto event = queue.Next()) {
      std::string& text = texts[event->request()];
      text += event->text();
      if (event->is_last()) std::cout << text << "\n" << event->error();
    }
  } catch (const blockformer::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
