#include "server/text_answer.h"

#include <fmt/format.h>

#include <boost/asio/this_coro.hpp>
#include <ctime>
#include <deque>
#include <utility>

#include "server/yield_turn.h"

namespace blockformer {
namespace {

// The text of an object up to the value of one more member.
std::string OpenText(const OrderedJson& object, std::string_view member) {
  std::string text = ToText(object);
  text.back() = ',';
  return text.append("\"").append(member).append("\":");
}

// What stands before and behind "logprobs" of a part.
std::string PartOpening(size_t index, const OrderedJson& text) {
  OrderedJson object = {{"index", index}};
  object.update(text);
  return OpenText(object, "logprobs");
}
std::string PartEnd(const ChoicePart& part, FinishReason reason) {
  const OrderedJson value = part.ended ? OrderedJson(ApiFinishReason(reason)) : OrderedJson();
  return fmt::format(R"(,"finish_reason":{}}})", ToText(value));
}

// Appends what "logprobs" is.
void AppendLogProbabilities(const LogProbabilities* values, std::vector<std::string_view>* pieces) {
  if (values == nullptr) return pieces->push_back("null");
  values->AppendTo(pieces);
}

}  // namespace

TextAnswer::TextAnswer(ServerContext* context, Exchange* exchange,
                       const GenerationSettings& settings)
    : context_(context),
      exchange_(exchange),
      settings_(settings),
      created_(static_cast<int64_t>(std::time(nullptr))) {}

boost::asio::awaitable<void> TextAnswer::Prepare() { co_return; }

void TextAnswer::CountPrompt(int64_t tokens) {
  prompt_tokens_ += tokens;
  exchange_->prompt_tokens = prompt_tokens_;
  context_->metrics.prompt_tokens += tokens;
}

boost::asio::awaitable<void> TextAnswer::Run() {
  std::shared_ptr<Generation> generation;
  RequirePlaces();
  std::vector<Generation::Sequence> sequences = Sequences();
  // First, so that a full queue is told before anything is computed.
  if (!sequences.empty()) {
    const auto executor = co_await boost::asio::this_coro::executor;
    generation = Generation::Start(executor, context_->loop, model(), settings_,
                                   std::move(sequences), context_->Deadline(*exchange_));
  }
  std::exception_ptr failure;
  try {
    co_await Prepare();
    if (generation) exchange_->WatchClient([generation] { generation->Cancel(); });
    if (settings_.stream) {
      co_await Stream(generation.get());
    } else {
      co_await Collect(generation.get());
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  if (generation) generation->Cancel();
  std::rethrow_exception(failure);
}

void TextAnswer::RequirePlaces() const {
  const auto texts = static_cast<int64_t>(NumChoices());
  const int64_t places = context_->loop->capacity();
  if (texts <= places) return;
  FailField(settings_.n > 1 ? "n" : "prompt",
            fmt::format("{} texts are asked for; the server has places for {}", texts, places));
}

boost::asio::awaitable<void> TextAnswer::Append(GenerationEvent event, TextChoice* choice) {
  context_->metrics.Add(event);
  generated_tokens_ += std::ssize(event.ids);
  exchange_->generated_tokens = generated_tokens_;
  choice->text += event.text;
  choice->has_tokens |= !event.ids.empty();
  choice->reason = event.reason;
  if (!choice->log_probabilities) co_return;
  for (size_t i = 0; i < event.ids.size(); ++i) {
    const TokenLogProbabilities& value = event.log_probabilities[i];
    const int64_t characters = model().CountCharacters(event.ids[i], /*skip_special=*/true);
    choice->log_probabilities->Add(model(), event.ids[i], characters, value.chosen, value.top);
  }
  co_await YieldTurn();
}

OrderedJson TextAnswer::Usage() const {
  return {{"prompt_tokens", prompt_tokens_},
          {"completion_tokens", generated_tokens_},
          {"total_tokens", prompt_tokens_ + generated_tokens_}};
}

boost::asio::awaitable<void> TextAnswer::Collect(Generation* generation) {
  std::vector<TextChoice> choices;
  for (size_t i = 0; i < NumChoices(); ++i) choices.push_back(Begin(i));
  size_t open = generation == nullptr ? 0 : choices.size();
  while (open > 0) {
    std::vector<GenerationEvent> events = co_await generation->Next();
    for (GenerationEvent& event : events) {
      open -= event.ended ? 1 : 0;
      TextChoice* choice = &choices[event.sequence];
      co_await Append(std::move(event), choice);
    }
  }
  co_await SendWhole(choices);
}

boost::asio::awaitable<void> TextAnswer::SendWhole(const std::vector<TextChoice>& choices) {
  HttpResponse response;
  response.body = OpenText(Envelope(/*is_event=*/false), "choices") + "[";
  std::deque<std::string> texts;  // that pieces of the body are in
  std::vector<std::string_view>& pieces = response.more_body;
  for (size_t i = 0; i < choices.size(); ++i) {
    const ChoicePart part = {TextMember(choices[i]), choices[i].Values(), true};
    if (i > 0) pieces.push_back(",");
    pieces.push_back(texts.emplace_back(PartOpening(i, part.text)));
    AppendLogProbabilities(part.log_probabilities, &pieces);
    pieces.push_back(texts.emplace_back(PartEnd(part, choices[i].reason)));
    co_await YieldTurn();
  }
  pieces.push_back(texts.emplace_back(fmt::format(R"(],"usage":{}}})", ToText(Usage()))));
  co_await exchange_->Send(std::move(response));
}

boost::asio::awaitable<void> TextAnswer::Stream(Generation* generation) {
  HttpResponse head = EventStreamHead();
  co_await exchange_->BeginStream(std::move(head));
  std::vector<TextChoice> choices;
  std::vector<bool> began(NumChoices(), false);
  std::string text;
  for (size_t i = 0; i < NumChoices(); ++i) {
    choices.push_back(Begin(i));
    if (!choices[i].has_tokens && choices[i].text.empty() && generation != nullptr) continue;
    text = Emit(i, true, generation == nullptr, &choices[i]);
    co_await exchange_->Write(text);
    began[i] = true;
  }
  size_t open = generation == nullptr ? 0 : choices.size();
  while (open > 0) {
    std::vector<GenerationEvent> events = co_await generation->Next();
    text.clear();
    for (GenerationEvent& event : events) {
      const size_t index = event.sequence;
      const bool ended = event.ended;
      open -= ended ? 1 : 0;
      TextChoice* choice = &choices[index];
      co_await Append(std::move(event), choice);
      const bool has_values = choice->log_probabilities && choice->has_tokens;
      if (choice->text.empty() && !has_values && !ended) continue;
      text += Emit(index, !began[index], ended, choice);
      began[index] = true;
    }
    co_await exchange_->Write(text);
  }
  text = settings_.include_usage ? UsageEvent() : "";
  text += "data: [DONE]\n\n";
  co_await exchange_->Write(text);
  co_await exchange_->EndStream();
}

std::string TextAnswer::Emit(size_t index, bool begins, bool ended, TextChoice* choice) const {
  const std::string opening = OpenText(Envelope(/*is_event=*/true), "choices");
  std::string text;
  for (const ChoicePart& part : EventParts(*choice, begins, ended)) {
    std::vector<std::string_view> values;
    AppendLogProbabilities(part.log_probabilities, &values);
    text += fmt::format("data: {}[{}{}{}]{}}}\n\n", opening, PartOpening(index, part.text),
                        fmt::join(values, ""), PartEnd(part, choice->reason),
                        settings_.include_usage ? R"(,"usage":null)" : "");
  }
  if (choice->log_probabilities) choice->log_probabilities->Clear();
  choice->text.clear();
  choice->has_tokens = false;
  return text;
}

std::string TextAnswer::UsageEvent() const {
  OrderedJson event = Envelope(/*is_event=*/true);
  event["choices"] = OrderedJson::array();
  event["usage"] = Usage();
  return fmt::format("data: {}\n\n", ToText(event));
}

}  // namespace blockformer
