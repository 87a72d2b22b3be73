#ifndef BLOCKFORMER_TEXT_JSON_GRAMMAR_H_
#define BLOCKFORMER_TEXT_JSON_GRAMMAR_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace blockformer {

// A set of texts, numbered in the order of Insert(), as a tree of their bytes. Takes a few bytes of
// memory for each of theirs: bytes behind which no text branches off lie together.
class ByteTree {
 public:
  static constexpr int32_t kNone = -1;
  static constexpr int32_t kRoot = 0;

  ByteTree() : edges_(1), edge_of_(1) {}

  // A text that is in the set already keeps its first number. Places are only good once all texts
  // are in.
  void Insert(std::string_view text);

  // The place that a byte leads to, or kNone.
  int32_t Child(int32_t place, uint8_t byte) const;
  bool HasChildren(int32_t place) const {
    return !IsEnd(place) || !edges_[edge_of_[place]].next.empty();
  }
  // The text that ends at a place, or kNone.
  int32_t TextAt(int32_t place) const {
    return IsEnd(place) ? edges_[edge_of_[place]].text : kNone;
  }
  // The texts that go on from a place or end there, ascending.
  const std::vector<int32_t>& TextsFrom(int32_t place) const {
    return edges_[edge_of_[place]].texts;
  }

  // Of memory, about.
  int64_t num_bytes() const;

 private:
  // Bytes [begin, end) of bytes_; all texts with the first one have them all.
  struct Edge {
    int32_t begin = 0;
    int32_t end = 0;
    int32_t text = kNone;             // that ends with it
    std::vector<int32_t> texts = {};  // that have it
    std::vector<int32_t> next = {};   // edges
  };

  bool IsEnd(int32_t place) const { return place == edges_[edge_of_[place]].end; }
  // Has the edge of a place end there, and another one go on.
  void Split(int32_t place);
  // An edge of bytes at the end of bytes_ goes on from another one.
  void AddEdge(int32_t from, std::string_view bytes, int32_t text);

  std::vector<Edge> edges_;
  std::string bytes_;
  std::vector<int32_t> edge_of_;  // [bytes + 1], by place: place p is behind byte p - 1
  int32_t num_texts_ = 0;
};

// Which JSON texts are wanted. A value is a list of alternatives, each a node.
struct JsonGrammar {
  enum class Kind : uint8_t {
    kString,
    kNumber,
    kInteger,  // a number without fraction and exponent
    kText,     // one of given texts, such as true
    kArray,
    kObject,
  };
  static constexpr int32_t kNone = -1;
  static constexpr int64_t kUnlimited = INT64_MAX;
  // Arrays and objects within each other, at most.
  static constexpr int32_t kMaxLevels = 32;

  struct Member {
    int32_t value = kNone;
    bool required = false;
  };

  struct Node {
    Kind kind = Kind::kString;
    int64_t min = 0;  // characters of a string, items of an array
    int64_t max = kUnlimited;
    int32_t items = kNone;               // of an array: a value
    std::vector<Member> members = {};    // of an object, in the order in which they may come
    int32_t other_members = kNone;       // the value of members that may follow them, or kNone
    std::vector<int32_t> required = {};  // [members + 1]: the first required one from there on
    // kText: the texts. kObject: the members' names in quotes, by their number.
    ByteTree texts = {};
    // The fewest levels of arrays and objects that such a text has, itself included; more than
    // kMaxLevels if there is none.
    int32_t levels = 0;
  };

  // Adds a value with one alternative, or with those of any JSON value, and returns it.
  int32_t AddValue(Node node);
  int32_t AddAnyValue();
  // Fills Node::required and Node::levels, when all is there.
  void Finish();

  // The fewest levels of a value; more than kMaxLevels if no text is one.
  int32_t Levels(int32_t value) const;
  // Of memory, about.
  int64_t num_bytes() const;

  std::vector<Node> nodes;
  std::vector<std::vector<int32_t>> values;  // nodes
  int32_t root = kNone;                      // a value
};

// Any JSON object.
JsonGrammar AnyJsonObject();

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_JSON_GRAMMAR_H_
