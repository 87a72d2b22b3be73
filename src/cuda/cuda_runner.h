#ifndef BLOCKFORMER_CUDA_CUDA_RUNNER_H_
#define BLOCKFORMER_CUDA_CUDA_RUNNER_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "cuda/choose.h"
#include "cuda/cuda_model.h"
#include "cuda/device_writes.h"
#include "cuda/given_tokens.h"
#include "cuda/passes.h"
#include "runner/runner.h"

namespace blockformer::cuda {

// Runs a model on a GPU. Of every place the device keeps the tokens, the pages and how it is
// sampled, so that a step tells it only which places take part, and two steps can be under way.
// Prompts pass through the decoder up to their last unit; then all that generates goes one way, a
// unit each, which is recorded as a graph for each number of rows.
class CudaRunner : public Runner {
 public:
  CudaRunner(const CudaModel& model, const RunnerOptions& options);
  ~CudaRunner() override;

  int64_t MaxStepsInFlight() const override { return kSteps; }
  void Open(int64_t place, SequenceStart start) override;
  void Start(const Step& step) override;
  StepResult Wait() override;
  std::vector<TokenScore> Score(const ScoreStep& step) override;
  ForwardOutput Forward(const ForwardInput& input) override;

  // Memory of the device that a runner takes beside its cache, about.
  static int64_t FixedBytes(const CudaModel& model);

 private:
  static constexpr int64_t kSteps = 2;

  // What the host knows of a place.
  struct Place {
    int32_t row_flags = 0;
    int64_t ratings = -1;         // SequenceStart::top_log_probabilities
    int64_t given = 0;            // tokens
    std::array<Buffer, 2> lists;  // biases and exclusions, on the device
  };
  // A step that is under way.
  struct Flight {
    DeviceWrites writes;
    PinnedBuffer ids;      // [rows, L], then chosen [rows]
    PinnedBuffer ratings;  // [rows, L]
    Event done;
    struct RatedRow {
      int64_t first = 0;     // slot that is not given
      int64_t entries = -1;  // of the likeliest tokens; -1 if it is not rated
    };
    std::vector<RatedRow> rated_rows;
    int64_t rows = 0;
    bool is_rated = false;
    std::vector<Buffer> retired;  // what steps before may still read
    std::vector<int64_t> opened;  // places, since the step before
  };

  void AllocatePlaces();
  // Queues what generates in `rows` rows of decode_rows_, as a graph if these are used.
  void QueueGeneration(int64_t rows);
  void QueueUnits(int64_t rows);
  void QueueBlocks(int64_t first, int64_t count, const float* decoded);
  void QueueChoice(int64_t first, int64_t count, int64_t slot, const float* x);
  void QueuePrompts(int64_t rows);
  void QueueResults(Flight* flight);
  // Splits a step into rows of prompts and rows that generate, and tells the device of them.
  void SendRows(const Step& step, Flight* flight, int64_t* prompt_rows, int64_t* generating_rows);
  // How a sequence is sampled, for the device; its lists are sent to buffers of the place's.
  SamplingPlace MakeSampling(const SequenceStart& start, Place* place, Flight* flight);
  UnitIds History(const DecoderRow* rows, int64_t unit_offset) const;
  Flight& NextFlight() { return flights_[started_ % kSteps]; }

  const CudaModel& model_;
  RunnerOptions options_;
  int64_t unit_length_;
  Stream stream_;
  int64_t max_rows_ = 0;  // that generate in a step, as a bucket
  std::vector<Place> places_;
  std::array<Flight, kSteps> flights_;
  int64_t started_ = 0;
  int64_t waited_ = 0;
  std::map<int64_t, Graph> graphs_;  // by number of rows; empty ones until they are wanted again

  // On the device; the last place is that of surplus rows, and the last page theirs.
  DecoderState decoder_;
  Array<int32_t> history_;     // [places + 1, history_stride_]
  Array<int32_t> pages_;       // [places + 1, max_pages]
  Array<uint32_t> unit_mask_;  // [places + 1, mask stride in bytes]
  Array<SamplingPlace> sampling_;
  Array<int32_t> excluded_;
  int64_t history_stride_ = 0;
  Array<DecoderRow> decode_rows_;
  Buffer prompt_rows_;  // DecoderRow [as many as the largest step had]
  Array<int32_t> ids_;
  Array<int32_t> chosen_;
  Array<TokenRating> ratings_;
  DecoderPass decoder_pass_;
  TokenPass token_pass_;
  HeadPass head_pass_;
  std::unique_ptr<GivenTokens> given_tokens_;
};

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_CUDA_RUNNER_H_
