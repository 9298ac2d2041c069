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
constexpr const char *noToken = "no token may follow: the options forbid every one";
constexpr const char *noPrefix = "the model gives no probability to the prefix";
constexpr const char *notComplete = "there is no output with the tokens that --require wants";

int64_t limitOf(const Model &model, const SearchOptions &options) {
  const int64_t most = model.table.writes.atMost;
  return options.maxLength > 0 ? std::min(options.maxLength, most) : most;
}

}  // namespace

Search::Search(const std::vector<const Model *> &models, const SearchOptions &options)
    : options(options), model(*models[0]), limit(limitOf(model, options)), width(options.beam / options.groups), rules(options.rules, model.target.end()),
      ranking(options.ranking, limit), sampling(options.sampling), beam(width, model.target.end(), options.required, options.phrases), session(models), history(model.table, options.keep) {
  if (options.keep.attention)
    attention.emplace(Attention::Place{options.keep.attention, options.keep.head});
  changed.resize(rules.any() ? size_t(2 * session.vocabulary()) : 0);
}

void Search::run(const std::vector<Job *> &jobs) {
  begin(jobs);
  const Ranking::Options &rank = options.ranking;
  const bool ranked = rank.lengthPenalty != 0 || rank.coveragePenalty != 0;
  if (!options.score && (options.sample || options.beam > 1 || ranked))
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
  history.begin();
  if (attention)
    attention->begin();
}

int32_t Search::grow(int32_t parent, int32_t token, int32_t row, double score) {
  nodes.push_back({parent, token, row, score});
  return int32_t(nodes.size() - 1);
}

// The token that the job's prefix has at this step, or -1.
int32_t Search::forced(const Job &job) const {
  size_t step = size_t(session.stepsDone());
  return step < job.prefix.size() ? job.prefix[step] : -1;
}

// Reads a hypothesis' tokens, the start token not among them, into `output`.
void Search::readOutput(int32_t node) {
  output.clear();
  for (; node >= 0; node = nodes[size_t(node)].parent)
    output.push_back(nodes[size_t(node)].token);
  std::reverse(output.begin(), output.end());
}

// The row after the repetition penalty for the hypothesis in `output`: the row itself when there is none.
const float *Search::penalised(const float *logits) {
  if (!rules.penalises())
    return logits;
  std::copy(logits, logits + session.vocabulary(), changed.begin());
  rules.penalise(changed.data(), output);
  return changed.data();
}

// The penalised row after all other rules.
const float *Search::allowed(const float *penalised) {
  if (!rules.any())
    return penalised;
  float *row = changed.data() + session.vocabulary();
  std::copy(penalised, penalised + session.vocabulary(), row);
  rules.forbid(row, output);
  return row;
}

// Why no token could be taken from a row.
const char *Search::whyNone(const Job &job, const float *logits) const {
  if (!std::isfinite(logSumExp(logits, session.vocabulary())))
    return noNumbers;
  return forced(job) >= 0 ? noPrefix : options.wantsTokens() ? notComplete : noToken;
}

void Search::greedy(const std::vector<Job *> &jobs) {
  const int64_t vocabulary = session.vocabulary();
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
      job.best.push_back(hypothesis(live.node, job));
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
      const Job &job = *jobs[size_t(session.sourceOf(row))];
      int64_t token = forced(job);
      if (token < 0) {
        if (rules.any())
          readOutput(live.node);
        token = argmax(rules.any() ? allowed(penalised(logits)) : logits, vocabulary);
      } else if (!options.score && !(logits[token] > -infinity))
        token = -1;
      if (token < 0) {
        close(live, whyNone(job, logits));
        continue;
      }
      if (options.scores) {
        double whole = logSumExp(logits, vocabulary);
        if (options.score && (!std::isfinite(whole) || std::isnan(logits[token]))) {
          close(live, noNumbers);
          continue;
        }
        live.score += double(logits[token]) - whole;
      }
      live.node = grow(live.node, int32_t(token), int32_t(row), live.score);
      tokens[size_t(row)] = int32_t(token);
      if (options.chosen && token != end)
        options.chosen(job, int32_t(token));
      if (token == end || step + 1 == limit || (options.score && size_t(step) + 1 == job.prefix.size()))
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
  const size_t each = size_t(options.groups);
  groups.resize(jobs.size() * each);
  for (size_t index = 0; index < groups.size(); ++index) {
    groups[index].live.assign(1, {0, -1, int32_t(index / each)});
    groups[index].finished.clear();
    groups[index].count = 0;
  }
  const bool diverse = options.groups > 1 && options.diversity != 0;
  for (int64_t step = 0; step < limit; ++step) {
    session.step(tokens.data());
    keepStep();
    bool any = false;
    for (size_t index = 0; index < jobs.size(); ++index) {
      Job &job = *jobs[index];
      if (diverse)
        taken.assign(size_t(session.vocabulary()), 0);
      for (size_t at = index * each; at < (index + 1) * each; ++at) {
        Group &group = groups[at];
        if (group.live.empty())
          continue;
        const float *first = row(group.live.front().row);
        const size_t before = nodes.size();
        if (!(options.sample ? draw(group, job) : extend(group, job, diverse ? taken.data() : nullptr)) && job.error.empty())
          job.error = whyNone(job, first);
        if (diverse)
          for (size_t node = before; node < nodes.size(); ++node)
            taken[size_t(nodes[node].token)] += options.diversity;
        any |= !group.live.empty();
      }
    }
    if (!any)
      break;
    place();
  }
  for (size_t index = 0; index < jobs.size(); ++index)
    close(*jobs[index], index * each);
}

