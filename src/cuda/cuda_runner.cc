#include "cuda/cuda_runner.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"

namespace blockformer::cuda {
namespace {

// How many rows are computed for so many that generate: there is a graph for each such number.
int64_t BucketOf(int64_t rows) {
  constexpr int64_t kStep = 256;
  if (rows <= 2 * kStep) return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)));
  return (rows + kStep - 1) / kStep * kStep;
}

template <typename T>
std::span<const T> SpanOf(const std::vector<T>& values) {
  return std::span<const T>(values);
}

TokenLogProbabilities FromDevice(const TokenRating& rating, int64_t entries) {
  TokenLogProbabilities result;
  result.chosen = rating.chosen;
  for (int64_t i = 0; i < entries; ++i) {
    result.top.push_back({rating.ids[i], rating.log_probabilities[i]});
  }
  return result;
}

}  // namespace

CudaRunner::CudaRunner(const CudaModel& model, const RunnerOptions& options)
    : model_(model),
      options_(options),
      unit_length_(model.unit_length()),
      stream_((UseDevice(model.device_index()), kGemmScratchBytes)) {
  if (options.num_pages == 0 || options.places == 0) return;
  const ModelWeights& weights = model.weights();
  max_rows_ = BucketOf(options.places);
  decoder_.cache = KvCache(weights.decoder, CacheElement(options.kv_type), options.num_pages + 1,
                           options.page_size);
  if (options.fill_cache) decoder_.cache.FillForBenchmark(&stream_);
  decoder_.rotary = RotaryAngles(weights.decoder, options.max_units + 1);
  AllocatePlaces();
  const RunnerSettings& settings = model.settings();
  decoder_pass_ = DecoderPass(weights, std::max(max_rows_, settings.prefill_rows));
  if (weights.token_decoder) {
    token_pass_ = TokenPass(weights, unit_length_, std::min(max_rows_, settings.token_blocks),
                            weights.token_decoder->inputs.lead);
  }
  head_pass_ = HeadPass(weights, std::min(max_rows_, settings.logit_rows), /*chooses=*/true);
}

CudaRunner::~CudaRunner() { UseDevice(model_.device_index()); }

int64_t CudaRunner::FixedBytes(const CudaModel& model) {
  const ModelWeights& weights = model.weights();
  const RunnerSettings& settings = model.settings();
  constexpr int64_t kRows = 8192;
  int64_t bytes = std::max(kRows, 2 * settings.prefill_rows) *
                  Activations::BytesPerRow(weights.decoder, weights.type);
  bytes += 4 * settings.logit_rows * weights.head.gemm.shape().out * 4;
  if (weights.token_decoder) {
    const TokenDecoderWeights& decoder = *weights.token_decoder;
    const int64_t positions = decoder.inputs.lead + model.unit_length();
    const int64_t cache = 2 * decoder.stack.num_layers() * decoder.stack.width * 4;
    bytes += 2 * settings.token_blocks * positions *
             (Activations::BytesPerRow(decoder.stack, weights.type) + cache);
  }
  return bytes;
}

void CudaRunner::AllocatePlaces() {
  const int64_t places = options_.places + 1;
  const int64_t max_pages = options_.max_units / options_.page_size + 2;
  const int64_t mask_words = options_.max_units / 4 + 2;
  history_stride_ = (options_.max_units + 3) * unit_length_;
  places_ = std::vector<Place>(options_.places);
  history_ = Array<int32_t>(places * history_stride_);
  pages_ = Array<int32_t>(places * max_pages);
  unit_mask_ = Array<uint32_t>(places * mask_words);
  sampling_ = Array<SamplingPlace>(places);
  decode_rows_ = Array<DecoderRow>(max_rows_);
  ids_ = Array<int32_t>(max_rows_ * unit_length_);
  chosen_ = Array<int32_t>(max_rows_);
  ratings_ = Array<TokenRating>(max_rows_ * unit_length_);
  decoder_.tables = {pages_.data(), max_pages, reinterpret_cast<const uint8_t*>(unit_mask_.data()),
                     4 * mask_words};
  for (Flight& flight : flights_) {
    flight.ids = PinnedBuffer(max_rows_ * (unit_length_ + 1) * 4);
  }
  // The surplus rows' tokens, sampling and page.
  stream_.Fill(history_.data(), 0, history_.size() * 4);
  DeviceWrites writes;
  writes.Add(pages_.data() + options_.places * max_pages, static_cast<int32_t>(options_.num_pages));
  writes.Add(sampling_.data() + options_.places, SamplingPlace{});
  const std::vector<int32_t>& excluded = options_.token_filter.excluded;
  excluded_ = Array<int32_t>(std::ssize(excluded));
  if (!excluded.empty()) writes.Add(excluded_.data(), SpanOf(excluded));
  writes.Send(&stream_);
  stream_.Wait();
}

