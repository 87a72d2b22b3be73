#ifndef BLOCKFORMER_SERVER_OPENAPI_H_
#define BLOCKFORMER_SERVER_OPENAPI_H_

#include <string>
#include <string_view>

namespace blockformer {

// The interface in OpenAPI 3.1: a JSON text.
std::string_view OpenApiText();

// The same as a page to read, without outside resources.
std::string DocumentationPage();

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_OPENAPI_H_
