#include "runtime/program/Program.h"

#include "runtime/program/Batches.h"
#include "runtime/program/Error.h"
#include "runtime/program/LineFolder.h"
#include "runtime/program/Lines.h"
#include "runtime/program/Logits.h"
#include "runtime/program/Maps.h"
#include "runtime/program/Options.h"
#include "runtime/program/Profile.h"
#include "runtime/program/Results.h"
#include "runtime/program/Workers.h"
#include "runtime/support/File.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <unistd.h>

namespace fovea::program {

namespace {

std::atomic<int> interrupted = 0;  // the signal
int wakePipe[2] = {-1, -1};

// The first interrupt lets finished lines out, the second ends the program.
void interrupt(int signal) {
  int error = errno;
  interrupted = signal;
  [[maybe_unused]] ssize_t count = ::write(wakePipe[1], "", 1);
  errno = error;
}

void installSignals() {
  if (wakePipe[0] < 0 && ::pipe2(wakePipe, O_CLOEXEC | O_NONBLOCK) != 0)
    throw Error(std::string("cannot make a pipe: ") + std::strerror(errno));
  struct sigaction action {};
  action.sa_handler = interrupt;
  action.sa_flags = int(SA_RESETHAND) | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  action.sa_flags = 0;
  sigaction(SIGPIPE, &action, nullptr);
}

std::string programFolder() {
  std::error_code error;
  std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : path.parent_path().string();
}

// A quarter of the machine's memory, or of what this process is allowed.
int64_t memoryForBatches(int64_t workers) {
  int64_t pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  int64_t memory = pages > 0 && size > 0 ? product(pages, size) : int64_t(4) << 30;
  if (std::FILE *file = std::fopen("/sys/fs/cgroup/memory.max", "r")) {
    long long allowed = 0;
    if (std::fscanf(file, "%lld", &allowed) == 1 && allowed > 0)
      memory = std::min<int64_t>(memory, allowed);
    std::fclose(file);
  }
  return memory / 4 / workers;
}

// A line and its way to the output.
struct Entry {
  std::string text;     // of the input, kept where it is wanted
  Job job;
  std::string output;   // with line ends
  bool done = false;
};

class Shell {
public:
  Shell(const std::vector<const Model *> &models, const Options &options, const std::string &name)
      : models(models), model(*models[0]), options(options), name(name), results(model, options), writer(options.output), workers(options.threads),
        searches(size_t(options.threads)) {
    if (!options.maps.empty())
      maps = std::make_unique<Maps>(options.maps, model);
    if (!options.traces.empty())
      traces = std::make_unique<Traces>(options.traces, model);
    if (!options.logits.empty())
      logits = std::make_unique<LineFolder>(options.logits);
  }

  // The exit code; `signal` is the one that ended it, if one did.
  int run(int &signal) {
    int descriptor = 0;
    if (!options.input.empty()) {
      descriptor = ::open(options.input.c_str(), O_RDONLY | O_CLOEXEC);
      if (descriptor < 0)
        throw Error("cannot read `" + options.input + "`: " + std::strerror(errno));
    }
    // Room for any character and for long words; what is cut is over the limit or no sensible word.
    size_t longest = size_t(options.maxInput) * (model.table.reads.unit == TextFormat::Characters ? 4 : 64) + 4096;
    if (options.hasColumn())
      longest += size_t(model.table.writes.atMost) * 64 + 4096;
    LineReader reader(descriptor, wakePipe[0], longest);
    const int64_t mostLines = options.stream ? 1 : std::max<int64_t>(options.batch, 1 << 16);
    int64_t blockLines = std::min(4 * options.batch, mostLines);
    for (bool more = true; more && !interrupted && !broken;) {
      more = readBlock(reader, blockLines);
      answerBlock();
      // Blocks grow, so that the first results come soon and many lines of like length come together later.
      blockLines = std::min({2 * blockLines, 64 * options.batch, mostLines});
    }
    if (descriptor > 0)
      ::close(descriptor);
    if (!interrupted && !broken)
      writer.complete();
    else
      writer.flush();
    progress(true);
    signal = broken ? SIGPIPE : interrupted.load();
    return failed ? 1 : 0;
  }

private:
  const std::vector<const Model *> models;
  const Model &model;
  const Options &options;
  const std::string &name;
  const Results results;
  LineWriter writer;
  Workers workers;
  std::vector<std::unique_ptr<Search>> searches;  // by worker
  std::unique_ptr<Maps> maps;
  std::unique_ptr<Traces> traces;
  std::unique_ptr<LineFolder> logits;
  std::mutex mutex;                               // for all below
  std::vector<Entry> entries;
  size_t written = 0;
  std::vector<int32_t> streamed;                  // of the line that is being written
  size_t streamedText = 0;                        // bytes of it
  uint64_t first = 1;                             // line of entries[0]
  uint64_t lines = 0, answered = 0, tokens = 0;   // tokens: of results
  bool failed = false, shown = false;
  // Progress is for somebody who watches and does not see the results themselves.
  const bool talkative = isatty(2) && (!options.output.empty() || !isatty(1));
  std::atomic<bool> broken = false;
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now(), lastShown = began;