SamplingPlace CudaRunner::MakeSampling(const SequenceStart& start, Place* place, Flight* flight) {
  const SamplingOptions& options = start.sampling;
  SamplingPlace sampling;
  sampling.method = MethodOf(options);
  sampling.inverse_temperature = static_cast<float>(1 / options.temperature);
  sampling.temperature = options.temperature;
  sampling.seed = options.seed;
  sampling.stream = start.stream;
  sampling.generated_offset = start.generated - std::ssize(start.tokens);
  sampling.given = static_cast<int32_t>(start.tokens.size());
  sampling.prompt_begin = static_cast<int32_t>(start.prompt_begin);
  sampling.top_k = static_cast<int32_t>(std::min<int64_t>(options.top_k, INT32_MAX));
  sampling.ratings = static_cast<int32_t>(start.top_log_probabilities);
  sampling.top_p = options.top_p;
  sampling.min_p = options.min_p;
  sampling.repetition_penalty = options.repetition_penalty;
  sampling.frequency_penalty = options.frequency_penalty;
  sampling.presence_penalty = options.presence_penalty;
  std::vector<LogitBias> biases;
  for (const auto& [id, bias] : options.logit_bias) biases.push_back({id, 0, bias});
  sampling.num_biases = static_cast<int32_t>(biases.size());
  sampling.num_excluded = static_cast<int32_t>(start.excluded_ids.size());
  const auto send = [&](auto& values, Buffer* list) {
    if (list->bytes() > 0) flight->retired.push_back(std::move(*list));
    const auto span = SpanOf(values);
    *list = Buffer(static_cast<int64_t>(span.size_bytes()));
    if (!span.empty()) flight->writes.Add(list->data(), span);
    return list->data();
  };
  sampling.biases = static_cast<const LogitBias*>(send(biases, &place->lists[0]));
  sampling.excluded = static_cast<const int32_t*>(send(start.excluded_ids, &place->lists[1]));
  return sampling;
}

void CudaRunner::Open(int64_t place, SequenceStart start) {
  UseDevice(model_.device_index());
  Require(std::ssize(start.tokens) <= history_stride_ - 2 * unit_length_, ErrorCode::kInternal,
          "a sequence of {} tokens is opened where {} fit", start.tokens.size(),
          history_stride_ - 2 * unit_length_);
  Flight& flight = NextFlight();
  if (std::ranges::find(flight.opened, place) != flight.opened.end()) {
    // Two writes to the same place in one step could end in either order, so the first goes ahead.
    flight.writes.Send(&stream_);
    stream_.Wait();
    flight.opened.clear();
  }
  flight.opened.push_back(place);
  Place& opened = places_[place];
  opened.given = std::ssize(start.tokens);
  opened.ratings = std::min(start.top_log_probabilities, model_.config().vocab_size);
  flight.writes.Add(history_.data() + place * history_stride_, SpanOf(start.tokens));
  const int64_t mask_stride = decoder_.tables.mask_stride;
  const std::vector<uint8_t> unit_mask = UnitMask(start.mask, unit_length_, mask_stride);
  opened.row_flags = unit_mask.empty() ? 0 : DecoderRow::kHasMask;
  if (!unit_mask.empty()) {
    std::vector<uint32_t> words(unit_mask.size() / 4);
    std::memcpy(words.data(), unit_mask.data(), unit_mask.size());
    flight.writes.Add(unit_mask_.data() + place * mask_stride / 4, SpanOf(words));
  }
  flight.writes.Add(sampling_.data() + place, MakeSampling(start, &opened, &flight));
}

