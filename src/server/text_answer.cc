#include "server/text_answer.h"

#include <fmt/format.h>

#include <boost/asio/this_coro.hpp>
#include <ctime>
#include <utility>

#include "server/log_probabilities.h"

namespace blockformer {

TextAnswer::TextAnswer(ServerContext* context, Exchange* exchange,
                       const GenerationSettings& settings)
    : context_(context),
      exchange_(exchange),
      settings_(settings),
      created_(static_cast<int64_t>(std::time(nullptr))) {}

boost::asio::awaitable<void> TextAnswer::Prepare() { co_return; }

TextChoice TextAnswer::Begin(size_t) const { return {}; }

void TextAnswer::CountPrompt(int64_t tokens) {
  prompt_tokens_ += tokens;
  exchange_->prompt_tokens = prompt_tokens_;
  context_->metrics.prompt_tokens += tokens;
}

boost::asio::awaitable<void> TextAnswer::Run() {
  std::shared_ptr<Generation> generation;
  std::vector<Generation::Sequence> sequences = Sequences();
  // First, so that a full queue is told before anything is computed.
  if (!sequences.empty()) {
    const auto executor = co_await boost::asio::this_coro::executor;
    generation = Generation::Start(executor, context_->loop, model(), settings_,
                                   std::move(sequences), context_->Deadline());
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

void TextAnswer::Append(GenerationEvent event, TextChoice* choice) {
  context_->metrics.Add(event);
  generated_tokens_ += std::ssize(event.ids);
  exchange_->generated_tokens = generated_tokens_;
  choice->text += event.text;
  choice->ids.insert(choice->ids.end(), event.ids.begin(), event.ids.end());
  for (TokenLogProbabilities& value : event.log_probabilities) {
    choice->log_probabilities.emplace_back(std::move(value));
  }
  choice->reason = event.reason;
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
      Append(std::move(event), choice);
    }
  }
  OrderedJson list = OrderedJson::array();
  for (size_t i = 0; i < choices.size(); ++i) list.push_back(ChoiceJson(i, choices[i]));
  OrderedJson answer = Envelope(/*is_event=*/false);
  answer["choices"] = std::move(list);
  answer["usage"] = Usage();
  HttpResponse response = JsonResponse(answer);
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
    if (choices[i].ids.empty() && choices[i].text.empty() && generation != nullptr) continue;
    text += Emit(i, true, generation == nullptr, &choices[i]);
    began[i] = true;
  }
  co_await exchange_->Write(text);
  size_t open = generation == nullptr ? 0 : choices.size();
  while (open > 0) {
    std::vector<GenerationEvent> events = co_await generation->Next();
    text.clear();
    for (GenerationEvent& event : events) {
      const size_t index = event.sequence;
      const bool ended = event.ended;
      open -= ended ? 1 : 0;
      Append(std::move(event), &choices[index]);
      const bool has_values = settings_.log_probabilities && !choices[index].ids.empty();
      if (choices[index].text.empty() && !has_values && !ended) continue;
      text += Emit(index, !began[index], ended, &choices[index]);
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
  std::string text;
  for (OrderedJson& part : EventChoices(index, *choice, begins, ended)) {
    OrderedJson event = Envelope(/*is_event=*/true);
    event["choices"] = OrderedJson::array({std::move(part)});
    if (settings_.include_usage) event["usage"] = nullptr;
    text += fmt::format("data: {}\n\n", ToText(event));
  }
  if (settings_.log_probabilities) {
    choice->first_character += CountTextCharacters(model(), choice->ids);
  }
  choice->text.clear();
  choice->ids.clear();
  choice->log_probabilities.clear();
  return text;
}

std::string TextAnswer::UsageEvent() const {
  OrderedJson event = Envelope(/*is_event=*/true);
  event["choices"] = OrderedJson::array();
  event["usage"] = Usage();
  return fmt::format("data: {}\n\n", ToText(event));
}

}  // namespace blockformer
