#include "sweep/sweep_config.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "sweep/axes.h"
#include "sweep/trained_settings.h"

namespace blockformer {
namespace {

constexpr size_t kMaxRuns = 1000;
constexpr size_t kMaxNameLength = 120;
constexpr char kBaseName[] = "base";

// One value of an axis.
struct AxisValue {
  std::string axis;
  Json value;
  std::string name;
  std::string source;  // where it stands, for messages
};

struct Axis {
  std::string name;
  std::vector<AxisValue> values;
};

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

// "training.learning_rate" and "0.001" as "learning_rate-0.001".
std::string NameOf(const AxisValue& value) {
  const size_t dot = value.axis.rfind('.');
  std::string name = value.axis.substr(dot == std::string::npos ? 0 : dot + 1) + "-" + value.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !IsNameCharacter(c); }, '-');
  return name;
}

void CheckName(const std::string& name, const std::string& source) {
  const bool right = !name.empty() && name.size() <= kMaxNameLength && name[0] != '.' &&
                     name[0] != '-' && std::all_of(name.begin(), name.end(), IsNameCharacter);
  Require(right, ErrorCode::kInvalidArgument,
          "{}: \"{}\" cannot be the name of a run; 1 to {} letters, digits and \"._-\" are wanted",
          source, name, kMaxNameLength);
}

// Collects the runs; equal recipes become one run.
class SweepBuilder {
 public:
  SweepBuilder(Sweep* sweep, const std::string& source) : sweep_(*sweep), source_(source) {}

  // Returns the index of the run, which may have been there under another name.
  size_t Add(const std::string& name, Json document, const std::string& source) {
    CheckName(name, source);
    SweepRun run;
    run.name = name;
    document["output"] = sweep_.RunDirectory(run);
    run.recipe = TrainRecipeFromJson(document, fmt::format("{} (run {})", source, name));
    const auto [same, is_new] = indices_.emplace(WrittenOut(run.recipe).dump(), sweep_.runs.size());
    if (!is_new) return same->second;
    Require(std::none_of(sweep_.runs.begin(), sweep_.runs.end(),
                         [&](const SweepRun& other) { return other.name == name; }),
            ErrorCode::kInvalidArgument, "{}: there is another run of the name {}", source, name);
    Require(sweep_.runs.size() < kMaxRuns, ErrorCode::kInvalidArgument,
            "{}: more than {} runs, which is what a sweep has at most", source_, kMaxRuns);
    sweep_.runs.push_back(std::move(run));
    return sweep_.runs.size() - 1;
  }

  static void AddToGroup(size_t run, const std::string& label, SweepGroup* group) {
    if (std::find(group->runs.begin(), group->runs.end(), run) != group->runs.end()) return;
    group->runs.push_back(run);
    group->labels.push_back(label);
  }

 private:
  Sweep& sweep_;
  const std::string& source_;
  std::map<std::string, size_t> indices_;
};

// The lists of `axes` or `grid`, in the order of the ready-made axes and then by name.
std::vector<Axis> ReadAxes(const ObjectReader& reader, const std::string& section) {
  std::vector<Axis> axes;
  const Json& lists = reader.Raw(section);
  if (lists.is_null()) return axes;
  if (!lists.is_object()) reader.FailField(section, "a mapping of lists is wanted");
  for (const auto& [name, list] : lists.items()) {
    if (!list.is_array() || list.empty()) {
      reader.FailField(section + "." + name,
                       fmt::format("{} is not possible; a list of values is wanted", list.dump()));
    }
    Axis axis{name, {}};
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string source = fmt::format("{}: {}.{}[{}]", reader.source(), section, name, i);
      axis.values.push_back({name, list[i], AxisValueName(list[i], source), source});
    }
    axes.push_back(std::move(axis));
  }
  const auto rank = [](const Axis& axis) {
    const auto& names = ReadyMadeAxes();
    return std::find(names.begin(), names.end(), axis.name) - names.begin();
  };
  std::stable_sort(axes.begin(), axes.end(),
                   [&](const Axis& a, const Axis& b) { return rank(a) < rank(b); });
  return axes;
}

// Each axis varied alone.
void AddAxes(const std::vector<Axis>& axes, const Json& base, SweepBuilder* builder, Sweep* sweep) {
  for (const Axis& axis : axes) {
    SweepGroup group{axis.name, /*is_axis=*/true, {}, {}};
    for (const AxisValue& value : axis.values) {
      Json document = base;
      ApplyAxis(value.axis, value.value, value.source, &document);
      SweepBuilder::AddToGroup(builder->Add(NameOf(value), document, value.source), value.name,
                               &group);
    }
    sweep->groups.push_back(std::move(group));
  }
}

