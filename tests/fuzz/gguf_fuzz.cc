// Any bytes as a GGUF file: an Error, or a tokenizer, and a model whose every tensor can be made.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "blockformer/error.h"
#include "checkpoint/gguf_model.h"
#include "checkpoint/gguf_tokenizer.h"
#include "text/tokenizer.h"

namespace {

void ReadTokenizer(const std::string& path) {
  try {
    const auto tokenizer = blockformer::ReadGgufTokenizer(blockformer::GgufFile(path));
    if (tokenizer) blockformer::Tokenizer::Parse(tokenizer->tokenizer_json, path);
  } catch (const blockformer::Error&) {
  }
}

void ReadModel(const std::string& path) {
  try {
    const blockformer::GgufModel model(path);
    for (const auto& [name, tensor] : model.tensors()) {
      const blockformer::MadeTensor made = model.Read(name);
      blockformer::ToFloats(made.view, name);
    }
  } catch (const blockformer::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int descriptor = memfd_create("gguf", 0);
  if (write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  ReadTokenizer(path);
  ReadModel(path);
  close(descriptor);
  return 0;
}
