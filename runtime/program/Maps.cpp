#include "runtime/program/Maps.h"

#include "runtime/program/AttentionMap.h"
#include "runtime/program/Error.h"
#include "runtime/support/File.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace fovea::program {

namespace {

void write(const std::string &path, const std::string &bytes) {
  std::string error;
  if (!writeFileAtomically(path, bytes, error))
    throw Error("cannot write " + error);
}

// The first number in a path: `dec.2.p` is of layer 2.
int64_t layerOf(const std::string &path) {
  for (size_t at = 0; at < path.size();) {
    size_t end = std::min(path.find('.', at), path.size());
    std::string part = path.substr(at, end - at);
    if (!part.empty() && part.size() < 10 && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; }))
      return std::stoll(part);
    at = end + 1;
  }
  return -1;
}

std::string toJson(const AttentionMap &map, uint64_t line) {
  using json = nlohmann::ordered_json;
  json object{{"line", line}, {"input", map.input}, {"output", map.output}, {"trace", map.trace}};
  if (int64_t layer = layerOf(map.trace); layer >= 0)
    object["layer"] = layer;
  if (map.heads > 1)
    object["head"] = map.head < 0 ? json("mean") : json(map.head);
  object["rows"] = map.rows;
  object["columns"] = map.columns;
  // A float has nine digits at most; json would print a double's seventeen.
  std::string values;
  for (const auto &row : map.values) {
    values += values.empty() ? "[\n  [" : ",\n  [";
    for (size_t column = 0; column < row.size(); ++column) {
      char number[32];
      std::snprintf(number, sizeof number, "%s%.9g", column ? ", " : "", double(row[column]));
      values += std::strpbrk(number, "ni") ? (column ? ", null" : "null") : number;  // nan, inf
    }
    values += "]";
  }
  values += values.empty() ? "[]" : "\n ]";
  std::string text = object.dump(1, ' ', false, json::error_handler_t::replace);
  text.erase(text.size() - 2);  // "\n}"
  return text + ",\n \"values\": " + values + "\n}\n";
}

// A trace is cut into maps: which axis runs along the columns, and what the others are.
struct Cut {
  const Argument *argument;
  size_t columns;               // axis without the batch axis
  enum Kind : uint8_t { Source, Steps, Numbered } kind;
};

Cut cutOf(const Argument &argument) {
  const Shape &shape = argument.shape;
  auto find = [&](auto test) {
    for (size_t axis = 1; axis < shape.size(); ++axis)
      if (test(shape[axis]))
        return axis;
    return size_t(0);
  };
  if (size_t axis = find([](const Extent &extent) { return extent.isSymbol('i'); }))
    return {&argument, axis - 1, Cut::Source};
  if (size_t axis = find([](const Extent &extent) { return extent.mentions('i'); }))
    return {&argument, axis - 1, Cut::Numbered};
  if (size_t axis = find([](const Extent &extent) { return extent.isSymbol('t'); }))
    return {&argument, axis - 1, Cut::Steps};
  return {&argument, shape.size() < 2 ? size_t(-1) : shape.size() - 2, Cut::Numbered};
}

}  // namespace

Maps::Maps(const std::string &folder, const Model &model) : folder(folder), model(model) {
  if (model.table.traces.empty())
    throw Error("the model traces nothing, so there are no maps");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw Error("cannot make the folder `" + folder + "`: " + error.message());
}

void Maps::write(const std::string &input, const Job &job) const {
  const Hypothesis &best = job.best.front();
  std::vector<std::string> produced, before{model.target.text(model.target.start())}, source;
  for (int32_t token : best.tokens)
    produced.push_back(model.target.text(token));
  if (best.ended)
    produced.push_back(model.target.text(model.target.end()));
  before.insert(before.end(), produced.begin(), produced.end());
  for (int32_t token : job.source)
    source.push_back(model.source.text(token));

  for (size_t index = 0; index < job.traces.size(); ++index) {
    const std::string &trace = model.table.traces[index].name;
    const TraceRows &traced = job.traces[index];
    const auto &arguments = model.table.step.arguments;
    Cut cut = cutOf(*std::find_if(arguments.begin(), arguments.end(),
                                  [&](const Argument &argument) { return argument.what == What::Trace && argument.name == trace; }));
    AttentionMap map{input, model.target.decode(best.tokens), trace, 0, 1, produced, {}, {},
                     cut.kind == Cut::Source ? "input" : cut.kind == Cut::Steps ? "output so far" : ""};
    int64_t steps = int64_t(traced.rows.size());
    int64_t columns = 1;
    if (cut.columns != size_t(-1))
      columns = cut.argument->shape[cut.columns + 1].evaluate({1, 1, int64_t(source.size()), steps});
    for (int64_t column = 0; column < columns; ++column)
      map.columns.push_back(cut.kind == Cut::Source ? source[size_t(column)] : cut.kind == Cut::Steps ? before[size_t(column)] : std::to_string(column));

    // The axes beside the columns, flattened, are the heads. Only an axis of columns changes from step to step.
    auto around = [&](int64_t step, int64_t &inner) {
      const std::vector<int64_t> &shape = traced.shapes[size_t(step)];
      int64_t heads = 1;
      inner = 1;
      for (size_t axis = 0; axis < shape.size(); ++axis)
        if (axis != cut.columns) {
          heads *= shape[axis];
          if (cut.columns != size_t(-1) && axis > cut.columns)
            inner *= shape[axis];
        }
      return heads;
    };
    int64_t inner = 1;
    map.heads = steps > 0 ? around(0, inner) : 1;
    auto value = [&](int64_t step, int64_t head, int64_t column) {
      int64_t stored = cut.columns == size_t(-1) ? 1 : traced.shapes[size_t(step)][cut.columns], heads = around(step, inner);
      int64_t at = (head / inner * stored + column) * inner + head % inner;
      return column < stored && head < heads ? traced.rows[size_t(step)][size_t(at)] : 0.0f;
    };
    std::string name(trace);
    std::replace(name.begin(), name.end(), '/', '_');
    char number[32];
    std::snprintf(number, sizeof number, "%06llu", static_cast<unsigned long long>(job.line));
    std::string path = folder + "/" + number + "-" + name;
    for (map.head = map.heads > 1 ? -1 : 0; map.head < map.heads; ++map.head) {
      map.values.assign(size_t(steps), std::vector<float>(size_t(columns)));
      int64_t first = std::max<int64_t>(map.head, 0), last = map.head < 0 ? map.heads : map.head + 1;
      for (int64_t step = 0; step < steps; ++step)
        for (int64_t column = 0; column < columns; ++column) {
          double sum = 0;
          for (int64_t head = first; head < last; ++head)
            sum += double(value(step, head, column));
          map.values[size_t(step)][size_t(column)] = float(sum / double(last - first));
        }
      std::string suffix = map.heads > 1 && map.head >= 0 ? "-h" + std::to_string(map.head) : "";
      program::write(path + suffix + ".json", toJson(map, job.line));
      program::write(path + suffix + ".png", draw(map));
    }
  }
}

}  // namespace fovea::program
