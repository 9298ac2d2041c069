#include "runtime/program/Results.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace fovea::program {

namespace {

std::string formatted(double score) {
  char number[64];
  std::snprintf(number, sizeof number, "%.6f", score);
  return number;
}

}  // namespace

std::string Results::text(const std::string &input, const Hypothesis &hypothesis) const {
  const Vocabulary &target = model.target;
  std::vector<std::string> instead;
  if (options.replaceUnknown && std::count(hypothesis.tokens.begin(), hypothesis.tokens.end(), target.unknown()) > 0) {
    const std::vector<std::string> source = model.source.cut(input);
    instead.resize(hypothesis.tokens.size());
    for (size_t at = 0; at < instead.size(); ++at)
      if (auto position = size_t(hypothesis.alignment[at]); hypothesis.tokens[at] == target.unknown() && position < source.size())
        instead[at] = source[position];
  }
  return target.decode(hypothesis.tokens, instead);
}

std::string Results::columns(const Hypothesis &hypothesis) const {
  std::string text;
  if (options.scores)
    text += "\t" + formatted(hypothesis.score);
  if (options.tokenScores) {
    text += "\t";
    for (size_t at = 0; at < hypothesis.tokenScores.size(); ++at)
      text += (at ? " " : "") + formatted(hypothesis.tokenScores[at]);
  }
  if (options.align) {
    text += "\t";
    std::string pairs;
    for (size_t at = 0; at < hypothesis.alignment.size(); ++at)
      if (hypothesis.alignment[at] >= 0)
        pairs += (pairs.empty() ? "" : " ") + std::to_string(at) + "-" + std::to_string(hypothesis.alignment[at]);
    text += pairs;
  }
  return text;
}

std::string Results::json(const std::string &input, const Job &job) const {
  using nlohmann::ordered_json;
  auto dump = [](const ordered_json &object) { return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n"; };
  ordered_json begin{{"line", job.line}};
  if (!job.error.empty()) {
    begin["error"] = job.error;
    return dump(begin);
  }
  if (job.best.empty()) {
    begin["text"] = "";
    begin["tokens"] = ordered_json::array();
    return dump(begin);
  }
  // Nine digits are more than a sum of f32 has.
  auto number = [](double score) { return std::isfinite(score) ? ordered_json(std::round(score * 1e9) / 1e9) : ordered_json(); };
  std::string text;
  for (size_t rank = 0; rank < job.best.size(); ++rank) {
    const Hypothesis &hypothesis = job.best[rank];
    ordered_json object = begin;
    if (options.nbestGiven)
      object["rank"] = rank + 1;
    object["text"] = this->text(input, hypothesis);
    object["tokens"] = ordered_json::array();
    for (int32_t token : hypothesis.tokens)
      object["tokens"].push_back(model.target.text(token));
    object["ended"] = hypothesis.ended;
    object["score"] = number(hypothesis.score);
    object["token_scores"] = ordered_json::array();
    for (double score : hypothesis.tokenScores)
      object["token_scores"].push_back(number(score));
    if (options.align) {
      object["input_tokens"] = ordered_json::array();
      for (int32_t token : job.source)
        if (token != model.source.start() && token != model.source.end())
          object["input_tokens"].push_back(model.source.text(token));
      object["alignment"] = ordered_json::array();
      for (int32_t position : hypothesis.alignment)
        object["alignment"].push_back(position < 0 ? ordered_json() : ordered_json(position));
    }
    text += dump(object);
  }
  return text;
}

std::string Results::lines(const std::string &input, const Job &job) const {
  if (options.json)
    return json(input, job);
  if (!job.error.empty() || job.best.empty())
    return "\n";
  std::string output;
  for (const Hypothesis &hypothesis : job.best) {
    std::string line = columns(hypothesis);
    if (options.search.score)
      line.erase(0, 1);  // no text: the line begins with the score
    else
      line.insert(0, text(input, hypothesis));
    output += (options.nbestGiven ? std::to_string(job.line) + "\t" : "") + line + "\n";
  }
  return output;
}

}  // namespace fovea::program