  void message(const std::string &sentence) {
    if (shown)
      std::fputs("\r\033[K", stderr);
    std::fprintf(stderr, "%s: %s\n", name.c_str(), sentence.c_str());
  }

  // Reads lines until the block is full or nothing more waits. False at the end of the input.
  bool readBlock(LineReader &reader, int64_t most) {
    entries.clear();
    written = 0;
    first = lines + 1;
    int64_t tokens = 0;
    std::string line;
    while (int64_t(entries.size()) < most && tokens < (1 << 22)) {
      bool cut = false;
      // A line alone waits a moment for others to share a batch with; a whole batch only takes what is there already.
      const int patience = entries.empty() ? -1 : int64_t(entries.size()) < options.batch ? 1 : 0;
      LineReader::Status status = reader.next(line, cut, patience);
      if (status == LineReader::End)
        return false;
      if (status == LineReader::Waiting)
        break;
      Entry &entry = entries.emplace_back();
      Job &job = entry.job;
      job.line = ++lines;
      if (lines == 1 && line.rfind("\xEF\xBB\xBF", 0) == 0)
        line.erase(0, 3);
      try {
        readLine(line, cut, job);
        if ((maps || options.replaceUnknown) && !job.source.empty())
          entry.text = options.hasColumn() ? line.substr(0, line.find('\t')) : line;
      } catch (const Error &error) {
        job.source.clear();
        job.error = error.what();
      }
      tokens += int64_t(job.source.size());
      entry.done = job.source.empty();
      if (entry.done)
        entry.output = results.lines("", job);
    }
    return true;
  }

  // Leaves `source` empty for a line without tokens.
  void readLine(const std::string &line, bool cut, Job &job) {
    if (cut)
      throw Error("the line has more than " + std::to_string(line.size()) + " bytes, too many for " + std::to_string(options.maxInput) +
                  " tokens; --max-input sets the limit");
    const size_t tab = options.hasColumn() ? std::min(line.find('\t'), line.size()) : line.size();
    encode(line.substr(0, tab), job);
    job.prefix = options.prefixTokens;
    if (job.source.empty() || !options.hasColumn())
      return;
    if (options.search.score && tab == line.size())
      throw Error("the line has no TAB between an input and an output");
    if (tab == line.size())
      return;
    const char *what = options.search.score ? "output" : "prefix";
    try {
      model.target.encode(line.substr(tab + 1), std::numeric_limits<int64_t>::max(), job.prefix);
    } catch (const Error &error) {
      throw Error("the " + std::string(what) + ": " + error.what());
    }
    const int64_t limit = options.limit(model.table);
    if (int64_t(job.prefix.size()) > limit)
      throw Error("the " + std::string(what) + " has " + std::to_string(job.prefix.size()) + " tokens, more than the " + std::to_string(limit) + " of a result");
    if (options.search.score && model.target.end() >= 0 && int64_t(job.prefix.size()) < limit)
      job.prefix.push_back(model.target.end());
  }

  void encode(const std::string &line, Job &job) {
    const Vocabulary &vocabulary = model.source;
    if (vocabulary.start() >= 0)
      job.source.push_back(vocabulary.start());
    size_t before = job.source.size();
    vocabulary.encode(line, options.maxInput, job.source);
    if (job.source.size() == before)
      job.source.clear();
    else if (vocabulary.end() >= 0)
      job.source.push_back(vocabulary.end());
  }

  void answerBlock() {
    std::vector<Job *> jobs;
    for (Entry &entry : entries)
      if (!entry.done)
        jobs.push_back(&entry.job);
    std::vector<Job *> all = jobs;
    int64_t rows = options.search.sample ? options.search.nbest : options.search.beam;
    auto batches = makeBatches(model, std::move(jobs), {options.batch, rows, memoryForBatches(options.threads * int64_t(models.size())), options.threads, options.search.keep});
    for (Job *job : all)
      if (!job->error.empty())
        finish(*job);
    deliver();
    if (batches.empty())
      return;
    int64_t active = std::min<int64_t>(options.threads, int64_t(batches.size()));
    if (model.table.setThreads)
      model.table.setThreads(int32_t(std::max<int64_t>(1, options.threads / active)));
    workers.run(int64_t(batches.size()), [&](int64_t worker, int64_t piece) {
      if (interrupted || broken)
        return;
      answer(searches[size_t(worker)], batches[size_t(piece)]);
      std::lock_guard lock(mutex);
      deliver();
      progress(false);
    });
  }

  // With --stream a line is the only one of its block and its batch, so that whatever is chosen comes next.
  SearchOptions searchOptions() {
    SearchOptions search = options.search;
    if (options.stream)
      search.chosen = [this](const Job &, int32_t token) {
        streamed.push_back(token);
        writer.write(restOfText(true));
        if (!broken && !writer.flush())
          broken = true;
      };
    return search;
  }

  // What of the streamed tokens' text was not written yet.
  std::string restOfText(bool more) {
    std::string text = model.target.decode(streamed, {}, more);
    const size_t before = std::min(streamedText, text.size());
    streamedText = text.size();
    return text.substr(before);
  }

