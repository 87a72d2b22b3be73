#ifndef BLOCKFORMER_SERVER_OPENAPI_H_
#define BLOCKFORMER_SERVER_OPENAPI_H_

#include <string>

namespace blockformer {

// The interface in OpenAPI 3.1, a JSON text: src/server/openapi.json, of a server that wants a key
// or of one that takes everybody.
std::string OpenApiText(bool needs_key);

// The same as a page to read, without outside resources.
std::string DocumentationPage();

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_OPENAPI_H_