// All combinations; the last axis varies fastest.
void AddGrid(const std::vector<Axis>& axes, const Json& base, const std::string& source,
             SweepBuilder* builder, SweepGroup* group) {
  if (axes.empty()) return;
  size_t count = 1;
  for (const Axis& axis : axes) {
    count *= axis.values.size();
    Require(count <= kMaxRuns, ErrorCode::kInvalidArgument,
            "{}: grid: the product of the lists has more than {} runs", source, kMaxRuns);
  }
  for (size_t i = 0; i < count; ++i) {
    Json document = base;
    std::vector<std::string> names;
    size_t block = count;
    for (const Axis& axis : axes) {
      block /= axis.values.size();
      const AxisValue& value = axis.values[i / block % axis.values.size()];
      ApplyAxis(value.axis, value.value, value.source, &document);
      names.push_back(NameOf(value));
    }
    const std::string name = fmt::format("{}", fmt::join(names, "_"));
    SweepBuilder::AddToGroup(builder->Add(name, document, source + ": grid"), name, group);
  }
}

// Runs that are described one by one.
void AddList(const ObjectReader& reader, const Json& base, SweepBuilder* builder,
             SweepGroup* group) {
  const Json& list = reader.Raw("runs");
  if (list.is_null()) return;
  if (!list.is_array()) reader.FailField("runs", "a list of runs with name and set is wanted");
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = fmt::format("runs[{}]", i);
    const ObjectReader entry(list[i], reader.source(), path);
    const std::string name = entry.String("name");
    const std::string source = reader.source() + ": " + path;
    Json document = base;
    if (entry.Has("set")) {
      entry.Object("set");  // must be a mapping
      for (const auto& [field, value] : entry.Raw("set").items()) {
        Require(field != "output", ErrorCode::kInvalidArgument,
                "{}.set.output: cannot be set; every run is in the output of the sweep", source);
        SetRecipeField(field, value, source + ".set", &document);
      }
    }
    entry.RejectUnknown();
    const size_t run = builder->Add(name, document, source);
    Require(std::find(group->runs.begin(), group->runs.end(), run) == group->runs.end(),
            ErrorCode::kInvalidArgument, "{}: {} is the same recipe as an earlier run", source,
            name);
    SweepBuilder::AddToGroup(run, name, group);
  }
}

SweepThroughput ReadThroughput(const ObjectReader& reader) {
  SweepThroughput throughput;
  if (!reader.Has("throughput")) return throughput;
  const ObjectReader fields = reader.Object("throughput");
  throughput.prompt = fields.Int("prompt", 1, 1 << 20, throughput.prompt);
  throughput.generate = fields.Int("generate", 1, 1 << 20, throughput.generate);
  throughput.batch = fields.Int("batch", 0, 1 << 14, throughput.batch);
  throughput.repetitions = fields.Int("repetitions", 1, 1000, throughput.repetitions);
  fields.RejectUnknown();
  return throughput;
}

// Takes "output=DIR", which is of the sweep, out of the overrides of the base recipe.
std::vector<std::string> TakeOutput(const std::vector<std::string>& overrides,
                                    std::string* output) {
  constexpr std::string_view kPrefix = "output=";
  std::vector<std::string> rest;
  for (const std::string& text : overrides) {
    if (text.starts_with(kPrefix)) {
      *output = text.substr(kPrefix.size());
    } else {
      rest.push_back(text);
    }
  }
  return rest;
}

}  // namespace

Sweep ReadSweep(const std::string& path, const std::vector<std::string>& overrides) {
  const Json document = ReadYamlFile(path);
  const ObjectReader reader(document, path);
  Sweep sweep;
  sweep.output = reader.String("output");
  const std::vector<std::string> of_recipe = TakeOutput(overrides, &sweep.output);
  if (sweep.output.empty()) reader.FailField("output", "is empty; a directory is wanted");
  sweep.throughput = ReadThroughput(reader);
  const Json base = ReadRecipeDocument(reader.String("recipe"), of_recipe);
  const std::vector<Axis> axes = ReadAxes(reader, "axes");
  const std::vector<Axis> grid = ReadAxes(reader, "grid");

  SweepBuilder builder(&sweep, path);
  // The base stands among the values of every axis, whatever name it has there.
  if (!axes.empty()) builder.Add(kBaseName, base, path + ": recipe");
  AddAxes(axes, base, &builder, &sweep);
  SweepGroup others{axes.empty() ? "runs" : "other runs", /*is_axis=*/false, {}, {}};
  AddGrid(grid, base, path, &builder, &others);
  AddList(reader, base, &builder, &others);
  reader.RejectUnknown();
  if (!others.runs.empty()) sweep.groups.push_back(std::move(others));
  Require(!sweep.runs.empty(), ErrorCode::kInvalidArgument,
          "{}: has no runs; axes, grid or runs are wanted", path);
  return sweep;
}

}  // namespace blockformer
