#ifndef BLOCKFORMER_SERVER_REQUEST_ID_H_
#define BLOCKFORMER_SERVER_REQUEST_ID_H_

#include <string>
#include <string_view>

namespace blockformer {

// Whether a client's X-Request-Id is taken over: 1 to 64 letters, digits, "-", "_" and ".".
bool IsRequestId(std::string_view text);

// 128 random bits in hexadecimal digits.
std::string NewRequestId();

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_REQUEST_ID_H_
