#ifndef BLOCKFORMER_SERVER_OPENAPI_H_
#define BLOCKFORMER_SERVER_OPENAPI_H_

#include <string>

namespace blockformer {

// The description of the interface in OpenAPI 3.1, as JSON: src/server/openapi.json, for a server
// that wants a key or for one that takes everybody.
std::string OpenApiText(bool needs_key);

// The same as a page to read, without outside resources.
std::string DocumentationPage();

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_OPENAPI_H_