// Gathers the results of a job whose first group is groups[first].
void Search::close(Job &job, size_t first) {
  std::vector<Finished> finished;
  for (size_t at = first; at < first + size_t(options.groups); ++at)
    finished.insert(finished.end(), groups[at].finished.begin(), groups[at].finished.end());
  if (finished.empty()) {
    if (job.error.empty())
      job.error = notComplete;
    return;
  }
  job.error.clear();  // of a group that ended without a result, where others have one
  std::stable_sort(finished.begin(), finished.end(), [](const Finished &a, const Finished &b) { return a.rank > b.rank; });
  for (const Finished &one : finished) {
    if (int64_t(job.best.size()) == options.nbest)
      break;
    Hypothesis result = hypothesis(one.node, job);
    auto same = [&](const Hypothesis &other) { return other.tokens == result.tokens && other.ended == result.ended; };
    if (options.groups == 1 || std::none_of(job.best.begin(), job.best.end(), same))
      job.best.push_back(std::move(result));
  }
  keepPath(finished.front().node, job);
}

void Search::finish(Group &group, const Job &job, double score, int32_t node) {
  double coverage = 0;
  if (options.ranking.coveragePenalty != 0) {
    readPath(node);
    coverage = attention->coverage(path, int64_t(job.source.size()));
  }
  Finished finished{ranking.rank(score, session.stepsDone() + 1, coverage), node};
  auto place = std::upper_bound(group.finished.begin(), group.finished.end(), finished,
                                [](const Finished &a, const Finished &b) { return a.rank > b.rank; });
  group.finished.insert(place, finished);
  if (int64_t(group.finished.size()) > width)
    group.finished.pop_back();
  ++group.count;
}

// One step of beam search for one group. False when nothing can follow and nothing has finished.
bool Search::extend(Group &group, const Job &job, const double *penalty) {
  const int64_t vocabulary = session.vocabulary();
  const int32_t end = model.target.end(), token = forced(job);
  const bool last = session.stepsDone() + 1 == limit;
  beam.begin();
  for (size_t index = 0; index < group.live.size(); ++index) {
    const Live &live = group.live[index];
    const float *logits = row(live.row);
    if (rules.any() || options.wantsTokens())
      readOutput(live.node);
    const float *choice = penalised(logits);
    double total = live.score - logSumExp(choice, vocabulary);
    if (token < 0)
      beam.extend(int32_t(index), allowed(choice), vocabulary, total, penalty, output);
    else if (double score = total + double(choice[token]); score > -infinity)
      beam.force(int32_t(index), token, score, output);
  }
  const std::vector<Beam::Candidate> &chosen = beam.choose();
  children.clear();
  double best = -infinity;
  for (const Beam::Candidate &candidate : chosen) {
    const Live &parent = group.live[size_t(candidate.hypothesis)];
    double score = candidate.score;
    if (rules.penalises())  // the model's own score is another
      score = scoreOf(parent.node) - logSumExp(row(parent.row), vocabulary) + double(row(parent.row)[candidate.token]);
    int32_t node = grow(parent.node, candidate.token, parent.row, score);
    if (candidate.token == end || (last && beam.isComplete(candidate)))
      finish(group, job, candidate.score, node);
    if (candidate.token != end) {
      children.push_back({candidate.score, node, parent.row});
      best = std::max(best, candidate.score);
    }
  }
  bool done = last || children.empty();
  if (int64_t enough = ranking.enough(width); enough > 0 && group.count >= enough)
    done = true;
  if (!done && int64_t(group.finished.size()) == width)
    done = ranking.bound(best, session.stepsDone() + 1) <= group.finished.back().rank;
  const bool well = !chosen.empty() || !group.finished.empty();
  group.live.clear();
  if (!done)
    group.live.assign(children.begin(), children.end());
  return well;
}

