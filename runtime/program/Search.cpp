#include "runtime/program/Search.h"

#include "runtime/program/Error.h"
#include "runtime/program/Scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fovea::program {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr const char *noNumbers = "the model's scores for this line are not numbers";

}  // namespace

Search::Search(const Model &model, const SearchOptions &options) : options(options), model(model), session(model) {
  auto keep = [&](What what, const std::string *name) {
    for (const Argument &argument : model.table.step.arguments)
      if (argument.what == what && (!name || argument.name == *name))
        histories.push_back({&argument, {}, {}});
  };
  if (options.keep.traces)
    for (const Trace &trace : model.table.traces)
      keep(What::Trace, &trace.name);
  if (options.keep.logits)
    keep(What::Logits, nullptr);
}

void Search::run(const std::vector<Job *> &jobs) {
  begin(jobs);
  if (options.sample || options.beam > 1 || options.lengthPenalty != 0)
    expand(jobs);
  else
    greedy(jobs);
}

void Search::begin(const std::vector<Job *> &jobs) {
  int64_t perSource = options.sample ? options.nbest : options.beam, most = int64_t(jobs.size()) * perSource;
  inputs.clear();
  for (Job *job : jobs) {
    inputs.push_back(&job->source);
    job->best.clear();
    job->traces.clear();
    job->logits = {};
    job->error.clear();
  }
  session.encode(inputs, most);
  nodes.clear();
  tokens.assign(size_t(most), model.target.start());
  from.reserve(size_t(most));
  for (History &history : histories) {
    history.values.clear();
    history.shapes.clear();
  }
}

int32_t Search::grow(int32_t parent, int32_t token, int32_t row) {
  nodes.push_back({parent, token, row});
  return int32_t(nodes.size() - 1);
}

void Search::greedy(const std::vector<Job *> &jobs) {
  const int64_t limit = model.table.writes.atMost, vocabulary = session.vocabulary();
  const int32_t end = model.target.end();
  children.clear();  // by row; node -1: none yet, -2: this row is done
  for (size_t row = 0; row < jobs.size(); ++row)
    children.push_back({0, -1, int32_t(row)});
  int64_t alive = int64_t(jobs.size());
  auto close = [&](Live &live, const char *error) {
    Job &job = *jobs[size_t(session.sourceOf(live.row))];
    if (error)
      job.error = error;
    else {
      job.best.push_back(hypothesis(live.node, live.score));
      keepPath(live.node, job);
    }
    live.node = -2;
    --alive;
  };

  for (int64_t step = 0; alive > 0; ++step) {
    session.step(tokens.data());
    keepStep();
    const float *logits = session.logits();
    for (int64_t row = 0; row < session.rows(); ++row, logits += vocabulary) {
      Live &live = children[size_t(row)];
      if (live.node == -2)
        continue;
      int64_t token = argmax(logits, vocabulary);
      if (token < 0) {
        close(live, noNumbers);
        continue;
      }
      if (options.scores)
        live.score += double(logits[token]) - logSumExp(logits, vocabulary);
      live.node = grow(live.node, int32_t(token), int32_t(row));
      tokens[size_t(row)] = int32_t(token);
      if (token == end || step + 1 == limit)
        close(live, nullptr);
    }
    if (alive == 0)
      break;
    // Rows that are done are carried along until moving the others together pays.
    if (alive * 4 >= session.rows() * 3) {
      session.advance();
      continue;
    }
    from.clear();
    int64_t tail = session.rows();
    for (int64_t row = 0; row < alive; ++row) {
      int64_t source = row;
      if (children[size_t(row)].node == -2) {
        do
          --tail;
        while (children[size_t(tail)].node == -2);
        source = tail;
        children[size_t(row)] = children[size_t(source)];
        children[size_t(row)].row = int32_t(row);
        tokens[size_t(row)] = tokens[size_t(source)];
      }
      from.push_back(int32_t(source));
    }
    session.arrange(from);
  }
}

