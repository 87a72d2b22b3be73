#ifndef BLOCKFORMER_SERVER_RESPONSE_FORMAT_H_
#define BLOCKFORMER_SERVER_RESPONSE_FORMAT_H_

#include <memory>
#include <string>

#include "server/request_fields.h"
#include "text/json_token_masks.h"

namespace blockformer {

struct ServedModel;

// Reads the field "response_format"; null where it wants nothing, as {"type": "text"}. `body` is
// the text of the request: the order of a schema's properties counts. Throws ApiError(400) that
// names the part that is wrong.
std::shared_ptr<JsonTokenMasks> ReadResponseFormat(RequestFields* fields, const std::string& body,
                                                   const ServedModel& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_RESPONSE_FORMAT_H_
