#include "text/json_grammar.h"

#include <algorithm>
#include <limits>
#include <utility>

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
  edges_[0].texts.push_back(number);
  int32_t place = kRoot;
  size_t known = 0;  // bytes that are in the tree
  for (; known < text.size(); ++known) {
    const int32_t child = Child(place, static_cast<uint8_t>(text[known]));
    if (child == kNone) break;
    if (edge_of_[child] != edge_of_[place]) edges_[edge_of_[child]].texts.push_back(number);
    place = child;
  }
  if (!IsEnd(place)) Split(place);
  const int32_t edge = edge_of_[place];
  if (known < text.size()) return AddEdge(edge, text.substr(known), number);
  if (edges_[edge].text == kNone) edges_[edge].text = number;
}

void ByteTree::Split(int32_t place) {
  const auto rest = static_cast<int32_t>(edges_.size());
  Edge& edge = edges_[edge_of_[place]];
  Edge second = edge;
  second.begin = place;
  second.texts.pop_back();  // the one that is being inserted
  std::fill(edge_of_.begin() + place + 1, edge_of_.begin() + edge.end + 1, rest);
  edge.end = place;
  edge.text = kNone;
  edge.next = {rest};
  edges_.push_back(std::move(second));
}

void ByteTree::AddEdge(int32_t from, std::string_view bytes, int32_t text) {
  const auto edge = static_cast<int32_t>(edges_.size());
  const auto begin = static_cast<int32_t>(bytes_.size());
  bytes_ += bytes;
  edge_of_.resize(bytes_.size() + 1, edge);
  edges_[from].next.push_back(edge);
  edges_.push_back({begin, static_cast<int32_t>(bytes_.size()), text, {text}});
}

int32_t ByteTree::Child(int32_t place, uint8_t byte) const {
  const auto is_at = [&](int32_t begin) { return static_cast<uint8_t>(bytes_[begin]) == byte; };
  if (!IsEnd(place)) return is_at(place) ? place + 1 : kNone;
  for (const int32_t next : edges_[edge_of_[place]].next) {
    if (is_at(edges_[next].begin)) return edges_[next].begin + 1;
  }
  return kNone;
}

int64_t ByteTree::num_bytes() const {
  size_t bytes = bytes_.capacity() + edge_of_.capacity() * sizeof(int32_t);
  for (const Edge& edge : edges_) {
    bytes += sizeof(Edge) + (edge.texts.capacity() + edge.next.capacity()) * sizeof(int32_t);
  }
  return static_cast<int64_t>(bytes);
}

int32_t JsonGrammar::Levels(int32_t value) const {
  int32_t fewest = kNoLevels;
  for (const int32_t node : values[value]) fewest = std::min(fewest, nodes[node].levels);
  return fewest;
}

int64_t JsonGrammar::num_bytes() const {
  size_t bytes = 0;
  for (const Node& node : nodes) {
    bytes += sizeof(Node) + node.members.capacity() * sizeof(Member) +
             node.required.capacity() * sizeof(int32_t) +
             static_cast<size_t>(node.texts.num_bytes());
  }
  for (const std::vector<int32_t>& value : values) {
    bytes += sizeof(value) + value.capacity() * sizeof(int32_t);
  }
  return static_cast<int64_t>(bytes);
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
