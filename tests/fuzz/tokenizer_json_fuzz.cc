// Any bytes as a tokenizer.json: they are refused with an Error or give a tokenizer that works.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "blockformer/error.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using blockformer::Tokenizer;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const Tokenizer tokenizer = Tokenizer::Parse(json, "fuzz");
    const std::vector<int32_t> ids =
        tokenizer.Encode("It's a <|endoftext|>\n\n  test, e\xCC\x81 \xF0\x9F\x98\x80 12345");
    tokenizer.Decode(ids);
    // The file itself is text at hand that holds its own tokens.
    tokenizer.Decode(tokenizer.Encode(json, blockformer::InvalidUtf8::kReplace));
  } catch (const blockformer::Error&) {
  }
  return 0;
}