// Beam search and sampling: both keep several hypotheses a source.
void Search::expand(const std::vector<Job *> &jobs) {
  const int64_t limit = model.table.writes.atMost;
  sources.resize(jobs.size());
  for (size_t index = 0; index < jobs.size(); ++index) {
    sources[index].live.assign(1, {0, -1, int32_t(index)});
    sources[index].finished.clear();
  }
  for (int64_t step = 0; step < limit; ++step) {
    session.step(tokens.data());
    keepStep();
    bool last = step + 1 == limit, any = false;
    for (size_t index = 0; index < jobs.size(); ++index) {
      Source &source = sources[index];
      if (source.live.empty())
        continue;
      if (!(options.sample ? draw(source, *jobs[index], last) : extend(source, last)))
        jobs[index]->error = noNumbers;
      any |= !source.live.empty();
    }
    if (!any)
      break;
    place();
  }
  for (size_t index = 0; index < jobs.size(); ++index) {
    Job &job = *jobs[index];
    if (!job.error.empty())
      continue;
    const auto &finished = sources[index].finished;
    for (size_t rank = 0; rank < finished.size() && int64_t(rank) < options.nbest; ++rank)
      job.best.push_back(hypothesis(finished[rank].node, finished[rank].score));
    if (!finished.empty())
      keepPath(finished.front().node, job);
  }
}

void Search::finish(Source &source, double score, int32_t node, int64_t length) {
  Finished finished{options.lengthPenalty == 0 ? score : score / std::pow(double(length), options.lengthPenalty), score, node};
  auto place = std::upper_bound(source.finished.begin(), source.finished.end(), finished,
                                [](const Finished &a, const Finished &b) { return a.rank > b.rank; });
  source.finished.insert(place, finished);
  if (int64_t(source.finished.size()) > options.beam)
    source.finished.pop_back();
}

// One step of beam search for one source. False when no hypothesis has a score that is a number.
bool Search::extend(Source &source, bool last) {
  const int64_t vocabulary = session.vocabulary(), beam = options.beam;
  const int32_t end = model.target.end();
  const size_t most = size_t(2 * beam);
  candidates.clear();
  for (size_t index = 0; index < source.live.size(); ++index) {
    const Live &live = source.live[index];
    const float *logits = session.logits() + live.row * vocabulary;
    double total = live.score - logSumExp(logits, vocabulary);
    double worst = candidates.size() == most ? candidates.back().score : -infinity;
    // What is not above `bound` cannot be better than the worst candidate, whatever rounding does.
    auto boundFor = [&](double worst) { return float(worst - total - 1e-5 * (1 + std::abs(worst - total))); };
    float bound = boundFor(worst);
    for (int64_t token = nextAbove(logits, 0, vocabulary, bound); token < vocabulary; token = nextAbove(logits, token + 1, vocabulary, bound)) {
      double score = total + double(logits[token]);
      if (!(score > worst))
        continue;
      // Hypotheses and tokens come in order, so a candidate goes behind its equals.
      auto place = std::upper_bound(candidates.begin(), candidates.end(), score, [](double score, const Candidate &other) { return score > other.score; });
      if (candidates.size() == most) {
        std::move_backward(place, candidates.end() - 1, candidates.end());
        *place = {score, int32_t(index), int32_t(token)};
      } else
        candidates.insert(place, {score, int32_t(index), int32_t(token)});
      if (candidates.size() == most)
        bound = boundFor(worst = candidates.back().score);
    }
  }
  if (candidates.empty()) {
    source.live.clear();
    return !source.finished.empty();
  }
  const int64_t length = session.stepsDone() + 1;
  children.clear();
  for (size_t rank = 0; rank < candidates.size() && int64_t(children.size()) < beam; ++rank) {
    const Candidate &candidate = candidates[rank];
    const Live &parent = source.live[size_t(candidate.hypothesis)];
    bool ends = candidate.token == end;
    if (ends && int64_t(rank) >= beam)
      continue;
    int32_t node = grow(parent.node, candidate.token, parent.row);
    if (ends || last)
      finish(source, candidate.score, node, length);
    if (!ends)
      children.push_back({candidate.score, node, parent.row});
  }
  // A live hypothesis only loses score; its rank is best if it ends at the limit.
  bool done = last || children.empty();
  if (!done && int64_t(source.finished.size()) == beam) {
    double bound = children.front().score;
    if (options.lengthPenalty != 0)
      bound /= std::pow(double(model.table.writes.atMost), options.lengthPenalty);
    done = bound <= source.finished.back().rank;
  }
  source.live.clear();
  if (!done)
    source.live.assign(children.begin(), children.end());
  return true;
}