void CudaRunner::SendRows(const Step& step, Flight* flight, int64_t* prompt_rows,
                          int64_t* generating_rows) {
  for (const NewPage& page : step.new_pages) {
    flight->writes.Add(pages_.data() + page.place * decoder_.tables.max_pages + page.index,
                       page.page);
  }
  std::vector<DecoderRow> prompts;
  std::vector<DecoderRow> generating;
  flight->rated_rows.clear();
  flight->is_rated = false;
  for (const StepPart& part : step.parts) {
    const Place& place = places_[part.place];
    const auto row = [&](int64_t unit) {
      return DecoderRow{static_cast<int32_t>(part.place), static_cast<int32_t>(unit),
                        static_cast<int32_t>(unit), place.row_flags};
    };
    const int64_t end = part.begin + part.units - (part.generates ? 1 : 0);
    for (int64_t unit = part.begin; unit < end; ++unit) prompts.push_back(row(unit));
    if (!part.generates) continue;
    generating.push_back(row(end));
    const int64_t first =
        std::clamp<int64_t>(place.given - (end + 1) * unit_length_, 0, unit_length_);
    flight->rated_rows.push_back({first, place.ratings});
    flight->is_rated |= place.ratings >= 0;
  }
  *prompt_rows = std::ssize(prompts);
  *generating_rows = std::ssize(generating);
  flight->rows = *generating_rows;
  Require(flight->rows <= max_rows_, ErrorCode::kInternal, "{} sequences generate in {} places",
          flight->rows, max_rows_);
  if (!generating.empty()) {
    generating.resize(BucketOf(flight->rows), {static_cast<int32_t>(options_.places), 0, 0, 0});
    flight->writes.Add(decode_rows_.data(), SpanOf(generating));
  }
  if (prompts.empty()) return;
  const int64_t bytes = std::ssize(prompts) * static_cast<int64_t>(sizeof(DecoderRow));
  if (prompt_rows_.bytes() < bytes) {
    flight->retired.push_back(std::exchange(prompt_rows_, Buffer(2 * bytes)));
  }
  flight->writes.Add(prompt_rows_.data(), SpanOf(prompts));
}

void CudaRunner::Start(const Step& step) {
  UseDevice(model_.device_index());
  Require(started_ - waited_ < kSteps, ErrorCode::kInternal, "{} steps are under way",
          started_ - waited_);
  Flight& flight = NextFlight();
  int64_t prompt_rows = 0;
  int64_t generating_rows = 0;
  SendRows(step, &flight, &prompt_rows, &generating_rows);
  flight.writes.Send(&stream_);
  flight.opened.clear();
  QueuePrompts(prompt_rows);
  if (generating_rows > 0) {
    QueueGeneration(BucketOf(generating_rows));
    QueueResults(&flight);
  }
  flight.done.Record(&stream_);
  ++started_;
}

UnitIds CudaRunner::History(const DecoderRow* rows, int64_t unit_offset) const {
  return {history_.data(), rows, history_stride_, unit_offset, unit_length_};
}

void CudaRunner::QueuePrompts(int64_t rows) {
  const auto* on_device = static_cast<const DecoderRow*>(prompt_rows_.data());
  for (int64_t first = 0; first < rows; first += model_.settings().prefill_rows) {
    const int64_t count = std::min(model_.settings().prefill_rows, rows - first);
    decoder_pass_.Embed(&stream_, History(on_device + first, 0), count);
    decoder_pass_.Run(&stream_, decoder_, on_device + first, count, WantedRows{});
  }
}

void CudaRunner::QueueGeneration(int64_t rows) {
  if (!model_.settings().graphs) return QueueUnits(rows);
  const auto [found, is_new] = graphs_.try_emplace(rows);
  // The first time loads kernels, which may not be while a stream is recorded.
  if (is_new) return QueueUnits(rows);
  Graph& graph = found->second;
  if (graph.handle() == nullptr) {
    stream_.BeginCapture();
    QueueUnits(rows);
    graph = stream_.EndCapture();
  }
  stream_.Launch(graph);
}

void CudaRunner::QueueUnits(int64_t rows) {
  decoder_pass_.Embed(&stream_, History(decode_rows_.data(), 0), rows);
  const float* decoded =
      decoder_pass_.Run(&stream_, decoder_, decode_rows_.data(), rows, WantedRows{rows});
  if (!model_.weights().token_decoder) return QueueChoice(0, rows, 0, decoded);
  for (int64_t first = 0; first < rows; first += token_pass_.blocks()) {
    QueueBlocks(first, std::min(token_pass_.blocks(), rows - first), decoded);
  }
}

