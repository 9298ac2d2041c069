// The rules of docs/search.md, against a search written from that page alone.
#include "runtime/program/Search.h"
#include "test/program/ToyModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

using namespace fovea::program;

namespace {

std::vector<double> logSoftmax(const std::vector<float> &logits) {
  double most = *std::max_element(logits.begin(), logits.end()), sum = 0;
  for (float value : logits)
    sum += std::exp(double(value) - most);
  std::vector<double> result;
  for (float value : logits)
    result.push_back(double(value) - most - std::log(sum));
  return result;
}

struct Result {
  std::vector<int32_t> tokens;  // with start, and end where it ended
  double score;
};

double ranked(const Result &result, double penalty) {
  return penalty == 0 ? result.score : result.score / std::pow(double(result.tokens.size() - 1), penalty);
}

std::vector<Result> reference(const std::vector<int32_t> &source, size_t beam, double penalty) {
  std::vector<Result> live{{{toy::start}, 0}}, finished;
  for (int64_t step = 1; step <= toy::longest && !live.empty(); ++step) {
    struct Candidate { double score; size_t rank; int32_t token; };
    std::vector<Candidate> candidates;
    for (size_t rank = 0; rank < live.size(); ++rank) {
      std::vector<double> gain = logSoftmax(toy::logits(source, live[rank].tokens));
      for (int32_t token = 0; token < toy::vocabulary; ++token)
        candidates.push_back({live[rank].score + gain[size_t(token)], rank, token});
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate &a, const Candidate &b) {
      return a.score != b.score ? a.score > b.score : a.rank != b.rank ? a.rank < b.rank : a.token < b.token;
    });
    if (candidates.size() > 2 * beam)
      candidates.resize(2 * beam);
    std::vector<Result> next;
    for (size_t place = 0; place < candidates.size() && next.size() < beam; ++place) {
      Result result{live[candidates[place].rank].tokens, candidates[place].score};
      result.tokens.push_back(candidates[place].token);
      if (candidates[place].token != toy::end)
        next.push_back(result);
      else if (place < beam)
        finished.push_back(result);
    }
    live = next;
    if (step == toy::longest)
      finished.insert(finished.end(), live.begin(), live.end());
    std::stable_sort(finished.begin(), finished.end(), [&](const Result &a, const Result &b) { return ranked(a, penalty) > ranked(b, penalty); });
    if (finished.size() > beam)
      finished.resize(beam);
    if (finished.size() == beam && !live.empty() &&
        live[0].score / (penalty == 0 ? 1 : std::pow(double(toy::longest), penalty)) <= ranked(finished.back(), penalty))
      break;
  }
  return finished;
}

std::vector<Job> jobsFor(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Job> jobs(count);
  for (size_t k = 0; k < count; ++k) {
    std::string word(1 + random() % 9, 'a');
    for (char &letter : word)
      letter = char('a' + random() % 15);
    jobs[k].source = toy::encodeLetters(word);
    jobs[k].line = k + 1;
  }
  return jobs;
}

void run(Search &search, std::vector<Job> &jobs, size_t batch) {
  for (size_t at = 0; at < jobs.size(); at += batch) {
    std::vector<Job *> some;
    for (size_t k = at; k < std::min(at + batch, jobs.size()); ++k)
      some.push_back(&jobs[k]);
    search.run(some);
  }
}

const Model &model() {
  static const Model model(readTable(toy::model()), "", ".");
  return model;
}

std::vector<int32_t> withEnds(const Hypothesis &hypothesis) {
  std::vector<int32_t> tokens{toy::start};
  tokens.insert(tokens.end(), hypothesis.tokens.begin(), hypothesis.tokens.end());
  if (hypothesis.ended)
    tokens.push_back(toy::end);
  return tokens;
}

// S1, S2, S3.
TEST(Search, GreedyTakesTheLargestLogit) {
  SearchOptions options;
  options.scores = true;
  Search search(model(), options);
  std::vector<Job> jobs = jobsFor(200, 1);
  run(search, jobs, 37);
  size_t ended = 0;
  for (const Job &job : jobs) {
    std::vector<int32_t> prefix{toy::start};
    double score = 0;
    while (int64_t(prefix.size()) <= toy::longest && prefix.back() != toy::end) {
      std::vector<float> logits = toy::logits(job.source, prefix);
      prefix.push_back(int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin()));
      score += logSoftmax(logits)[size_t(prefix.back())];
    }
    ASSERT_EQ(job.best.size(), 1u);
    EXPECT_EQ(withEnds(job.best[0]), prefix);
    EXPECT_NEAR(job.best[0].score, score, 1e-5);
    ended += job.best[0].ended;
  }
  EXPECT_TRUE(ended > 100 && ended < 200) << ended << " of 200 ended: the test wants both";
}

// S4, S5, S6, S7, S9: every beam, also wider than the vocabulary, in batches of every size.
TEST(Search, BeamIsTheReference) {
  for (int64_t beam : {1, 2, 3, 5, 8, 40})
    for (double penalty : {0.0, 0.7}) {
      SearchOptions options;
      options.beam = options.nbest = beam;
      options.ranking.lengthPenalty = penalty;
      options.scores = true;
      Search search(model(), options);
      for (size_t batch : {1u, 7u, 64u}) {
        std::vector<Job> jobs = jobsFor(64, unsigned(beam));
        run(search, jobs, batch);
        for (const Job &job : jobs) {
          std::vector<Result> wanted = reference(job.source, size_t(beam), penalty);
          ASSERT_EQ(job.best.size(), wanted.size()) << "beam " << beam;
          for (size_t rank = 0; rank < wanted.size(); ++rank) {
            EXPECT_EQ(withEnds(job.best[rank]), wanted[rank].tokens) << "beam " << beam << " penalty " << penalty << " batch " << batch << " line " << job.line << " rank " << rank;
            EXPECT_NEAR(job.best[rank].score, wanted[rank].score, 1e-5);
          }
        }
      }
    }
}

