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
std::vector<std::vector<double>> HitRates(const OrderedJson& result) {
  auto rates = result["hits"].get<std::vector<std::vector<double>>>();
  const double samples = result["samples"].get<double>();
  for (std::vector<double>& row : rates) {
    for (double& rate : row) rate *= 100 / samples;
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
  explicit Layout(const OrderedJson& results)
      : panel_width(std::max(kMinWidth, kCell * static_cast<int>(results[0]["lengths"].size()))),
        panel_height(std::max(kMinHeight, kCell * static_cast<int>(results[0]["depths"].size()))),
        columns(std::min(kMaxColumns, static_cast<int>(results.size()))),
        rows((static_cast<int>(results.size()) + columns - 1) / columns),
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

std::string HeatData(const std::string& name, const OrderedJson& result) {
  std::string text = fmt::format("${} << END\n", name);
  const std::vector<std::vector<double>> rates = HitRates(result);
  for (size_t row = 0; row < rates.size(); ++row) {
    for (size_t column = 0; column < rates[row].size(); ++column) {
      text += fmt::format("{} {} {}\n", column, row, rates[row][column]);
    }
  }
  return text + "END\n";
}

std::string Ticks(const OrderedJson& values, double factor) {
  std::vector<std::string> ticks;
  for (size_t i = 0; i < values.size(); ++i) {
    ticks.push_back(fmt::format("'{:.6g}' {}", values[i].get<double>() * factor, i));
  }
  return fmt::format("({})", fmt::join(ticks, ", "));
}

std::string HeatPanel(const std::string& data, const OrderedJson& result) {
  const std::string title = fmt::format("{}: {:.1f} %", result["model"].get<std::string>(),
                                        100 * result["accuracy"].get<double>());
  return fmt::format(
      "set title {1}\n"
      "set xtics {2}\nset ytics {3}\nset xrange [-0.5:{4}-0.5]\nset yrange [{5}-0.5:-0.5]\n"
      "plot ${0} using 1:2:(0.5):(0.5):3 with boxxyerror lc palette notitle, \\\n"
      "  ${0} using 1:2:(sprintf('%.0f', $3)):($3 > 65 ? 0xffffff : 0x000000) "
      "with labels tc rgb variable notitle\n"
      "unset colorbox\n",  // one is enough
      data, PlotQuoted(title), Ticks(result["lengths"], 1), Ticks(result["depths"], 100),
      result["lengths"].size(), result["depths"].size());
}

}  // namespace

bool IsNeedleHit(std::string_view generated, std::string_view digits) {
  return generated.find(digits) != std::string_view::npos;
}

OrderedJson NeedleResult(const std::string& name, const NeedleOptions& options,
                         const std::vector<NeedlePrompt>& prompts,
                         const std::vector<std::string>& answers) {
  const size_t columns = options.lengths.size();
  std::vector<std::vector<int64_t>> hits(options.depths.size(), std::vector<int64_t>(columns));
  int64_t total = 0;
  OrderedJson details = OrderedJson::array();
  for (size_t i = 0; i < prompts.size(); ++i) {
    const NeedlePrompt& prompt = prompts[i];
    const bool is_hit = IsNeedleHit(answers[i], prompt.digits);
    const size_t cell = i / static_cast<size_t>(options.samples);
    hits[cell / columns][cell % columns] += is_hit;
    total += is_hit;
    details.push_back({{"length", prompt.length},
                       {"depth", prompt.depth},
                       {"placed", prompt.placed},
                       {"city", prompt.city},
                       {"expected", prompt.digits},
                       {"generated", answers[i]},
                       {"hit", is_hit}});
  }
  return {{"model", name},
          {"form", NeedleFormName(options.form)},
          {"lengths", options.lengths},
          {"depths", options.depths},
          {"samples", options.samples},
          {"hits", hits},
          {"accuracy", static_cast<double>(total) / static_cast<double>(prompts.size())},
          {"prompts", details}};
}

OrderedJson RunNeedle(const EvalModel& model, const std::string& name, const NeedleOptions& options,
                      const std::vector<NeedlePrompt>& prompts, WorkObserver* observer) {
  return NeedleResult(name, options, prompts,
                      GenerateAnswers(model, name, options, prompts, observer));
}

std::string NeedleTable(const OrderedJson& report) {
  std::string text;
  for (const OrderedJson& result : report["results"]) {
    if (!text.empty()) text += "\n";
    text += fmt::format("{}: {:.1f} % of {} prompts, form {}\n  depth",
                        result["model"].get<std::string>(), 100 * result["accuracy"].get<double>(),
                        result["prompts"].size(), result["form"].get<std::string>());
    for (const OrderedJson& length : result["lengths"]) {
      text += fmt::format("  {:>7}", length.get<int64_t>());
    }
    const std::vector<std::vector<double>> rates = HitRates(result);
    for (size_t row = 0; row < rates.size(); ++row) {
      text += fmt::format("\n{:>5.4g} %", 100 * result["depths"][row].get<double>());
      for (const double rate : rates[row]) text += fmt::format("  {:>7.1f}", rate);
    }
    text += "\n";
  }
  return text;
}

std::string NeedlePlotScript(const OrderedJson& report, const std::string& output) {
  const OrderedJson& results = report["results"];
  const Layout layout(results);
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
