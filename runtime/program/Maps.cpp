#include "runtime/program/Maps.h"

#include "runtime/program/AttentionMap.h"
#include "runtime/program/Error.h"
#include "runtime/program/Logits.h"
#include "runtime/program/TraceCut.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace fovea::program {

namespace {

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

// The values of one head, or the mean of all for -1.
std::vector<std::vector<float>> valuesOf(const StepRows &traced, const TraceCut &cut, int64_t columns, int64_t head, int64_t heads) {
  std::vector<std::vector<float>> values;
  int64_t first = std::max<int64_t>(head, 0), last = head < 0 ? heads : head + 1;
  for (size_t step = 0; step < traced.rows.size(); ++step) {
    auto &row = values.emplace_back();
    for (int64_t column = 0; column < columns; ++column) {
      double sum = 0;
      for (int64_t each = first; each < last; ++each)
        sum += double(cut.value(traced.rows[step].data(), traced.shapes[step], each, column));
      row.push_back(float(sum / double(last - first)));
    }
  }
  return values;
}

const std::string &traced(const std::string &folder, const Model &model, const char *what) {
  if (model.table.traces.empty())
    throw Error(std::string("the model traces nothing, so there are no ") + what);
  return folder;
}

TraceCut cutOf(const Model &model, const std::string &trace) {
  const auto &arguments = model.table.step.arguments;
  return TraceCut(std::find_if(arguments.begin(), arguments.end(), [&](const Argument &argument) {
           return argument.what == What::Trace && argument.name == trace;
         })->shape);
}

std::string fileName(std::string trace) {
  std::replace(trace.begin(), trace.end(), '/', '_');
  return trace;
}

}  // namespace

Maps::Maps(const std::string &folder, const Model &model) : folder(traced(folder, model, "maps")), model(model) {}

Traces::Traces(const std::string &folder, const Model &model) : folder(traced(folder, model, "traces")), model(model) {}

void Traces::write(const Job &job) const {
  for (size_t index = 0; index < job.traces.size(); ++index) {
    const StepRows &traced = job.traces[index];
    if (traced.rows.empty())
      continue;
    const std::string &trace = model.table.traces[index].name;
    TraceCut cut = cutOf(model, trace);
    int64_t steps = int64_t(traced.rows.size()), heads = cut.heads(traced.shapes[0]), columns = cut.columns(int64_t(job.source.size()), steps);
    std::vector<float> values;  // [steps, heads, columns]
    for (size_t step = 0; step < traced.rows.size(); ++step)
      for (int64_t head = 0; head < heads; ++head)
        for (int64_t column = 0; column < columns; ++column)
          values.push_back(cut.value(traced.rows[step].data(), traced.shapes[step], head, column));
    folder.write(job.line, fileName(trace) + ".npy", toNpy(heads > 1 ? std::vector<int64_t>{steps, heads, columns} : std::vector<int64_t>{steps, columns}, values));
  }
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
    const StepRows &traced = job.traces[index];
    if (traced.rows.empty())
      continue;
    TraceCut cut = cutOf(model, trace);
    int64_t columns = cut.columns(int64_t(source.size()), int64_t(traced.rows.size())), heads = cut.heads(traced.shapes[0]);
    AttentionMap map{input, model.target.decode(best.tokens), trace, 0, heads, produced, {}, {}, ""};
    map.across = cut.kind == TraceCut::Source ? "input" : cut.kind == TraceCut::Steps ? "output so far" : "";
    for (int64_t column = 0; column < columns; ++column)
      map.columns.push_back(cut.kind == TraceCut::Source ? source[size_t(column)] : cut.kind == TraceCut::Steps ? before[size_t(column)] : std::to_string(column));
    std::string name = fileName(trace);
    for (map.head = heads > 1 ? -1 : 0; map.head < heads; ++map.head) {
      map.values = valuesOf(traced, cut, columns, map.head, heads);
      std::string suffix = heads > 1 && map.head >= 0 ? "-h" + std::to_string(map.head) : "";
      folder.write(job.line, name + suffix + ".json", toJson(map, job.line));
      folder.write(job.line, name + suffix + ".png", draw(map));
    }
  }
}

}  // namespace fovea::program
