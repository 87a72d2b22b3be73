#include "text/json_grammar.h"

#include <algorithm>
#include <limits>

namespace blockformer {
namespace {

// A node or a value without a finite text.
constexpr int32_t kNoLevels = std::numeric_limits<int32_t>::max();

int32_t LevelsOfNode(const JsonGrammar& grammar, const JsonGrammar::Node& node) {
  int32_t inner = 0;
  const auto need = [&](int32_t value) { inner = std::max(inner, grammar.Levels(value)); };
  switch (node.kind) {
    case JsonGrammar::Kind::kString:
      return node.min <= node.max ? 0 : kNoLevels;
    case JsonGrammar::Kind::kNumber:
    case JsonGrammar::Kind::kInteger:
      return 0;
    case JsonGrammar::Kind::kText:
      return node.texts.HasChildren(ByteTree::kRoot) ? 0 : kNoLevels;
    case JsonGrammar::Kind::kArray:
      if (node.min > node.max) return kNoLevels;
      if (node.min > 0) need(node.items);
      break;
    case JsonGrammar::Kind::kObject:
      for (const JsonGrammar::Member& member : node.members) {
        if (member.required) need(member.value);
      }
      break;
  }
  return inner == kNoLevels ? kNoLevels : inner + 1;
}

}  // namespace

void ByteTree::Insert(std::string_view text) {
  const int32_t number = num_texts_++;
  int32_t node = kRoot;
  nodes_[node].texts.push_back(number);
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    int32_t child = Child(node, byte);
    if (child == kNone) {
      child = static_cast<int32_t>(nodes_.size());
      nodes_[node].children.emplace_back(byte, child);
      nodes_.emplace_back();
    }
    node = child;
    nodes_[node].texts.push_back(number);
  }
  if (nodes_[node].text == kNone) nodes_[node].text = number;
}

int32_t ByteTree::Child(int32_t node, uint8_t byte) const {
  for (const auto& [key, child] : nodes_[node].children) {
    if (key == byte) return child;
  }
  return kNone;
}

int32_t JsonGrammar::Levels(int32_t value) const {
  int32_t fewest = kNoLevels;
  for (const int32_t node : values[value]) fewest = std::min(fewest, nodes[node].levels);
  return fewest;
}

int32_t JsonGrammar::AddValue(Node node) {
  values.push_back({static_cast<int32_t>(nodes.size())});
  nodes.push_back(std::move(node));
  return static_cast<int32_t>(values.size()) - 1;
}

int32_t JsonGrammar::AddAnyValue() {
  const auto value = static_cast<int32_t>(values.size());
  values.emplace_back();
  Node literals = {.kind = Kind::kText};
  for (const char* text : {"true", "false", "null"}) literals.texts.Insert(text);
  for (Node node : {Node{.kind = Kind::kObject, .other_members = value},
                    Node{.kind = Kind::kArray, .items = value}, Node{.kind = Kind::kString},
                    Node{.kind = Kind::kNumber}, literals}) {
    values[value].push_back(static_cast<int32_t>(nodes.size()));
    nodes.push_back(std::move(node));
  }
  return value;
}

void JsonGrammar::Finish() {
  for (Node& node : nodes) {
    const auto end = static_cast<int32_t>(node.members.size());
    node.required.assign(node.members.size() + 1, end);
    for (int32_t i = end - 1; i >= 0; --i) {
      node.required[i] = node.members[i].required ? i : node.required[i + 1];
    }
    node.levels = kNoLevels;
  }
  // After so many rounds, nodes of as many levels are right.
  for (int32_t round = 0; round <= kMaxLevels; ++round) {
    for (Node& node : nodes) node.levels = std::min(node.levels, LevelsOfNode(*this, node));
  }
}

JsonGrammar AnyJsonObject() {
  JsonGrammar grammar;
  const int32_t any = grammar.AddAnyValue();
  grammar.root = static_cast<int32_t>(grammar.values.size());
  grammar.values.push_back({grammar.values[any].front()});
  grammar.Finish();
  return grammar;
}

}  // namespace blockformer
