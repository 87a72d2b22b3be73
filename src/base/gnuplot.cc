#include "base/gnuplot.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include "base/child_process.h"
#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace blockformer {
namespace {

// Okabe and Ito's, with grey in place of yellow, which is too faint on white.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#E69F00",
                                    "#CC79A7", "#56B4E9", "#000000", "#7F7F7F"};
static_assert(std::size(kColours) == kNumPlotColours);
constexpr size_t kNumShapes = 12;  // gnuplot's squares, circles, triangles, diamonds, pentagons
constexpr size_t kFirstShape = 4;
constexpr char kScriptEnding[] = ".gp";

// Where a program says what is wrong.
std::string LastLine(std::string text) {
  while (!text.empty() && isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
  return text.substr(text.find_last_of('\n') + 1);
}

}  // namespace

const char* PlotColour(size_t index) { return kColours[index % kNumPlotColours]; }

std::string PlotPointStyle(size_t shape, size_t colour) {
  return fmt::format("pt {} lc rgb '{}'", kFirstShape + shape % kNumShapes, PlotColour(colour));
}

std::string PlotQuoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';  // a quote inside is written twice
    quoted += static_cast<unsigned char>(c) < ' ' ? '-' : c;
  }
  return quoted + "'";
}

std::string PlotData(const std::string& name, const std::vector<PlotPoint>& points) {
  std::string text = fmt::format("${} << END\n", name);
  for (const PlotPoint& point : points) text += fmt::format("{} {}\n", point.x, point.y);
  return text + "END\n";
}

std::string SvgTerminal(int width, int height) {
  return fmt::format("set terminal svg noenhanced size {},{} font 'sans,13' background '#ffffff'\n",
                     width, height);
}

std::string PlotTerminal(const std::string& flag, const std::string& path, int width, int height) {
  if (path.ends_with(".svg")) return SvgTerminal(width, height);
  Require(path.ends_with(".png"), ErrorCode::kInvalidArgument,
          "{}: {} is no picture that can be drawn; .svg or .png is", flag, path);
  return fmt::format("set terminal pngcairo noenhanced size {},{} font 'sans,11'\n", width, height);
}

void RequireGnuplot(const std::string& flag) {
  const int exit_code = RunProcess({"gnuplot", "--version"}, "/dev/null");
  Require(exit_code == 0, ErrorCode::kNotFound,
          "{}: needs gnuplot, which is not here; Debian's package is gnuplot-nox", flag);
}

std::vector<OutputFlag> PlotOutputs(const std::string& flag, const std::string& path) {
  std::vector<OutputFlag> outputs = {{flag, path}};
  if (!IsStream(path)) outputs.push_back({flag, path + kScriptEnding});
  return outputs;
}

void DrawPlot(const std::string& path, const std::string& script) {
  if (!IsStream(path)) WriteFileAtomically(path + kScriptEnding, script);
  std::string message;
  const int exit_code = RunGnuplot(script, {path}, &message);
  Require(exit_code == 0, ErrorCode::kIo, "{}: gnuplot failed: {}", path, message);
}

int RunGnuplot(const std::string& script, const std::vector<std::string>& paths,
               std::string* message) {
  const TemporaryFolder folder;
  const std::string log = folder.path() + "/log";
  const std::string pictures = folder.path() + "/pictures/";
  MakeDirectories(pictures);
  WriteFileAtomically(folder.path() + "/script", script);
  const int exit_code = RunProcess({"gnuplot", "../script"}, log, pictures);
  if (exit_code != 0) {
    *message = LastLine(ReadFile(log));
    return exit_code;
  }
  for (const std::string& path : paths) {
    const std::string name = std::filesystem::path(path).filename().string();
    WriteFileAtomically(path, ReadFile(pictures + name));
  }
  return 0;
}

}  // namespace blockformer
