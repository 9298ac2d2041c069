#include "runtime/program/Options.h"

#include "runtime/program/Error.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <sched.h>
#include <sstream>
#include <thread>

namespace fovea::program {

namespace {

// FOVEA_THREADS, as for kernels, else the processors this process may use.
int64_t defaultThreads() {
  if (const char *text = std::getenv("FOVEA_THREADS"))
    if (int64_t count = std::strtoll(text, nullptr, 10); count > 0)
      return std::min<int64_t>(count, 1024);
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::string describe(const Table &table, const TextFormat &format) {
  if (!format.pieces.empty())
    return std::string(format.unit == TextFormat::BytePairs ? "text by byte pairs" : "text by SentencePiece") + " (`" + format.pieces + "`" + (format.vocabulary.empty() ? "" : " in `" + format.vocabulary + "`") + ")";
  std::string text = format.unit == TextFormat::Words ? "text by words" : "text by characters";
  if (const File *file = table.file(format.vocabulary))
    text += " (`" + format.vocabulary + "`, " + std::to_string(std::count(file->bytes.begin(), file->bytes.end(), '\n') + (!file->bytes.empty() && file->bytes.back() != '\n')) + " tokens)";
  return text;
}

std::string description(const Table &table) {
  std::string text = table.name + ": reads " + describe(table, table.reads) + ", one input a line;\nwrites " + describe(table, table.writes) +
                     ", one result a line, in order, of at most " + std::to_string(table.writes.atMost) + " tokens.\n";
  if (table.reads.unknown.empty() && !table.reads.pieces.empty() && table.reads.vocabulary.empty())
    text += "What no piece stands for becomes the unknown token of the pieces.";
  else if (table.reads.unknown.empty())
    text += "A line with a token outside the vocabulary is an error.";
  else
    text += "A token outside the vocabulary becomes `" + table.reads.unknown + "`.";
  text += " An empty line gives an empty line; a line that cannot be\nprocessed gives an empty line and a message, and the exit code is 1 at the end.\n";
  if (!table.traces.empty()) {
    text += "Attention maps:";
    for (const Trace &trace : table.traces)
      text += " " + trace.name;
    text += ".\n";
  }
  return text;
}

auto most(int64_t value) { return CLI::Range(int64_t(1), value).description(""); }

// Which hypotheses are looked at, and how they are ranked.
void addSearch(CLI::App &app, Options &options, int64_t &beam, bool &earlyStop, std::string &norm) {
  SearchOptions &search = options.search;
  Ranking::Options &ranking = search.ranking;
  app.add_option("--beam", beam, "hypotheses a line; 1 is greedy search (default: 1, or what --nbest says)")->type_name("N")->check(most(4096));
  app.add_option("--nbest", search.nbest, "write the N best results of each line, as `LINE TAB text`")->type_name("N")->check(most(4096));
  auto *penalty = app.add_option("--length-penalty", ranking.lengthPenalty, "rank results by log-probability / length^A (default: 0)")
                      ->type_name("A")->check(CLI::Range(0.0, 100.0).description(""));
  app.add_option("--length-norm", norm, "what is raised to A: `power`, the length (the default), or `gnmt`, (5 + length) / 6")
      ->type_name("NORM")->check(CLI::IsMember(std::vector<std::string>{"power", "gnmt"}).description(""))->needs(penalty);
  app.add_option("--coverage-penalty", ranking.coveragePenalty, "rank lower what looks away from parts of the input, B times (default: 0)")
      ->type_name("B")->check(CLI::Range(0.0, 100.0).description(""));
  app.add_option("--attention", options.attention, "the trace that says where the model looks, or one of its heads (dec.1.p-h0): by default the mean of the last one over the input")->type_name("TRACE");
  auto *patience = app.add_option("--patience", ranking.patience, "stop when P times the beam have ended (default: when nothing better can come)")
                       ->type_name("P")->check(CLI::Range(0.001, 1000.0).description(""));
  app.add_flag("--early-stop", earlyStop, "stop when as many as the beam have ended: --patience 1")->excludes(patience);
  auto *groups = app.add_option("--groups", search.groups, "diverse beam search: G groups of hypotheses, which avoid each other's tokens")
                     ->type_name("G")->check(most(4096));
  app.add_option("--diversity", search.diversity, "what a token costs for each time an earlier group has just taken it (default: 0)")
      ->type_name("D")->check(CLI::Range(0.0, 1000.0).description(""))->needs(groups);
  auto *sample = app.add_flag("--sample", search.sample, "draw results at random, as probable as the model says (--nbest N: N of them)");
  app.add_option("--seed", search.seed, "seed of --sample (default: 0); a line's results depend on it and the line's number alone")
      ->type_name("S")->check([](const std::string &text) { return text[0] == '-' ? text + " is negative" : std::string(); }, "");
  app.add_option("--temperature", search.sampling.temperature, "divide the logits by T before drawing (default: 1)")
      ->type_name("T")->check(CLI::Range(0.001, 1000.0).description(""))->needs(sample);
  app.add_option("--top-k", search.sampling.topK, "draw from the K most likely tokens alone")->type_name("K")->check(most(1 << 30))->needs(sample);
  app.add_option("--top-p", search.sampling.topP, "draw from the most likely tokens that together reach the probability P")
      ->type_name("P")->check(CLI::Range(1e-9, 1.0).description(""))->needs(sample);
}

// Which tokens an output may, must and must not have.
void addRules(CLI::App &app, const Table &table, Options &options) {
  SearchOptions &search = options.search;
  const std::string limit = std::to_string(table.writes.atMost);
  app.add_option("--min-length", search.rules.minLength, "tokens that a result has at least, unless it ends at the limit")
      ->type_name("N")->check(CLI::Range(int64_t(0), table.writes.atMost).description(""));
  app.add_option("--max-length", search.maxLength, "tokens that a result has at most (default: " + limit + ")")->type_name("N")->check(most(table.writes.atMost));
  app.add_option("--suppress", options.suppress, "tokens that are never taken; may be given several times")->type_name("TOKENS")->allow_extra_args(false);
  app.add_option("--repetition-penalty", search.rules.repetitionPenalty, "make tokens that were taken less likely: R above 1 (default: 1)")
      ->type_name("R")->check(CLI::Range(0.01, 100.0).description(""));
  app.add_option("--no-repeat-ngram", search.rules.noRepeat, "take no N tokens in a row twice")->type_name("N")->check(most(1 << 30));
  auto *prefix = app.add_option("--prefix", options.prefix, "what every result begins with")->type_name("TEXT");
  app.add_flag("--prefix-column", options.prefixColumn, "lines are `input TAB text`: what the result of each begins with")->excludes(prefix);
  app.add_option("--require", options.require, "tokens that every result has; needs a beam wider than their number")->type_name("TOKENS")->allow_extra_args(false);
  app.add_option("--require-phrase", options.phrases, "tokens that every result has in a row; may be given several times")->type_name("TOKENS")->allow_extra_args(false);
}

// What is wrong with options that are right one by one; throws.
void checkTogether(const CLI::App &app, const Table &table, Options &options, int64_t beam, bool earlyStop) {
  SearchOptions &search = options.search;
  auto given = [&](const char *name) { return app.count(name) > 0; };
  auto fail = [](const char *option, const std::string &sentence) { throw CLI::ValidationError(option, sentence); };
  if (search.sample && beam > 1)
    fail("--sample", "draws instead of searching; it does not go with --beam");
  for (const char *option : {"--length-penalty", "--coverage-penalty", "--patience", "--early-stop", "--groups", "--require", "--require-phrase"})
    if (search.sample && given(option))
      fail("--sample", std::string("draws instead of searching; it does not go with ") + option);
  if (beam > 0 && search.nbest > beam)
    fail("--nbest", "cannot exceed --beam (" + std::to_string(beam) + ")");
  search.beam = search.sample ? 1 : beam > 0 ? beam : search.nbest;
  if (search.beam % search.groups != 0)
    fail("--groups", "must divide --beam (" + std::to_string(search.beam) + ")");
  for (const char *option : {"--require", "--require-phrase"})
    if (search.groups > 1 && given(option))
      fail(option, "does not go with --groups");
  if (earlyStop)
    search.ranking.patience = 1;
  if (int64_t enough = Ranking(search.ranking, 1).enough(search.beam / search.groups) * search.groups; enough > 0 && search.nbest > enough)
    fail("--nbest", "cannot exceed the " + std::to_string(enough) + " after which --patience stops");
  if (search.maxLength > 0 && search.rules.minLength > search.maxLength)
    fail("--min-length", "cannot exceed --max-length (" + std::to_string(search.maxLength) + ")");
  for (const char *option : {"--beam", "--nbest", "--sample", "--length-penalty", "--coverage-penalty", "--patience", "--early-stop", "--groups", "--min-length",
                             "--max-length", "--suppress", "--repetition-penalty", "--no-repeat-ngram", "--prefix", "--prefix-column", "--require", "--require-phrase", "--replace-unknown"})
    if (search.score && given(option))
      fail("--score", std::string("takes outputs as they are; it does not go with ") + option);
  for (const char *option : {"--scores", "--token-scores"})
    if (options.json && given(option))
      fail("--json", std::string("has all scores; it does not go with ") + option);
  for (const char *option : {"--nbest", "--length-penalty", "--coverage-penalty", "--patience", "--early-stop", "--groups", "--require", "--json", "--replace-unknown",
                             "--score", "--output", "--batch"})
    if (options.stream && given(option))
      fail("--stream", std::string("writes tokens of one line as they are chosen; it does not go with ") + option);
  if (options.stream && beam > 1)
    fail("--stream", "writes tokens of one line as they are chosen; it does not go with --beam");
  if (options.replaceUnknown && table.writes.unknown.empty())
    fail("--replace-unknown", "the output's vocabulary declares no unknown token");
  const char *looks = nullptr;
  for (const char *option : {"--coverage-penalty", "--align", "--replace-unknown"})
    if (given(option))
      looks = option;
  if (given("--attention") && !looks)
    fail("--attention", "is for --align, --replace-unknown and --coverage-penalty");
  if (looks && !Attention::find(table, "").trace)
    fail(looks, "needs an attention map over the input, and the model traces none (`trace p;` in its text)");
  if (looks && !Attention::find(table, options.attention).trace)
    fail("--attention", "`" + options.attention + "` is no trace over the input, nor a head of one");
}

// The tokens of a text: the text itself where it is one, its parts between spaces where each of them is one, else what a line of this text has.
std::vector<int32_t> tokensOf(const Vocabulary &vocabulary, const std::string &option, const std::string &text) {
  auto find = [&](const std::string &wanted) {
    int32_t token = 0;
    while (token < int32_t(vocabulary.size()) && vocabulary.text(token) != wanted)
      ++token;
    return token < int32_t(vocabulary.size()) ? token : -1;
  };
  if (int32_t token = find(text); token >= 0)
    return {token};
  std::vector<int32_t> tokens;
  std::istringstream parts(text);
  for (std::string part; parts >> part;)
    tokens.push_back(find(part));
  if (tokens.empty() || std::count(tokens.begin(), tokens.end(), -1) > 0) {
    tokens.clear();
    try {
      vocabulary.encode(text, std::numeric_limits<int64_t>::max(), tokens);
    } catch (const Error &) {
      tokens.clear();
    }
    if (tokens.empty() || std::count(tokens.begin(), tokens.end(), vocabulary.unknown()) > 0)
      throw UsageError(option + ": `" + text + "` is not made of tokens of the output's vocabulary");
  }
  return tokens;
}

}  // namespace

std::optional<Options> readOptions(const Table &table, int argc, const char *const *argv, int &code) {
  Options options;
  int64_t beam = 0;
  bool earlyStop = false;
  std::string norm;
  CLI::App app(description(table));
  std::string program = argc > 0 ? argv[0] : table.name;
  app.name(program.substr(program.rfind('/') + 1));
  app.set_version_flag("--version", table.name + (table.compiler.empty() ? "" : ", compiled by Fovea " + table.compiler + (table.device ? std::string(" for ") + table.device->name : "")) + ", table " +
                                        std::to_string(FOVEA_MODEL_ABI));
  app.set_help_flag("--help", "print this and exit");
  app.add_option("--weights", options.weights, std::string("safetensors file") +
                                                   (table.file(table.weights) ? " (default: the one inside the program)"
                                                    : table.weights.empty()   ? ""
                                                                              : " (default: " + table.weights + " beside the program)") +
                                                   "; several: an ensemble, the mean of their probabilities")
      ->type_name("FILE")->allow_extra_args(false);
  app.option_defaults()->group("Search");
  addSearch(app, options, beam, earlyStop, norm);
  app.option_defaults()->group("Tokens");
  addRules(app, table, options);
  app.option_defaults()->group("Results");
  if (!table.reads.pieces.empty() || !table.writes.pieces.empty())
    app.add_flag("--tokens", options.tokens, "lines and results are tokens with spaces between, not text");
  app.add_flag("--scores", options.scores, "add a TAB and the log-probability to each result");
  app.add_flag("--token-scores", options.tokenScores, "add a TAB and the log-probability of each token, the end token included");
  app.add_flag("--align", options.align, "add a TAB and pairs OUTPUT-INPUT of positions: where the model looked for each token");
  app.add_flag("--json", options.json, "write each result as a JSON object on a line");
  app.add_flag("--stream", options.stream, "write each token as soon as it is chosen, one line after the other");
  app.add_flag("--replace-unknown", options.replaceUnknown, "write for an unknown token what stands in the input where the model looked");
  app.add_flag("--score", options.search.score, "search nothing: lines are `input TAB output`, the result is the log-probability of that output");
  app.add_option("--maps", options.maps, "write a picture and a JSON file of every attention map of every line")->type_name("DIR");
  app.add_option("--traces", options.traces, "write what maps show, as NumPy files without pictures")->type_name("DIR");
  app.add_option("--logits", options.logits, "write the logits of every step of every line's best result as a NumPy file")->type_name("DIR");
  app.add_option("--input", options.input, "read from FILE instead of standard input")->type_name("FILE");
  app.add_option("--output", options.output, "write to FILE, which is complete or not there")->type_name("FILE");
  app.option_defaults()->group("Running");
  app.add_flag("--profile", options.profile, "print on standard error, at the end, what each operation of the model cost");
  options.threads = table.device ? 1 : defaultThreads();
  app.add_option("--threads", options.threads, table.device ? "batches that are on the device at once (default: 1)" : "threads to use (default: one a processor)")->type_name("N")->check(most(1024));
  app.add_option("--batch", options.batch, "lines computed together at most (default: 64 hypotheses)")->type_name("N")->check(most(1 << 20));
  app.add_option("--max-input", options.maxInput, "longest input in tokens (default: 1024)")->type_name("N")->check(most(1 << 24));
  try {
    app.parse(argc, argv);
    options.nbestGiven = app.count("--nbest") > 0;
    options.search.ranking.norm = norm == "gnmt" ? Ranking::Options::Gnmt : Ranking::Options::Power;
    checkTogether(app, table, options, beam, earlyStop);
    options.scores |= options.search.score;
    options.search.scores = options.scores || options.tokenScores || options.json;
    if (options.stream)
      options.batch = 1;
    if (options.batch == 0)
      options.batch = std::max<int64_t>(1, 64 / std::max(options.search.beam, options.search.nbest));
    options.search.keep = {!options.maps.empty() || !options.traces.empty(), !options.logits.empty(), nullptr};
    return options;
  } catch (const CLI::ParseError &error) {
    code = app.exit(error, std::cout, std::cerr) == 0 ? 0 : 2;
    if (!std::cout.flush()) {
      std::cerr << app.get_name() << ": error: cannot write the output\n";
      code = 1;
    }
    return std::nullopt;
  }
}

void resolve(Options &options, const Model &model) {
  SearchOptions &search = options.search;
  const Vocabulary &target = model.target;
  const int64_t limit = options.limit(model.table);
  for (const std::string &text : options.suppress)
    for (int32_t token : tokensOf(target, "--suppress", text))
      search.rules.suppressed.push_back(token);
  auto required = [&](const char *option, const std::string &text) {
    std::vector<int32_t> tokens = tokensOf(target, option, text);
    for (int32_t token : tokens) {
      if (token == target.end() || token == target.start())
        throw UsageError(std::string(option) + ": `" + target.text(token) + "` is no token of a result");
      if (std::count(search.rules.suppressed.begin(), search.rules.suppressed.end(), token) > 0)
        throw UsageError(std::string(option) + ": `" + target.text(token) + "` is suppressed");
    }
    return tokens;
  };
  for (const std::string &text : options.require)
    for (int32_t token : required("--require", text))
      search.required.push_back(token);
  std::sort(search.required.begin(), search.required.end());
  auto count = int64_t(search.required.size());
  for (const std::string &text : options.phrases)
    if (auto phrase = required("--require-phrase", text); std::count(search.phrases.begin(), search.phrases.end(), phrase) == 0) {
      count += int64_t(phrase.size());
      search.phrases.push_back(std::move(phrase));
    }
  const std::string option = search.phrases.empty() ? "--require: " : "--require-phrase: ", wanted = std::to_string(count);
  if (count > 0 && count >= search.beam)
    throw UsageError(option + wanted + " tokens need a --beam of at least " + std::to_string(count + 1));
  if (count > limit)
    throw UsageError(option + "a result has at most " + std::to_string(limit) + " tokens, and " + wanted + " are required");
  if (!options.prefix.empty()) {
    try {
      target.encode(options.prefix, std::numeric_limits<int64_t>::max(), options.prefixTokens);
    } catch (const Error &error) {
      throw UsageError(std::string("--prefix: ") + error.what());
    }
    if (int64_t(options.prefixTokens.size()) > limit)
      throw UsageError("--prefix: a result has at most " + std::to_string(limit) + " tokens, and these are " + std::to_string(options.prefixTokens.size()));
  }
  if (search.ranking.coveragePenalty != 0 || options.align || options.replaceUnknown) {
    const Attention::Place place = Attention::find(model.table, options.attention);
    search.keep.attention = place.trace, search.keep.head = place.head;
  }
}

}  // namespace fovea::program
