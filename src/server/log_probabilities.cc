#include "server/log_probabilities.h"

#include <algorithm>

namespace blockformer {
namespace {

OrderedJson BytesOf(const ServedModel& model, int32_t id) {
  if (model.tokenizer.TokenBytes(id).empty()) return nullptr;  // the tokenizer lacks the id
  OrderedJson bytes = OrderedJson::array();
  for (const char byte : model.tokenizer.DecodeContinuation(std::span(&id, 1))) {
    bytes.push_back(static_cast<unsigned char>(byte));
  }
  return bytes;
}

}  // namespace

int64_t CountTextCharacters(const ServedModel& model, std::span<const int32_t> ids) {
  const std::string bytes = model.tokenizer.DecodeContinuation(ids, /*skip_special=*/true);
  return std::ranges::count_if(
      bytes, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; });
}

OrderedJson LegacyLogProbs(const ServedModel& model, std::span<const int32_t> ids,
                           std::span<const std::optional<TokenLogProbabilities>> values,
                           int64_t first_offset) {
  OrderedJson tokens = OrderedJson::array();
  OrderedJson logs = OrderedJson::array();
  OrderedJson tops = OrderedJson::array();
  OrderedJson offsets = OrderedJson::array();
  int64_t offset = first_offset;
  for (size_t i = 0; i < ids.size(); ++i) {
    tokens.push_back(model.TokenText(ids[i]));
    offsets.push_back(std::max<int64_t>(offset, 0));
    offset += CountTextCharacters(model, ids.subspan(i, 1));
    if (!values[i]) {
      logs.push_back(nullptr);
      tops.push_back(nullptr);
      continue;
    }
    logs.push_back(values[i]->chosen);
    OrderedJson top = OrderedJson::object();
    for (const auto& [id, value] : values[i]->top) top[model.TokenText(id)] = value;
    top[model.TokenText(ids[i])] = values[i]->chosen;
    tops.push_back(std::move(top));
  }
  return {{"tokens", tokens},
          {"token_logprobs", logs},
          {"top_logprobs", tops},
          {"text_offset", offsets}};
}

OrderedJson ChatLogProbs(const ServedModel& model, std::span<const int32_t> ids,
                         std::span<const std::optional<TokenLogProbabilities>> values) {
  OrderedJson content = OrderedJson::array();
  for (size_t i = 0; i < ids.size(); ++i) {
    OrderedJson top = OrderedJson::array();
    for (const auto& [id, value] : values[i]->top) {
      top.push_back(
          {{"token", model.TokenText(id)}, {"logprob", value}, {"bytes", BytesOf(model, id)}});
    }
    content.push_back({{"token", model.TokenText(ids[i])},
                       {"logprob", values[i]->chosen},
                       {"bytes", BytesOf(model, ids[i])},
                       {"top_logprobs", top}});
  }
  return {{"content", content}};
}

}  // namespace blockformer