TEST(Search, WideBeamFindsTheBestOfAll) {
  // With every hypothesis kept, the best is the best of all sequences.
  std::vector<Job> jobs = jobsFor(1, 5);
  Result best{{}, -1e9};
  std::vector<Result> open{{{toy::start}, 0}};
  while (!open.empty()) {
    Result result = open.back();
    open.pop_back();
    if (result.tokens.back() == toy::end || int64_t(result.tokens.size()) > toy::longest) {
      if (result.score > best.score)
        best = result;
      continue;
    }
    std::vector<double> gain = logSoftmax(toy::logits(jobs[0].source, result.tokens));
    for (int32_t token = 0; token < toy::vocabulary; ++token)
      if (result.score + gain[size_t(token)] > best.score) {
        open.push_back({result.tokens, result.score + gain[size_t(token)]});
        open.back().tokens.push_back(token);
      }
  }
  SearchOptions options;
  options.beam = 2000;
  Search search(model(), options);
  run(search, jobs, 1);
  EXPECT_EQ(withEnds(jobs[0].best[0]), best.tokens);
  EXPECT_NEAR(jobs[0].best[0].score, best.score, 1e-5);
}

// S8.
TEST(Search, SamplesDependOnSeedAndLineAlone) {
  auto sampled = [](uint64_t seed, size_t batch, int64_t nbest) {
    SearchOptions options;
    options.sample = true;
    options.nbest = nbest;
    options.seed = seed;
    Search search(model(), options);
    std::vector<Job> jobs = jobsFor(60, 3);
    run(search, jobs, batch);
    std::vector<std::vector<int32_t>> results;
    for (const Job &job : jobs) {
      EXPECT_EQ(int64_t(job.best.size()), nbest);
      for (const Hypothesis &hypothesis : job.best) {
        double score = 0;
        std::vector<int32_t> all = withEnds(hypothesis), prefix;
        for (int32_t token : all) {
          if (!prefix.empty())
            score += logSoftmax(toy::logits(job.source, prefix))[size_t(token)];
          prefix.push_back(token);
        }
        EXPECT_NEAR(score, hypothesis.score, 1e-5);
        results.push_back(all);
      }
    }
    return results;
  };
  auto one = sampled(7, 60, 3);
  EXPECT_EQ(one, sampled(7, 1, 3));
  EXPECT_EQ(one, sampled(7, 13, 3));
  EXPECT_NE(one, sampled(8, 60, 3));
  auto single = sampled(7, 60, 1);
  for (size_t line = 0; line < single.size(); ++line)
    EXPECT_EQ(single[line], one[3 * line]) << "the first sample does not depend on how many there are";
}

TEST(Search, SamplesFollowTheModel) {
  SearchOptions options;
  options.sample = true;
  options.nbest = 4000;
  Search search(model(), options);
  std::vector<Job> jobs = jobsFor(1, 9);
  run(search, jobs, 1);
  std::vector<double> gain = logSoftmax(toy::logits(jobs[0].source, {toy::start})), share(size_t(toy::vocabulary));
  for (const Hypothesis &hypothesis : jobs[0].best)
    share[size_t(withEnds(hypothesis)[1])] += 1.0 / 4000;
  for (size_t token = 0; token < share.size(); ++token)
    EXPECT_NEAR(share[token], std::exp(gain[token]), 0.03) << token;
}

// Traces and logits follow ancestry: `self` is the prefix that a step saw, `p` depends on its last token.
TEST(Search, WhatIsKeptIsOfTheBestHypothesis) {
  for (int64_t beam : {1, 4}) {
    SearchOptions options;
    options.beam = beam;
    options.keep = {true, true};
    Search search(model(), options);
    std::vector<Job> jobs = jobsFor(64, 11);
    run(search, jobs, 20);
    for (const Job &job : jobs) {
      std::vector<int32_t> tokens = withEnds(job.best[0]);
      ASSERT_EQ(job.traces.size(), 3u);
      const StepRows &p = job.traces[0], &self = job.traces[2];
      ASSERT_EQ(p.rows.size(), tokens.size() - 1);
      ASSERT_EQ(job.logits.rows.size(), tokens.size() - 1);
      for (size_t step = 0; step < p.rows.size(); ++step) {
        EXPECT_EQ(self.shapes[step], (std::vector<int64_t>{int64_t(step) + 1}));
        for (size_t before = 0; before <= step; ++before)
          EXPECT_EQ(self.rows[step][before], float(tokens[before]));
        EXPECT_EQ(job.logits.rows[step], toy::logits(job.source, {tokens.begin(), tokens.begin() + int64_t(step) + 1}));
        for (size_t i = 0; i < job.source.size(); ++i)
          EXPECT_EQ(p.rows[step][i], float((job.source[i] + tokens[step]) % 5) / 4);
      }
    }
  }
}

}  // namespace