// One step of sampling for one source: the first step draws every sample's first token from the one row there is.
bool Search::draw(Source &source, const Job &job, bool last) {
  const int64_t vocabulary = session.vocabulary();
  const int32_t end = model.target.end();
  children.clear();
  bool first = session.stepsDone() == 0;
  size_t count = first ? size_t(options.nbest) : source.live.size();
  for (size_t index = 0; index < count; ++index) {
    const Live &parent = source.live[first ? 0 : index];
    uint64_t sample = first ? index : uint64_t(order[size_t(parent.node)]);
    const float *logits = session.logits() + parent.row * vocabulary;
    int64_t token = pick(logits, vocabulary, uniform(options.seed, job.line, sample, uint64_t(session.stepsDone())));
    if (token < 0) {
      source.live.clear();
      return false;
    }
    double score = parent.score + double(logits[token]) - logSumExp(logits, vocabulary);
    int32_t node = grow(parent.node, int32_t(token), parent.row);
    order.resize(nodes.size());
    order[size_t(node)] = int32_t(sample);
    if (token == end || last) {
      Finished finished{-double(sample), score, node};
      auto place = std::upper_bound(source.finished.begin(), source.finished.end(), finished,
                                    [](const Finished &a, const Finished &b) { return a.rank > b.rank; });
      source.finished.insert(place, finished);
    } else
      children.push_back({score, node, parent.row});
  }
  source.live.assign(children.begin(), children.end());
  return true;
}

// Gives every live hypothesis a row. `row` holds its parent's: the first child stays there, the others take rows that nobody
// goes on from.
void Search::place() {
  int64_t rows = session.rows(), alive = 0;
  from.resize(size_t(rows));
  owner.assign(size_t(rows), nullptr);
  pending.clear();
  for (int64_t row = 0; row < rows; ++row)
    from[size_t(row)] = int32_t(row);
  for (Source &source : sources)
    for (Live &live : source.live) {
      ++alive;
      Live *&place = owner[size_t(live.row)];
      if (place)
        pending.push_back(&live);
      else
        place = &live;
    }
  size_t hole = 0;
  for (Live *live : pending) {
    while (hole < owner.size() && owner[hole])
      ++hole;
    if (hole == owner.size()) {
      owner.push_back(nullptr);
      from.push_back(0);
    }
    owner[hole] = live;
    from[hole] = live->row;
    live->row = int32_t(hole);
  }
  // Rows without an owner are carried along until moving the others together pays.
  if (alive * 4 < int64_t(owner.size()) * 3) {
    size_t tail = owner.size();
    for (size_t row = 0; int64_t(row) < alive; ++row) {
      if (owner[row])
        continue;
      do
        --tail;
      while (!owner[tail]);
      owner[row] = owner[tail];
      owner[row]->row = int32_t(row);
      from[row] = from[tail];
    }
    owner.resize(size_t(alive));
    from.resize(size_t(alive));
  }
  for (size_t row = 0; row < owner.size(); ++row)
    tokens[row] = owner[row] ? nodes[size_t(owner[row]->node)].token : model.target.start();
  session.arrange(from);
}

void Search::keepStep() {
  for (History &history : histories) {
    Session::Result result = session.result(*history.argument);
    int64_t count = 1;
    for (int64_t extent : result.shape)
      count *= extent;
    history.values.emplace_back(result.data, result.data + count);
    history.shapes.emplace_back(result.shape.begin() + 1, result.shape.end());
  }
}

Hypothesis Search::hypothesis(int32_t node, double score) const {
  Hypothesis result;
  result.score = score;
  for (; node >= 0; node = nodes[size_t(node)].parent)
    result.tokens.push_back(nodes[size_t(node)].token);
  std::reverse(result.tokens.begin(), result.tokens.end());
  if (!result.tokens.empty() && model.target.end() >= 0 && result.tokens.back() == model.target.end()) {
    result.tokens.pop_back();
    result.ended = true;
  }
  return result;
}

void Search::keepPath(int32_t node, Job &job) const {
  if (histories.empty())
    return;
  std::vector<int32_t> rows;
  for (; node >= 0; node = nodes[size_t(node)].parent)
    rows.push_back(nodes[size_t(node)].row);
  std::reverse(rows.begin(), rows.end());
  for (const History &history : histories) {
    StepRows &kept = history.argument->what == What::Logits ? job.logits : job.traces.emplace_back();
    for (size_t step = 0; step < rows.size(); ++step) {
      const std::vector<int64_t> &shape = history.shapes[step];
      int64_t count = 1;
      for (int64_t extent : shape)
        count *= extent;
      auto begin = history.values[step].begin() + rows[step] * count;
      kept.rows.emplace_back(begin, begin + count);
      kept.shapes.push_back(shape);
    }
  }
}

}  // namespace fovea::program
