#include "eval/needle.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/gnuplot.h"
#include "base/work_observer.h"
#include "engine/text_engine.h"

namespace blockformer {
namespace {

// Hits in %: [depths][lengths].
std::vector<std::vector<double>> HitRates(const NeedleResult& result) {
  std::vector<std::vector<double>> rates;
  const double factor = 100 / static_cast<double>(result.options.samples);
  for (const std::vector<int64_t>& row : result.hits) {
    std::vector<double>& rates_row = rates.emplace_back();
    for (const int64_t hits : row) rates_row.push_back(static_cast<double>(hits) * factor);
  }
  return rates;
}

EngineOptions OptionsFor(const EvalModel& model, const NeedleOptions& options) {
  EngineOptions engine = TextEngineOptions(model.tokenizer);
  engine.max_length = std::ranges::max(options.lengths);
  return engine;
}

std::vector<std::string> GenerateAnswers(const EvalModel& model, const std::string& name,
                                         const NeedleOptions& options,
                                         const std::vector<NeedlePrompt>& prompts,
                                         WorkObserver* observer) {
  std::vector<std::vector<int32_t>> generated(prompts.size());
  int64_t done = 0;
  Engine engine(model.model, OptionsFor(model, options));
  // Lengths mostly ascend: the long prompts first, so that none is left to run alone at the end.
  for (size_t i = prompts.size(); i-- > 0;) {
    GenerationRequest request;
    request.prompt = prompts[i].tokens;
    request.max_tokens = kNeedleNewTokens;
    engine.Submit(
        std::move(request),
        [&generated, &done, i](const GeneratedTokens& tokens) {
          generated[i].insert(generated[i].end(), tokens.ids.begin(), tokens.ids.end());
          if (tokens.finished) ++done;
          return true;
        },
        [&name, i](const Error& error) {
          Fail(error.code(), "{}: prompt {}: {}", name, i, error.what());
        });
  }
  observer->Begin("needle " + name, std::ssize(prompts), "prompts", 0);
  while (engine.Step()) {
    if (observer->StopRequested()) {
      Fail(ErrorCode::kInterrupted, "{}: stopped after {} of {} prompts", name, done,
           prompts.size());
    }
    observer->Update(done, "");
  }
  std::vector<std::string> answers;
  for (const std::vector<int32_t>& tokens : generated) {
    answers.push_back(model.tokenizer.Decode(tokens, /*skip_special=*/true));
  }
  return answers;
}

// Pixels of a picture.
struct Layout {
  Layout(const NeedleOptions& options, int panels)
      : panel_width(std::max(kMinWidth, kCell * static_cast<int>(options.lengths.size()))),
        panel_height(std::max(kMinHeight, kCell * static_cast<int>(options.depths.size()))),
        columns(std::min(kMaxColumns, panels)),
        rows((panels + columns - 1) / columns),
        width(kLeft + columns * (panel_width + kGapX) - kGapX + kRight),
        height(kTop + rows * (panel_height + kGapY) - kGapY + kBottom) {}

  double X(int pixels) const { return static_cast<double>(pixels) / width; }
  double Y(int pixels) const { return static_cast<double>(pixels) / height; }

  // The commands that lay out the panels, and the scale of colours beside them.
  std::string Commands() const {
    return fmt::format(
        "set colorbox vertical user origin screen {},{} size screen {},{}\n"
        "set multiplot layout {},{} margins screen {},{},{},{} spacing screen {},{}\n",
        1 - X(kRight - kGapX / 3), Y(kBottom), X(kScaleWidth), 1 - Y(kTop + kBottom), rows, columns,
        X(kLeft), 1 - X(kRight), Y(kBottom), 1 - Y(kTop), X(kGapX), Y(kGapY));
  }

  static constexpr int kMaxColumns = 3;
  static constexpr int kCell = 56;
  static constexpr int kMinWidth = 230;
  static constexpr int kMinHeight = 150;
  static constexpr int kLeft = 70;
  static constexpr int kRight = 110;
  static constexpr int kTop = 50;
  static constexpr int kBottom = 60;
  static constexpr int kGapX = 75;
  static constexpr int kGapY = 105;
  static constexpr int kScaleWidth = 16;

