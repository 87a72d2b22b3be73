#ifndef BLOCKFORMER_CPU_CPU_RUNNER_H_
#define BLOCKFORMER_CPU_CPU_RUNNER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "cpu/cpu_model.h"
#include "runner/runner.h"

namespace blockformer {

// Runs a model on the processor's cores, one step at a time: Start() carries it out.
class CpuRunner : public Runner {
 public:
  CpuRunner(const CpuModel& model, const RunnerOptions& options);

  int64_t MaxStepsInFlight() const override { return 1; }
  void Open(int64_t place, SequenceStart start) override;
  void Start(const Step& step) override;
  StepResult Wait() override;
  std::vector<TokenScore> Score(const ScoreStep& step) override;
  ForwardOutput Forward(const ForwardInput& input) override;

 private:
  // A sequence that is open.
  struct Place {
    SequenceStart start;                          // `tokens` grows with what is generated
    std::unique_ptr<TokenConstraint> constraint;  // null if there is none
    std::vector<int32_t> pages;
    std::vector<uint8_t> unit_mask;  // empty if no unit is masked
    int64_t given = 0;               // tokens of the unit that is generated, which stand first
  };

  Place& At(int64_t place) { return places_[place]; }
  // Passes units, of which ids and mask are [rows, L], through the embedder and, as rows_ says,
  // through the decoder. Returns the normalised hidden states of the wanted rows, in contexts_.
  MatrixView<const float> Decode(MatrixView<const int32_t> ids, MatrixView<const uint8_t> mask,
                                 const std::vector<int64_t>& wanted, PagedState* state);
  // Passes the step's units through the decoder. Returns what to generate from.
  MatrixView<const float> RunParts(const std::vector<StepPart>& parts);
  // Generates a unit of each of `places` from contexts [places, hidden].
  void GenerateUnits(const std::vector<Place*>& places, MatrixView<const float> contexts,
                     StepResult* result);
  // Chooses the tokens at one slot of a unit, from what the output head reads: hidden [places,
  // width] -> ids [places].
  void ChooseTokens(const std::vector<Place*>& places, int64_t slot, MatrixView<const float> hidden,
                    std::span<int32_t> ids, StepResult* result);
  // Fills the logits of a teacher-forced pass from its hidden states.
  void ComputeLogits(const ForwardInput& input, ForwardOutput* output);
  // The cache of Score(), with room for the step.
  PagedState* ReserveScoreState(const ScoreStep& step);
  // Scores the units from `first` on of a step, whose contexts are [units, hidden].
  void ScoreUnits(const ScoreStep& step, int64_t first, MatrixView<const float> contexts,
                  std::vector<TokenScore>* scores);

  const CpuModel& model_;
  int64_t unit_length_;
  RunnerOptions options_;
  std::vector<Place> places_;
  std::deque<StepResult> results_;
  EmbedderState embedder_state_;
  std::optional<PagedState> decoder_state_;  // of steps
  TokenDecoderState token_state_;
  std::optional<PagedState> score_state_;
  int64_t score_pages_ = 0;  // and units, that score_state_ has room for
  int64_t score_page_size_ = 0;
  int64_t score_units_ = 0;
  // Scratch of one step.
  std::vector<AttentionRow> rows_;
  std::vector<int32_t> unit_ids_;             // [rows, L]
  std::vector<uint8_t> unit_mask_;            // [rows, L]; 0 on padding
  Matrix<float> contexts_;                    // [rows, hidden]
  std::vector<TokenDraw> draws_;              // of the generating sequences
  std::vector<TokenLogProbabilities> rated_;  // where they want it
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_CPU_RUNNER_H_
