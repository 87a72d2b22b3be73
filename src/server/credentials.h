#ifndef BLOCKFORMER_SERVER_CREDENTIALS_H_
#define BLOCKFORMER_SERVER_CREDENTIALS_H_

#include <optional>
#include <string>
#include <string_view>

namespace blockformer {

// Decodes base64; nothing if the text is not base64.
std::optional<std::string> DecodeBase64(std::string_view text);

// Whether an Authorization header carries the key: as a bearer token, or as the password of HTTP
// Basic with any user. Takes the same time whatever is wrong with a key.
bool IsAuthorized(const std::string* authorization, std::string_view key);

// Whether a Host header names this machine by a loopback name or an address. A browser never sends
// such a header for a page of another site that leads its own name here (DNS rebinding).
bool IsLocalHost(std::string_view host);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_CREDENTIALS_H_
