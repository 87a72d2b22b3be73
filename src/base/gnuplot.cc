#include "base/gnuplot.h"

#include <fmt/format.h>

#include <iterator>

namespace blockformer {
namespace {

// Okabe and Ito's, with grey in place of yellow, which is too faint on white.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#E69F00",
                                    "#CC79A7", "#56B4E9", "#000000", "#7F7F7F"};
static_assert(std::size(kColours) == kNumPlotColours);
constexpr size_t kNumShapes = 12;  // gnuplot's squares, circles, triangles, diamonds, pentagons
constexpr size_t kFirstShape = 4;

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

}  // namespace blockformer