  // A batch that fails is tried again in halves, without what the whole one had taken, so that only the lines that cannot be processed are lost.
  void answer(std::unique_ptr<Search> &search, const std::vector<Job *> &batch) {
    std::string error;
    try {
      Profile::Clock clock(model.table.profile, Profile::search);
      if (!search)
        search = std::make_unique<Search>(models, searchOptions());
      search->run(batch);
    } catch (const std::bad_alloc &) {
      error = "not enough memory";
    } catch (const Error &failure) {
      error = failure.what();
    }
    if (!error.empty())
      search.reset();
    if (!error.empty() && batch.size() > 1) {
      auto middle = batch.begin() + int64_t(batch.size() / 2);
      answer(search, {batch.begin(), middle});
      answer(search, {middle, batch.end()});
      return;
    }
    for (Job *job : batch) {
      if (!error.empty())
        job->error = error;
      finish(*job);
    }
  }

  Entry &entryOf(const Job &job) { return entries[size_t(job.line - first)]; }

  void finish(Job &job) {
    Entry &entry = entryOf(job);
    if (job.error.empty()) {
      try {
        if (maps)
          maps->write(entry.text, job);
        if (traces)
          traces->write(job);
        if (logits)
          logits->write(job.line, "logits.npy", toNpy(job.logits));
      } catch (const Error &error) {
        job.error = error.what();
      }
    }
    std::string output = options.stream ? restOfText(false) + (job.error.empty() ? results.columns(job.best.front()) : "") + "\n" : results.lines(entry.text, job);
    streamed.clear();
    streamedText = 0;
    std::lock_guard lock(mutex);
    entry.output = std::move(output);
    entry.done = true;
    for (const Hypothesis &result : job.best)
      tokens += result.tokens.size();
  }

  // Writes what is done, in order.
  void deliver() {
    for (; written < entries.size() && entries[written].done; ++written) {
      Entry &entry = entries[written];
      writer.write(entry.output);
      if (!entry.job.error.empty()) {
        failed = true;
        message("line " + std::to_string(entry.job.line) + ": " + entry.job.error);
      }
      ++answered;
      entry = {};
    }
    if (!broken && !writer.flush())
      broken = true;
  }

  void progress(bool last) {
    using namespace std::chrono;
    auto now = steady_clock::now();
    double seconds = duration<double>(now - began).count();
    if (seconds < 2 || (!last && now - lastShown < milliseconds(250)) || !talkative)
      return;
    lastShown = now;
    shown = !last;
    std::fprintf(stderr, "\r\033[K%llu lines, %.1f lines/s, %.0f tokens/s%s", static_cast<unsigned long long>(answered), double(answered) / seconds, double(tokens) / seconds,
                 last ? "\n" : "");
    std::fflush(stderr);
  }
};

int guarded(const fovea_model &model, int argc, const char *const *argv, const std::string &name, int &signal) {
  auto complain = [&](const std::string &sentence) { std::fprintf(stderr, "%s: error: %s\n", name.c_str(), sentence.c_str()); };
  try {
    Table table = readTable(model);
    int code = 0;
    std::optional<Options> options = readOptions(table, argc, argv, code);
    if (!options)
      return code;
    table.reads.asTokens = table.writes.asTokens = options->tokens;
    installSignals();
    if (table.setThreads)
      table.setThreads(int32_t(options->threads));
    std::unique_ptr<Profile> profile;
    if (options->profile) {
      profile = std::make_unique<Profile>(table);
      table.profile = profile.get();
    }
    std::vector<std::unique_ptr<Model>> models;
    std::vector<const Model *> ensemble;
    {
      Profile::Clock clock(profile.get(), Profile::weights);
      if (options->weights.empty())
        options->weights.emplace_back();
      for (const std::string &weights : options->weights) {
        models.push_back(std::make_unique<Model>(table, weights, programFolder()));
        ensemble.push_back(models.back().get());
      }
    }
    resolve(*options, *ensemble[0]);
    Shell shell(ensemble, *options, name);
    code = shell.run(signal);
    if (profile)
      std::fputs(profile->text().c_str(), stderr);
    return code;
  } catch (const InternalError &error) {
    complain(std::string(error.what()) + " (an internal error; please report it)");
    return 3;
  } catch (const UsageError &error) {
    complain(error.what());
    return 2;
  } catch (const Error &error) {
    complain(error.what());
    return 1;
  } catch (const std::bad_alloc &) {
    complain("not enough memory");
    return 1;
  } catch (const std::exception &error) {
    complain(std::string(error.what()) + " (an internal error; please report it)");
    return 3;
  }
}

}  // namespace

int run(const fovea_model &model, int argc, const char *const *argv) {
  std::string name = argc > 0 ? argv[0] : "program";
  name = name.substr(name.rfind('/') + 1);
  int signal = 0;
  holdStandardDescriptors();
  int code = guarded(model, argc, argv, name, signal);
  if (signal) {
    // Everything is put away; now end as the signal would have ended the program.
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  return code;
}

}  // namespace fovea::program