  int panel_width;
  int panel_height;
  int columns;
  int rows;
  int width;
  int height;
};

std::string HeatData(const std::string& name, const NeedleResult& result) {
  std::string text = fmt::format("${} << END\n", name);
  const std::vector<std::vector<double>> rates = HitRates(result);
  for (size_t row = 0; row < rates.size(); ++row) {
    for (size_t column = 0; column < rates[row].size(); ++column) {
      text += fmt::format("{} {} {}\n", column, row, rates[row][column]);
    }
  }
  return text + "END\n";
}

template <typename Value>
std::string Ticks(const std::vector<Value>& values, double factor) {
  std::vector<std::string> ticks;
  for (size_t i = 0; i < values.size(); ++i) {
    ticks.push_back(fmt::format("'{:.6g}' {}", static_cast<double>(values[i]) * factor, i));
  }
  return fmt::format("({})", fmt::join(ticks, ", "));
}

std::string HeatPanel(const std::string& data, const NeedleResult& result) {
  const NeedleOptions& options = result.options;
  const std::string title = fmt::format("{}: {:.1f} %", result.model, 100 * result.Accuracy());
  return fmt::format(
      "set title {1}\n"
      "set xtics {2}\nset ytics {3}\nset xrange [-0.5:{4}-0.5]\nset yrange [{5}-0.5:-0.5]\n"
      "plot ${0} using 1:2:(0.5):(0.5):3 with boxxyerror lc palette notitle, \\\n"
      "  ${0} using 1:2:(sprintf('%.0f', $3)):($3 > 65 ? 0xffffff : 0x000000) "
      "with labels tc rgb variable notitle\n"
      "unset colorbox\n",  // one is enough
      data, PlotQuoted(title), Ticks(options.lengths, 1), Ticks(options.depths, 100),
      options.lengths.size(), options.depths.size());
}

}  // namespace

bool IsNeedleHit(std::string_view generated, std::string_view digits) {
  return generated.find(digits) != std::string_view::npos;
}

double NeedleResult::Accuracy() const {
  return static_cast<double>(std::ranges::count_if(answers, &NeedleAnswer::is_hit)) /
         static_cast<double>(answers.size());
}

NeedleResult JudgeNeedle(const std::string& name, const NeedleOptions& options,
                         const std::vector<NeedlePrompt>& prompts,
                         const std::vector<std::string>& generated) {
  const size_t columns = options.lengths.size();
  NeedleResult result = {name, options, {}, {}};
  result.hits.assign(options.depths.size(), std::vector<int64_t>(columns));
  for (size_t i = 0; i < prompts.size(); ++i) {
    const NeedlePrompt& prompt = prompts[i];
    const bool is_hit = IsNeedleHit(generated[i], prompt.digits);
    const size_t cell = i / static_cast<size_t>(options.samples);
    result.hits[cell / columns][cell % columns] += is_hit;
    result.answers.push_back({prompt.length, prompt.depth, prompt.placed, prompt.city,
                              prompt.digits, generated[i], is_hit});
  }
  return result;
}

NeedleResult RunNeedle(const EvalModel& model, const std::string& name,
                       const NeedleOptions& options, const std::vector<NeedlePrompt>& prompts,
                       WorkObserver* observer) {
  return JudgeNeedle(name, options, prompts,
                     GenerateAnswers(model, name, options, prompts, observer));
}

OrderedJson NeedleJson(const std::vector<NeedleResult>& results) {
  OrderedJson json = OrderedJson::array();
  for (const NeedleResult& result : results) {
    OrderedJson prompts = OrderedJson::array();
    for (const NeedleAnswer& answer : result.answers) {
      prompts.push_back({{"length", answer.length},
                         {"depth", answer.depth},
                         {"placed", answer.placed},
                         {"city", answer.city},
                         {"expected", answer.expected},
                         {"generated", answer.generated},
                         {"hit", answer.is_hit}});
    }
    json.push_back({{"model", result.model},
                    {"form", NeedleFormName(result.options.form)},
                    {"lengths", result.options.lengths},
                    {"depths", result.options.depths},
                    {"samples", result.options.samples},
                    {"hits", result.hits},
                    {"accuracy", result.Accuracy()},
                    {"prompts", prompts}});
  }
  return json;
}

std::string NeedleTable(const std::vector<NeedleResult>& results) {
  std::string text;
  for (const NeedleResult& result : results) {
    if (!text.empty()) text += "\n";
    text += fmt::format("{}: {:.1f} % of {} prompts, form {}\n  depth", result.model,
                        100 * result.Accuracy(), result.answers.size(),
                        NeedleFormName(result.options.form));
    for (const int64_t length : result.options.lengths) text += fmt::format("  {:>7}", length);
    const std::vector<std::vector<double>> rates = HitRates(result);
    for (size_t row = 0; row < rates.size(); ++row) {
      text += fmt::format("\n{:>5.4g} %", 100 * result.options.depths[row]);
      for (const double rate : rates[row]) text += fmt::format("  {:>7.1f}", rate);
    }
    text += "\n";
  }
  return text;
}

std::string NeedlePlotScript(const std::vector<NeedleResult>& results, const std::string& output) {
  const Layout layout(results[0].options, static_cast<int>(results.size()));
  std::string data;
  std::string panels;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string name = fmt::format("model{}", i);
    data += HeatData(name, results[i]);
    panels += HeatPanel(name, results[i]);
  }
  return fmt::format(
      "{}\n{}set output {}\n"
      "set palette defined (0 '#f7fbff', 25 '#c6dbef', 50 '#6baed6', 75 '#2171b5', 100 '#08306b')\n"
      "set cbrange [0:100]\nset cblabel 'hits (%)'\n"
      "set style fill solid border lc rgb '#ffffff'\n"
      "set tics scale 0\nset xlabel 'length (tokens)'\nset ylabel 'depth (%)'\n"
      "{}{}unset multiplot\n",
      data, PlotTerminal("--plot", output, layout.width, layout.height), PlotQuoted(output),
      layout.Commands(), panels);
}

}  // namespace blockformer
