#include "eval/position_loss.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/work_observer.h"
#include "data/corpus.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxBins = 1024;

// The whole windows of a corpus, in order.
class WindowReader {
 public:
  WindowReader(const std::vector<std::string>& files, const CorpusOptions& corpus,
               const Tokenizer& tokenizer, int64_t context, const WorkObserver& observer)
      : options_(corpus),
        corpus_(files, corpus),
        tokenizer_(tokenizer),
        context_(context),
        observer_(observer) {}

  // Nothing at the end. Throws Error(kInterrupted) when the observer asks to stop.
  std::optional<ScoreRequest> Next() {
    while (std::ssize(tokens_) - begin_ < context_) {
      if (!ReadDocument()) return std::nullopt;
    }
    const auto first = tokens_.begin() + begin_;
    begin_ += context_;
    return ScoreRequest{{first, first + context_}, context_ - 1};
  }

  int64_t document() const { return document_; }  // of the last window
  int64_t longest() const { return longest_; }    // document so far, in tokens

 private:
  bool ReadDocument() {
    Require(!observer_.StopRequested(), ErrorCode::kInterrupted, "stopped while reading texts");
    CorpusRecord record;
    if (!corpus_.NextRecord(&record)) return false;
    const std::string location = record.location;
    const std::string text = ExtractText(std::move(record), options_).value_or("");  // "" for null
    try {
      tokens_ = tokenizer_.Encode(text, options_.invalid_utf8);
    } catch (const Error& error) {
      Fail(error.code(), "{}: {}", location, error.what());
    }
    begin_ = 0;
    if (std::ssize(tokens_) >= context_) ++document_;
    longest_ = std::max<int64_t>(longest_, std::ssize(tokens_));
    return true;
  }

  CorpusOptions options_;
  CorpusReader corpus_;
  const Tokenizer& tokenizer_;
  int64_t context_;
  const WorkObserver& observer_;
  std::vector<int32_t> tokens_;  // of the current document; those from begin_ on are not used yet
  int64_t begin_ = 0;
  int64_t document_ = -1;
  int64_t longest_ = 0;
};

// Finds all windows, so that what is wrong with the files is said before anything is computed.
void FindWindows(WindowReader reader, const PositionLossOptions& options, int64_t block_positions,
                 PositionLoss* loss) {
  Fnv1a hash;
  while (std::ssize(loss->windows) != options.max_windows.value_or(-1)) {
    const std::optional<ScoreRequest> request = reader.Next();
    if (!request) break;
    const std::vector<int32_t>& tokens = request->tokens;
    hash.Add({reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(tokens[0])});
    loss->windows.push_back({reader.document(), std::vector<LossSum>(options.bins),
                             std::vector<LossSum>(block_positions)});
  }
  loss->tokens_hash = hash.value();
  // Without any, the reader has seen all documents.
  Require(!loss->windows.empty(), ErrorCode::kInvalidArgument,
          "no document has {} tokens, a context's; the longest has {}", options.context,
          reader.longest());
}

// The scores are those of the window's last tokens. The first token is in slot `left_pad`.
void AddScores(std::span<const TokenScore> scores, int64_t context, int64_t left_pad,
               WindowLoss* window) {
  int64_t position = context - std::ssize(scores);
  for (const TokenScore& score : scores) {
    const LossSum token = {-score.log_likelihood, 1};
    window->bins[position * std::ssize(window->bins) / context].Add(token);
    if (!window->block_positions.empty()) {
      const int64_t slot = (left_pad + position) % std::ssize(window->block_positions);
      window->block_positions[slot].Add(token);
    }
    ++position;
  }
}

}  // namespace

void CheckPositionLossOptions(const PositionLossOptions& options, const ModelConfig& config) {
  const int64_t shortest = 2 * config.UnitLength();
  Require(options.context >= shortest, ErrorCode::kInvalidArgument,
          "`context`: {} is too short; at least {} is wanted, {}", options.context, shortest,
          config.kind == ModelKind::kBlock ? "two blocks" : "one token and the next");
  Require(options.context <= kMaxScorerTokens, ErrorCode::kInvalidArgument,
          "`context`: {} is out of range; at most {} is wanted", options.context, kMaxScorerTokens);
  const int64_t most = std::min(options.context, kMaxBins);
  Require(options.bins >= 1 && options.bins <= most, ErrorCode::kInvalidArgument,
          "`bins`: {} is out of range; 1 to {} is wanted", options.bins, most);
  Require(options.max_windows.value_or(1) >= 1, ErrorCode::kInvalidArgument,
          "`limit`: {} is out of range; at least 1 window is wanted",
          options.max_windows.value_or(1));
}

PositionLoss MeasurePositionLoss(const std::string& name, const EvalModel& model, Scorer* scorer,
                                 const std::vector<std::string>& files,
                                 const PositionLossOptions& options, const CorpusOptions& corpus,
                                 WorkObserver* observer) {
  const ModelConfig& config = model.model->config();
  CheckPositionLossOptions(options, config);
  WindowReader reader(files, corpus, model.tokenizer, options.context, *observer);
  for (const std::string& file : files) RequireReadableTwice(file);
  if (options.context > config.max_length) {
    LogWarning("{}: a context of {} tokens has positions that training, with {}, did not", name,
               options.context, config.max_length);
  }

  PositionLoss loss = {name, options.context, {}, 0};
  const int64_t block_positions = model.model->is_block() ? config.block_length : 0;
  FindWindows(WindowReader(files, corpus, model.tokenizer, options.context, *observer), options,
              block_positions, &loss);
  const bool is_padded = scorer->options().padding == ScoringPadding::kPadded;
  const int64_t left_pad = is_padded ? config.UnitLength() - 1 : 0;
  const int64_t total = std::ssize(loss.windows);
  observer->Begin(name, total, "windows", 0);
  int64_t asked = 0;
  scorer->Run(
      [&]() -> std::optional<ScoreRequest> {
        if (asked++ == total) return std::nullopt;
        std::optional<ScoreRequest> request = reader.Next();
        Require(request.has_value(), ErrorCode::kCorrupt, "the texts changed while they were read");
        return request;
      },
      [&](int64_t index, std::span<const TokenScore> scores) {
        Require(!observer->StopRequested(), ErrorCode::kInterrupted,
                "stopped after {} of {} windows", index, total);
        RequireFinite(scores, fmt::format("{}: window {}", name, index + 1));
        AddScores(scores, options.context, left_pad, &loss.windows[index]);
        observer->Update(index + 1, "");
      });
  return loss;
}

}  // namespace blockformer
