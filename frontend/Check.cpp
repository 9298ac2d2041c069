// Loads files and imports, and checks each definition.
#include "frontend/Check.h"
#include "frontend/Config.h"
#include "frontend/Frontend.h"
#include "frontend/Parser.h"

#include <filesystem>
#include <functional>
#include <pthread.h>

namespace fovea {

static const char preludeText[] =
#include "frontend/prelude.inc"
    ;

std::unique_ptr<ast::File> parse(uint32_t file, SourceManager &sources, Diagnostics &diagnostics) { return Parser(file, sources, diagnostics).parseFile(); }

namespace {

class Checker {
public:
  Checker(SourceManager &sources, Diagnostics &diagnostics, const CheckOptions &options) : sources(sources), diagnostics(diagnostics), options(options) {}

  std::optional<core::Module> run(uint32_t main) {
    FileScope *scope = open(main, canonical(sources.name(main)));
    uint32_t id = sources.add("<prelude>", preludeText);
    asts.push_back(parse(id, sources, diagnostics));
    prelude.file = asts.back().get();
    prelude.prelude = true;
    for (const ast::Function *f : prelude.file->functions) prelude.functions.emplace(f->name.symbol, FunctionEntry{f, &prelude});
    if (diagnostics.hasErrors()) return std::nullopt;

    for (FileScope *s : order) definitions(*s);
    if (diagnostics.hasErrors()) return std::nullopt;
    for (FileScope *s : order) {
      unsigned before = diagnostics.errorCount();
      checkFunctions(*s, sources, diagnostics);
      checkSchedules(*s->file, sources, diagnostics);
      if (diagnostics.errorCount() != before) noteImport(*s);
    }
    if (diagnostics.hasErrors()) return std::nullopt;

    core::Module module;
    std::set<Symbol> names;
    for (const ast::Kernel *k : scope->file->kernels) {
      if (diagnostics.full()) return std::nullopt;
      Elaborator elaborator(sources, diagnostics, *scope);
      if (!elaborator.kernel(*k)) continue;
      elaborator.b.function.schedules = schedulesOf(*k, *scope->file, sources);
      module.kernels.push_back(std::move(elaborator.b.function));
    }
    for (const ast::Model *m : scope->file->models) {
      if (diagnostics.full()) return std::nullopt;
      Config config;
      if (!config.read(m->config, options, sources, diagnostics)) continue;
      Elaborator encode(sources, diagnostics, *scope, &config), step(sources, diagnostics, *scope, &config);
      core::Model model;
      if (!encode.encode(*m) || !step.step(*m, encode, model)) continue;
      if (!Elaborator::finishModel(encode, step)) continue;
      model.encode = std::move(encode.b.function);
      model.step = std::move(step.b.function);
      module.models.push_back(std::move(model));
    }
    module.files = sources.names();
    if (diagnostics.hasErrors()) return std::nullopt;
    return module;
  }

private:
  static std::string canonical(const std::string &path) {
    std::error_code error;
    auto result = std::filesystem::weakly_canonical(path, error);
    return error ? path : result.string();
  }

  // Parses a file and what it imports, depth first.
  FileScope *open(uint32_t id, const std::string &path) {
    scopes.emplace_back();
    FileScope *scope = &scopes.back();
    byPath.emplace(path, scope);
    loading.insert(scope);
    asts.push_back(parse(id, sources, diagnostics));
    scope->file = asts.back().get();
    for (const ast::Import &import : scope->file->imports) {
      if (diagnostics.full()) break;
      std::string wanted = (std::filesystem::path(sources.name(id)).parent_path() / import.path).string();
      std::string key = canonical(wanted);
      auto known = byPath.find(key);
      if (known != byPath.end()) {
        if (loading.count(known->second))
          diagnostics.error(Diag::ImportCycle, import.range, {import.path});
        else
          imports[scope].push_back(known->second);
        continue;
      }
      constexpr size_t deepest = 100;
      std::optional<uint32_t> file = loading.size() < deepest ? sources.load(wanted) : std::nullopt;
      if (!file) {
        diagnostics.error(Diag::CannotRead, import.range, {import.path});
        continue;
      }
      unsigned before = diagnostics.errorCount();
      FileScope *target = open(*file, key);
      importedAt.emplace(target, import.range);
      if (diagnostics.errorCount() != before) diagnostics.note(Diag::ImportedHere, import.range);
      imports[scope].push_back(target);
    }
    loading.erase(scope);
    order.push_back(scope);
    return scope;
  }

