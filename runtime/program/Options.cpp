#include "runtime/program/Options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <sched.h>
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
  std::string text = format.unit == TextFormat::Words ? "text by words" : "text by characters";
  if (const File *file = table.file(format.vocabulary)) {
    auto lines = std::count(file->bytes.begin(), file->bytes.end(), '\n') + (!file->bytes.empty() && file->bytes.back() != '\n');
    text += " (`" + format.vocabulary + "`, " + std::to_string(lines) + " tokens)";
  }
  return text;
}

std::string description(const Table &table) {
  std::string text = table.name + ": reads " + describe(table, table.reads) + ", one input a line;\nwrites " + describe(table, table.writes) +
                     ", one result a line, in order, of at most " + std::to_string(table.writes.atMost) + " tokens.\n";
  if (table.reads.unknown.empty())
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

}  // namespace

std::optional<Options> readOptions(const Table &table, int argc, const char *const *argv, int &code) {
  Options options;
  int64_t beam = 0;
  CLI::App app(description(table));
  std::string program = argc > 0 ? argv[0] : table.name;
  app.name(program.substr(program.rfind('/') + 1));
  app.set_version_flag("--version", table.name + (table.compiler.empty() ? "" : ", compiled by Fovea " + table.compiler) + ", table " +
                                        std::to_string(FOVEA_MODEL_ABI));
  app.set_help_flag("--help", "print this and exit");
  auto most = [](int64_t value) { return CLI::Range(int64_t(1), value).description(""); };
  app.add_option("--weights", options.weights, table.file(table.weights) ? "safetensors file (default: the one inside the program)"
                                               : table.weights.empty()   ? "safetensors file"
                                                                         : "safetensors file (default: " + table.weights + " beside the program)")
      ->type_name("FILE");
  app.add_option("--beam", beam, "hypotheses a line; 1 is greedy search (default: 1, or what --nbest says)")->type_name("N")->check(most(4096));
  auto *nbest = app.add_option("--nbest", options.search.nbest, "write the N best results of each line, as `LINE TAB text`")->type_name("N")->check(most(4096));
  auto *penalty = app.add_option("--length-penalty", options.search.lengthPenalty, "rank results by log-probability / length^A (default: 0)")
                      ->type_name("A")->check(CLI::Range(0.0, 100.0).description(""));
  auto *sample = app.add_flag("--sample", options.search.sample, "draw results at random, as probable as the model says (--nbest N: N of them)");
  app.add_option("--seed", options.search.seed, "seed of --sample (default: 0); a line's results depend on it and the line's number alone")
      ->type_name("S")->check([](const std::string &text) { return text[0] == '-' ? text + " is negative" : std::string(); }, "");
  app.add_flag("--scores", options.search.scores, "add a TAB and the log-probability to each result");
  app.add_option("--maps", options.maps, "write a picture and a JSON file of every attention map of every line")->type_name("DIR");
  app.add_option("--logits", options.logits, "write the logits of every step of every line's best result as a NumPy file")->type_name("DIR");
  app.add_flag("--profile", options.profile, "print on standard error, at the end, what each operation of the model cost");
  options.threads = defaultThreads();
  app.add_option("--threads", options.threads, "threads to use (default: one a processor)")->type_name("N")->check(most(1024));
  app.add_option("--input", options.input, "read from FILE instead of standard input")->type_name("FILE");
  app.add_option("--output", options.output, "write to FILE, which is complete or not there")->type_name("FILE");
  app.add_option("--batch", options.batch, "lines computed together at most (default: 64 hypotheses)")->type_name("N")->check(most(1 << 20));
  app.add_option("--max-input", options.maxInput, "longest input in tokens (default: 1024)")->type_name("N")->check(most(1 << 24));
  try {
    app.parse(argc, argv);
    options.nbestGiven = nbest->count() > 0;
    if (options.search.sample && beam > 1)
      throw CLI::ValidationError("--sample", "draws instead of searching; it does not go with --beam");
    if (options.search.sample && penalty->count() > 0)
      throw CLI::ValidationError("--sample", "draws instead of searching; it does not go with --length-penalty");
    if (beam > 0 && options.search.nbest > beam)
      throw CLI::ValidationError("--nbest", "cannot exceed --beam (" + std::to_string(beam) + ")");
    options.search.beam = options.search.sample ? 1 : beam > 0 ? beam : options.search.nbest;
    if (options.batch == 0)
      options.batch = std::max<int64_t>(1, 64 / std::max(options.search.beam, options.search.nbest));
    options.search.keep = {!options.maps.empty(), !options.logits.empty()};
    (void)sample;
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

}  // namespace fovea::program
