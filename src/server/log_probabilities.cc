#include "server/log_probabilities.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/json.h"

namespace blockformer {
namespace {

void AddItem(std::string_view item, std::string* items) {
  if (!items->empty()) items->push_back(',');
  items->append(item);
}

std::string NumberText(double value) { return ToText(OrderedJson(value)); }

std::string TokenJson(const ServedModel& model, int32_t id) {
  return ToText(OrderedJson(model.TokenText(id)));
}

std::string BytesJson(const ServedModel& model, int32_t id) {
  if (model.tokenizer.TokenBytes(id).empty()) return "null";  // the tokenizer lacks the id
  const std::string text = model.tokenizer.DecodeContinuation(std::span(&id, 1));
  std::string items;
  for (const char byte : text) AddItem(fmt::to_string(static_cast<unsigned char>(byte)), &items);
  return fmt::format("[{}]", items);
}

// The members that chats have of a token, without braces.
std::string ChatMembers(const ServedModel& model, int32_t id, double log_probability) {
  return fmt::format(R"("token":{},"logprob":{},"bytes":{})", TokenJson(model, id),
                     NumberText(log_probability), BytesJson(model, id));
}

}  // namespace

LogProbabilities LogProbabilities::OfCompletion(int64_t first_offset) {
  LogProbabilities values;
  for (const char* opening : {R"({"tokens":[)", R"(],"token_logprobs":[)", R"(],"top_logprobs":[)",
                              R"(],"text_offset":[)"}) {
    values.lists_.push_back({opening, ""});
  }
  values.offset_ = first_offset;
  return values;
}

LogProbabilities LogProbabilities::OfChat() {
  LogProbabilities values;
  values.lists_.push_back({R"({"content":[)", ""});
  return values;
}

LogProbabilities LogProbabilities::Behind(const LogProbabilities& beginning) {
  LogProbabilities values;
  for (const List& list : beginning.lists_) values.lists_.push_back({list.opening, ""});
  values.beginning_ = &beginning;
  values.offset_ = beginning.offset_;
  return values;
}

void LogProbabilities::Add(const ServedModel& model, int32_t id, int64_t characters,
                           double log_probability, Entries top) {
  if (IsOfChat()) {
    std::string likeliest;
    for (const auto& [other, value] : top) {
      AddItem(fmt::format("{{{}}}", ChatMembers(model, other, value)), &likeliest);
    }
    AddItem(fmt::format(R"({{{},"top_logprobs":[{}]}})", ChatMembers(model, id, log_probability),
                        likeliest),
            &lists_[0].items);
    return;
  }
  OrderedJson likeliest = OrderedJson::object();  // two tokens may have the same text
  for (const auto& [other, value] : top) likeliest[model.TokenText(other)] = value;
  likeliest[model.TokenText(id)] = log_probability;
  AddToCompletion(model, id, characters, NumberText(log_probability), ToText(likeliest));
}

void LogProbabilities::AddUnscored(const ServedModel& model, int32_t id, int64_t characters) {
  AddToCompletion(model, id, characters, "null", "null");
}

void LogProbabilities::AddToCompletion(const ServedModel& model, int32_t id, int64_t characters,
                                       std::string_view log_probability, std::string_view top) {
  AddItem(TokenJson(model, id), &lists_[0].items);
  AddItem(log_probability, &lists_[1].items);
  AddItem(top, &lists_[2].items);
  AddItem(fmt::to_string(std::max<int64_t>(offset_, 0)), &lists_[3].items);
  offset_ += characters;
}

void LogProbabilities::Clear() {
  for (List& list : lists_) list.items.clear();
  beginning_ = nullptr;
}

void LogProbabilities::AppendTo(std::vector<std::string_view>* pieces) const {
  for (size_t i = 0; i < lists_.size(); ++i) {
    pieces->push_back(lists_[i].opening);
    std::string_view before;
    if (beginning_ != nullptr) before = beginning_->lists_[i].items;
    pieces->push_back(before);
    if (!before.empty() && !lists_[i].items.empty()) pieces->push_back(",");
    pieces->push_back(lists_[i].items);
  }
  pieces->push_back("]}");
}

}  // namespace blockformer