// One step of sampling for one source: the first step draws every sample's first token from the one row there is.
bool Search::draw(Group &group, const Job &job) {
  const int64_t vocabulary = session.vocabulary();
  const int32_t end = model.target.end();
  const bool last = session.stepsDone() + 1 == limit;
  children.clear();
  bool first = session.stepsDone() == 0;
  size_t count = first ? size_t(options.nbest) : group.live.size();
  for (size_t index = 0; index < count; ++index) {
    const Live &parent = group.live[first ? 0 : index];
    uint64_t sample = first ? index : uint64_t(order[size_t(parent.node)]);
    const float *logits = row(parent.row);
    int64_t token = forced(job);
    if (token < 0) {
      if (!first || index == 0) {
        if (rules.any())
          readOutput(parent.node);
        sampling.prepare(allowed(penalised(logits)), vocabulary);
      }
      token = sampling.draw(uniform(options.seed, job.line, sample, uint64_t(session.stepsDone())));
    } else if (!(logits[token] > -infinity))
      token = -1;
    if (token < 0) {
      group.live.clear();
      group.finished.clear();
      return false;
    }
    double score = parent.score + double(logits[token]) - logSumExp(logits, vocabulary);
    int32_t node = grow(parent.node, int32_t(token), parent.row, score);
    order.resize(nodes.size());
    order[size_t(node)] = int32_t(sample);
    if (options.chosen && token != end)
      options.chosen(job, int32_t(token));
    if (token == end || last) {
      Finished finished{-double(sample), node};
      auto place = std::upper_bound(group.finished.begin(), group.finished.end(), finished,
                                    [](const Finished &a, const Finished &b) { return a.rank > b.rank; });
      group.finished.insert(place, finished);
    } else
      children.push_back({score, node, parent.row});
  }
  group.live.assign(children.begin(), children.end());
  return true;
}

// Gives every live hypothesis a row, and every row its next token.
void Search::place() {
  liveRows.clear();
  for (Group &group : groups)
    for (Live &live : group.live)
      liveRows.push_back(&live.row);
  const std::vector<int32_t> &arranged = rows.place(liveRows, session.rows());
  std::fill_n(tokens.begin(), arranged.size(), model.target.start());
  for (const Group &group : groups)
    for (const Live &live : group.live)
      tokens[size_t(live.row)] = nodes[size_t(live.node)].token;
  session.arrange(arranged);
}

void Search::keepStep() {
  history.keep(session);
  if (attention)
    attention->keep(session.result(*options.keep.attention));
}

Hypothesis Search::hypothesis(int32_t node, const Job &job) {
  Hypothesis result;
  result.score = scoreOf(node);
  readPath(node);
  for (; node >= 0; node = nodes[size_t(node)].parent) {
    result.tokens.push_back(nodes[size_t(node)].token);
    if (options.scores)
      result.tokenScores.push_back(scoreOf(node) - scoreOf(nodes[size_t(node)].parent));
  }
  std::reverse(result.tokens.begin(), result.tokens.end());
  std::reverse(result.tokenScores.begin(), result.tokenScores.end());
  if (!result.tokens.empty() && model.target.end() >= 0 && result.tokens.back() == model.target.end()) {
    result.tokens.pop_back();
    result.ended = true;
  }
  if (attention) {
    const int64_t first = model.source.start() >= 0, last = int64_t(job.source.size()) - (model.source.end() >= 0);
    for (size_t step = 0; step < result.tokens.size(); ++step) {
      int32_t position = attention->largest(int64_t(step), path[step], first, last);
      result.alignment.push_back(position < 0 ? -1 : position - int32_t(first));
    }
  }
  return result;
}

// Reads the rows that scored a hypothesis' tokens into `path`.
void Search::readPath(int32_t node) {
  path.clear();
  for (; node >= 0; node = nodes[size_t(node)].parent)
    path.push_back(nodes[size_t(node)].row);
  std::reverse(path.begin(), path.end());
}

void Search::keepPath(int32_t node, Job &job) {
  readPath(node);
  history.read(path, job.traces, job.logits);
}

}  // namespace fovea::program
