// Mutated .mlir texts through the parser and the verifiers, with the dialects of fovea-opt: any bytes give a module or errors. As in fovea-opt, each
// text is read in a process of its own, for upstream's parser does not survive every text; what it survives, our verifiers must.
#include "dialect/Register.h"
#include "test/fuzz/Fuzz.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

#include <csignal>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

using fovea::Verdict;

// How far the process came: Parsed is all that is upstream's.
enum Step : char { Parsed = 'p', Right = 'r', Wrong = 'w', Silent = 's' };

static void read(const std::string &text, const mlir::DialectRegistry &registry, int pipe) {
  auto tell = [&](Step step) { (void)!write(pipe, &step, 1); };
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  unsigned errors = 0;
  context.getDiagEngine().registerHandler([&](mlir::Diagnostic &diagnostic) {
    errors += diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error;
    (void)diagnostic.str();
    return mlir::success();
  });
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, mlir::ParserConfig(&context, /*verifyAfterParse=*/false));
  tell(Parsed);
  bool good = module && mlir::succeeded(mlir::verify(*module));
  tell(good == (errors > 0) ? Silent : good ? Right : Wrong);
}

static Verdict check(const std::string &text, std::string &fault) {
  static const mlir::DialectRegistry *registry = [] {
    auto made = new mlir::DialectRegistry;
    fovea::registerDialects(*made);
    return made;
  }();
  int ends[2];
  if (pipe(ends)) return fault = std::strerror(errno), Verdict::Wrong;
  pid_t child = fork();
  if (child == 0) {
    alarm(60);
    read(text, *registry, ends[1]);
    _exit(0);
  }
  close(ends[1]);
  char steps[2] = {};
  ssize_t got = 0;
  for (ssize_t n; got < 2 && (n = ::read(ends[0], steps + got, 2 - got)) > 0;) got += n;
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return fault = std::strerror(errno), Verdict::Wrong;
  bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (!ended && got == 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)) return Verdict::Lost;
  if (!ended && steps[1] != Wrong) fault = "ended by signal " + std::to_string(WIFSIGNALED(status) ? WTERMSIG(status) : 0) + (got ? " in a verifier" : " after a minute");
  else if (steps[1] == Silent) fault = "neither a module nor an error, or both";
  return steps[1] == Right ? Verdict::Right : Verdict::Wrong;
}

int main(int argc, char **argv) { return fovea::fuzz(argc, argv, check); }