void CudaRunner::QueueBlocks(int64_t first, int64_t count, const float* decoded) {
  const ModelWeights& weights = model_.weights();
  const int64_t lead = weights.token_decoder->inputs.lead;
  token_pass_.Begin(&stream_, decoded + first * weights.decoder.width, count);
  const UnitIds ids = History(decode_rows_.data() + first, 1);
  BlockStep step;
  step.blocks = count;
  step.wanted = 1;
  if (options_.position_rule == PositionRule::kPublished) step.rotary_shift = lead - 1;
  for (int64_t slot = 0; slot < unit_length_; ++slot) {
    // The first step runs the lead, each later one the token chosen before it.
    step.first = slot == 0 ? 0 : lead + slot - 1;
    step.count = slot == 0 ? lead : 1;
    QueueChoice(first, count, slot, token_pass_.Run(&stream_, step, ids));
  }
}

void CudaRunner::QueueChoice(int64_t first, int64_t count, int64_t slot, const float* x) {
  Choice choice;
  choice.vocab = model_.config().vocab_size;
  choice.num_sampled = options_.token_filter.count;
  choice.excluded = excluded_.data();
  choice.num_excluded = excluded_.size();
  choice.places = sampling_.data();
  choice.history = history_.data();
  choice.history_stride = history_stride_;
  choice.unit_length = unit_length_;
  choice.slot = slot;
  choice.changed = head_pass_.changed();
  choice.counts = head_pass_.counts();
  for (int64_t row = 0; row < count; row += head_pass_.rows()) {
    const int64_t rows = std::min(head_pass_.rows(), count - row);
    const int64_t at = first + row;
    head_pass_.Run(&stream_, x + row * head_pass_.width(), rows);
    ChooseTokens(&stream_, choice, decode_rows_.data() + at, rows, head_pass_.logits(),
                 ids_.data() + at * unit_length_, chosen_.data() + at,
                 ratings_.data() + at * unit_length_);
  }
}

void CudaRunner::QueueResults(Flight* flight) {
  auto* ids = static_cast<int32_t*>(flight->ids.data());
  stream_.CopyToHost(ids, ids_.data(), flight->rows * unit_length_ * 4);
  stream_.CopyToHost(ids + flight->rows * unit_length_, chosen_.data(), flight->rows * 4);
  if (!flight->is_rated) return;
  const int64_t bytes = flight->rows * unit_length_ * static_cast<int64_t>(sizeof(TokenRating));
  if (flight->ratings.bytes() < bytes) flight->ratings = PinnedBuffer(2 * bytes);
  stream_.CopyToHost(flight->ratings.data(), ratings_.data(), bytes);
}

StepResult CudaRunner::Wait() {
  UseDevice(model_.device_index());
  Require(started_ > waited_, ErrorCode::kInternal, "no step was started");
  Flight& flight = flights_[waited_++ % kSteps];
  flight.done.Wait();
  flight.retired.clear();
  StepResult result;
  const auto* ids = static_cast<const int32_t*>(flight.ids.data());
  const int64_t tokens = flight.rows * unit_length_;
  result.ids.assign(ids, ids + tokens);
  result.chosen.assign(ids + tokens, ids + tokens + flight.rows);
  if (!flight.is_rated) return result;
  result.log_probabilities.resize(tokens);
  const auto* ratings = static_cast<const TokenRating*>(flight.ratings.data());
  for (int64_t i = 0; i < tokens; ++i) {
    const size_t row = i / unit_length_;
    const int64_t slot = i % unit_length_;
    const Flight::RatedRow& rated = flight.rated_rows[row];
    if (rated.entries < 0 || slot < rated.first || slot >= result.chosen[row]) continue;
    result.log_probabilities[i] = FromDevice(ratings[i], rated.entries);
  }
  return result;
}

std::vector<TokenScore> CudaRunner::Score(const ScoreStep& step) {
  UseDevice(model_.device_index());
  if (!given_tokens_) given_tokens_ = std::make_unique<GivenTokens>(model_, &stream_);
  return given_tokens_->Score(step);
}

ForwardOutput CudaRunner::Forward(const ForwardInput& input) {
  UseDevice(model_.device_index());
  if (!given_tokens_) given_tokens_ = std::make_unique<GivenTokens>(model_, &stream_);
  return given_tokens_->Forward(input);
}

}  // namespace blockformer::cuda