  void noteImport(const FileScope &scope) {
    auto at = importedAt.find(&scope);
    if (at != importedAt.end()) diagnostics.note(Diag::ImportedHere, at->second);
  }

  // What the file's definitions see: its own and imported ones, then the prelude's where no own one hides them. An imported file
  // hides the prelude's for itself only.
  void definitions(FileScope &scope) {
    std::map<Symbol, SourceRange> first;
    unsigned before = diagnostics.errorCount();
    auto define = [&](const ast::Name &name) {
      auto [it, fresh] = first.emplace(name.symbol, name.range);
      if (fresh) return true;
      diagnostics.error(Diag::DefinedTwice, name.range, {name.text()});
      diagnostics.note(Diag::FirstDefinition, it->second, {name.text()});
      return false;
    };
    std::vector<const FileScope *> reached;
    std::set<const FileScope *> seen{&scope};
    std::function<void(const FileScope *)> reach = [&](const FileScope *from) {
      for (const FileScope *target : imports[from])
        if (seen.insert(target).second) reach(target), reached.push_back(target);
    };
    reach(&scope);
    for (const FileScope *target : reached) {
      for (const ast::Function *f : target->file->functions)
        if (!prelude.functions.count(f->name.symbol) && define(f->name)) scope.functions.emplace(f->name.symbol, FunctionEntry{f, target});
      for (const ast::Block *block : target->file->blocks)
        if (define(block->name)) scope.blocks.emplace(block->name.symbol, BlockEntry{block, target});
    }
    for (const ast::Function *f : scope.file->functions)
      if (define(f->name)) scope.functions.emplace(f->name.symbol, FunctionEntry{f, &scope});
    for (const ast::Block *block : scope.file->blocks)
      if (define(block->name)) scope.blocks.emplace(block->name.symbol, BlockEntry{block, &scope});
    for (const ast::Kernel *k : scope.file->kernels) define(k->name);
    for (const ast::Model *m : scope.file->models) define(m->name);
    for (const auto &[name, entry] : prelude.functions) scope.functions.emplace(name, entry);
    if (diagnostics.errorCount() != before) noteImport(scope);
  }

  SourceManager &sources;
  Diagnostics &diagnostics;
  const CheckOptions &options;
  std::deque<std::unique_ptr<ast::File>> asts;
  std::deque<FileScope> scopes;
  FileScope prelude;
  std::map<std::string, FileScope *> byPath;
  std::set<FileScope *> loading;
  std::vector<FileScope *> order;
  std::map<const FileScope *, std::vector<FileScope *>> imports;
  std::map<const FileScope *, SourceRange> importedAt;
};

struct Task {
  uint32_t file;
  SourceManager &sources;
  Diagnostics &diagnostics;
  const CheckOptions &options;
  std::optional<core::Module> result;
};

constexpr size_t stackSize = size_t{512} << 20, stackReserve = size_t{64} << 20;

void *runTask(void *argument) {
  auto *task = static_cast<Task *>(argument);
  char here;
  Elaborator::stackEnd = &here - (stackSize - stackReserve);
  task->result = Checker(task->sources, task->diagnostics, task->options).run(task->file);
  Elaborator::stackEnd = nullptr;
  return nullptr;
}

}  // namespace

// Elaboration recurses as deeply as definitions use each other, so it gets a stack of its own (address space, not memory).
std::optional<core::Module> check(uint32_t file, SourceManager &sources, Diagnostics &diagnostics, const CheckOptions &options) {
  Task task{file, sources, diagnostics, options, std::nullopt};
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  bool started = pthread_attr_setstacksize(&attributes, stackSize) == 0 && pthread_create(&thread, &attributes, runTask, &task) == 0;
  pthread_attr_destroy(&attributes);
  if (started) {
    pthread_join(thread, nullptr);
  } else {
    // Without it, within what a thread surely has.
    char here;
    Elaborator::stackEnd = &here - (size_t{4} << 20);
    task.result = Checker(sources, diagnostics, options).run(file);
    Elaborator::stackEnd = nullptr;
  }
  return std::move(task.result);
}

std::optional<core::Module> check(const std::string &path, SourceManager &sources, Diagnostics &diagnostics, const CheckOptions &options) {
  auto file = sources.load(path);
  if (!file) {
    uint32_t empty = sources.add(path, "");
    diagnostics.error(Diag::CannotRead, {empty, 0, 0}, {path});
    return std::nullopt;
  }
  return check(*file, sources, diagnostics, options);
}

}  // namespace fovea
