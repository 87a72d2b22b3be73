#ifndef BLOCKFORMER_BASE_BYTE_SIZE_H_
#define BLOCKFORMER_BASE_BYTE_SIZE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace blockformer {

// The number of bytes that a text such as "512M" stands for: digits, and perhaps K, M, G or T for
// powers of 1024. Nothing if it is of another form or larger than an int64_t.
std::optional<int64_t> ParseByteSize(std::string_view text);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_BYTE_SIZE_H_
