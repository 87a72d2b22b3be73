#ifndef BLOCKFORMER_BASE_GNUPLOT_H_
#define BLOCKFORMER_BASE_GNUPLOT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "base/output_path.h"

namespace blockformer {

// Parts of gnuplot scripts that all plots share.

struct PlotPoint {
  double x = 0;
  double y = 0;
};

inline constexpr size_t kNumPlotColours = 8;
inline constexpr char kPlotGrid[] = "set grid lt 1 lw 0.7 lc rgb '#d0d0d0'\n";

// Colours that differ for colour-blind readers too; beyond kNumPlotColours they begin again.
const char* PlotColour(size_t index);

// A point type and a colour, as "pt 4 lc rgb '#0072B2'".
std::string PlotPointStyle(size_t shape, size_t colour);

// A string literal; control characters become "-".
std::string PlotQuoted(const std::string& text);

// A data block $NAME with a line "x y" for each point.
std::string PlotData(const std::string& name, const std::vector<PlotPoint>& points);

// The command that begins an SVG of so many pixels.
std::string SvgTerminal(int width, int height);

// The same for the type of picture that a path's ending names: .svg or .png. Throws
// Error(kInvalidArgument) that opens with `flag` for another one.
std::string PlotTerminal(const std::string& flag, const std::string& path, int width, int height);

// Throws Error(kNotFound) that opens with `flag` if gnuplot cannot be started. To be asked before
// anything is computed.
void RequireGnuplot(const std::string& flag);

// The files that DrawPlot() writes: the picture, and PATH.gp where that is a regular file. For
// CheckOutputs().
std::vector<OutputFlag> PlotOutputs(const std::string& flag, const std::string& path);

// Runs a script whose output is the file name of `path`, and leaves the script beside the picture
// as PATH.gp, unless that is a pipe or a device. Throws Error(kIo) with what gnuplot said if it
// fails.
void DrawPlot(const std::string& path, const std::string& script);

// Runs a script in a folder of its own, and then replaces `paths` by the files of the same names
// that it has written there. Returns gnuplot's exit code, ChildProcess::kNotStarted without it; if
// it is not 0, `message` gets what gnuplot said and nothing is replaced.
int RunGnuplot(const std::string& script, const std::vector<std::string>& paths,
               std::string* message);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_GNUPLOT_H_
