#include "frontend/ReservedNames.h"

#include <set>
#include <string_view>

namespace fovea {

static const std::set<std::string_view> keywords = {
    "alignas", "alignof", "and", "and_eq", "asm", "atomic_cancel", "atomic_commit", "atomic_noexcept", "auto", "bitand", "bitor", "bool", "break", "case",
    "catch", "char", "char8_t", "char16_t", "char32_t", "class", "compl", "concept", "const", "consteval", "constexpr", "constinit", "const_cast", "continue",
    "co_await", "co_return", "co_yield", "decltype", "default", "delete", "do", "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern",
    "false", "float", "for", "friend", "goto", "if", "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr",
    "operator", "or", "or_eq", "private", "protected", "public", "reflexpr", "register", "reinterpret_cast", "requires", "restrict", "return", "short",
    "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch", "synchronized", "template", "this", "thread_local", "throw", "true",
    "try", "typedef", "typeid", "typename", "typeof", "typeof_unqual", "union", "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor",
    "xor_eq"};

// C99 and POSIX names that common headers declare, and macros among them.
static const std::set<std::string_view> library = {
    "abort", "abs", "access", "acos", "acosf", "acosh", "acoshf", "acoshl", "acosl", "alarm", "aligned_alloc", "alloca", "asctime", "asin", "asinf", "asinh",
    "asinhf", "asinhl", "asinl", "assert", "at_quick_exit", "atan", "atan2", "atan2f", "atan2l", "atanf", "atanh", "atanhf", "atanhl", "atanl", "atexit",
    "atof", "atoi", "atol", "atoll", "bcmp", "bcopy", "bind", "brk", "bsearch", "btowc", "bzero", "cabs", "cacos", "calloc", "carg", "casin", "catan", "cbrt",
    "cbrtf", "cbrtl", "ccos", "ceil", "ceilf", "ceill", "cexp", "chdir", "chmod", "chown", "cimag", "clearerr", "clock", "clog", "close", "conj", "connect",
    "copysign", "copysignf", "copysignl", "cos", "cosf", "cosh", "coshf", "coshl", "cosl", "cpow", "cproj", "creal", "creat", "csin", "csqrt", "ctan", "ctime",
    "daemon", "difftime", "div", "drem", "dup", "dup2", "environ", "erf", "erfc", "erfcf", "erfcl", "erff", "erfl", "errno", "execl", "execv", "execve",
    "execvp", "exit", "exp", "exp10", "exp2", "exp2f", "exp2l", "expf", "expl", "expm1", "expm1f", "expm1l", "fabs", "fabsf", "fabsl", "fclose", "fcntl",
    "fdim", "fdimf", "fdiml", "fdopen", "feclearexcept", "feof", "ferror", "fflush", "ffs", "fgetc", "fgetpos", "fgets", "fgetwc", "fgetws", "fileno",
    "finite", "flock", "floor", "floorf", "floorl", "fma", "fmaf", "fmal", "fmax", "fmaxf", "fmaxl", "fmin", "fminf", "fminl", "fmod", "fmodf", "fmodl",
    "fopen", "fork", "fpclassify", "fprintf", "fputc", "fputs", "fputwc", "fputws", "fread", "free", "freopen", "frexp", "frexpf", "frexpl", "fscanf",
    "fseek", "fsetpos", "fsync", "ftell", "ftruncate", "fwide", "fwprintf", "fwrite", "fwscanf", "gamma", "getc", "getchar", "getcwd", "getenv", "getopt",
    "getpid", "gets", "gettimeofday", "getuid", "getwc", "getwchar", "gmtime", "hypot", "hypotf", "hypotl", "ilogb", "ilogbf", "ilogbl", "imaxabs", "imaxdiv",
    "index", "ioctl", "isalnum", "isalpha", "isatty", "isblank", "iscntrl", "isdigit", "isfinite", "isgraph", "isgreater", "isinf", "isless", "islower",
    "isnan", "isnormal", "isprint", "ispunct", "isspace", "isupper", "iswalnum", "iswalpha", "iswctype", "iswdigit", "iswspace", "isxdigit", "j0", "j1",
    "jn", "kill", "labs", "ldexp", "ldexpf", "ldexpl", "ldiv", "lgamma", "lgammaf", "lgammal", "link", "listen", "llabs", "lldiv", "llrint", "llrintf",
    "llrintl", "llround", "llroundf", "llroundl", "localeconv", "localtime", "lockf", "log", "log10", "log10f", "log10l", "log1p", "log1pf", "log1pl", "log2",
    "log2f", "log2l", "logb", "logbf", "logbl", "logf", "logl", "longjmp", "lrint", "lrintf", "lrintl", "lround", "lroundf", "lroundl", "lseek", "malloc",
    "mblen", "mbrlen", "mbrtowc", "mbsinit", "mbsrtowcs", "mbstowcs", "mbtowc", "memalign", "memchr", "memcmp", "memcpy", "memmem", "memmove", "memset",
    "mkdir", "mktime", "mmap", "modf", "modff", "modfl", "munmap", "nan", "nanf", "nanl", "nanosleep", "nearbyint", "nearbyintf", "nearbyintl", "nextafter",
    "nextafterf", "nextafterl", "nexttoward", "nexttowardf", "nexttowardl", "nice", "offsetof", "open", "pause", "perror", "pipe", "poll", "popen",
    "posix_memalign", "pow", "pow10", "powf", "powl", "printf", "putc", "putchar", "putenv", "puts", "putwc", "putwchar", "qsort", "quick_exit", "raise",
    "rand", "random", "read", "readlink", "realloc", "reallocarray", "recv", "remainder", "remainderf", "remainderl", "remove", "remquo", "remquof",
    "remquol", "rename", "rewind", "rindex", "rint", "rintf", "rintl", "rmdir", "round", "roundf", "roundl", "sbrk", "scalb", "scalbln", "scalblnf",
    "scalblnl", "scalbn", "scalbnf", "scalbnl", "scanf", "select", "send", "setbuf", "setenv", "setjmp", "setlocale", "setvbuf", "sigaction", "signal",
    "signbit", "significand", "sin", "sincos", "sinf", "sinh", "sinhf", "sinhl", "sinl", "sleep", "snprintf", "socket", "sprintf", "sqrt", "sqrtf", "sqrtl",
    "srand", "srandom", "sscanf", "stat", "stderr", "stdin", "stdout", "stpcpy", "strcasecmp", "strcat", "strchr", "strcmp", "strcoll", "strcpy", "strcspn",
    "strdup", "strerror", "strftime", "strlen", "strncat", "strncmp", "strncpy", "strndup", "strnlen", "strpbrk", "strrchr", "strsep", "strspn", "strstr",
    "strtod", "strtof", "strtoimax", "strtok", "strtol", "strtold", "strtoll", "strtoul", "strtoull", "strtoumax", "strxfrm", "swab", "swprintf", "swscanf",
    "symlink", "sync", "syscall", "sysconf", "system", "tan", "tanf", "tanh", "tanhf", "tanhl", "tanl", "tgamma", "tgammaf", "tgammal", "time", "times",
    "tmpfile", "tmpnam", "tolower", "toupper", "towctrans", "towlower", "towupper", "trunc", "truncate", "truncf", "truncl", "umask", "ungetc", "ungetwc",
    "unlink", "unsetenv", "usleep", "utime", "va_arg", "va_copy", "va_end", "va_start", "vfork", "vfprintf", "vfscanf", "vfwprintf", "vfwscanf", "vprintf",
    "vscanf", "vsnprintf", "vsprintf", "vsscanf", "vswprintf", "vswscanf", "vwprintf", "vwscanf", "wait", "waitpid", "wcrtomb", "wcscat", "wcschr", "wcscmp",
    "wcscoll", "wcscpy", "wcscspn", "wcsftime", "wcslen", "wcsncat", "wcsncmp", "wcsncpy", "wcspbrk", "wcsrchr", "wcsrtombs", "wcsspn", "wcsstr", "wcstod",
    "wcstof", "wcstoimax", "wcstok", "wcstol", "wcstold", "wcstoll", "wcstombs", "wcstoul", "wcstoull", "wcstoumax", "wcsxfrm", "wctob", "wctomb",
    "wctrans", "wctype", "wmemchr", "wmemcmp", "wmemcpy", "wmemmove", "wmemset", "wprintf", "write", "wscanf", "y0", "y1", "yn", "accept", "stpncpy", "fmemopen",
    "getline", "getdelim", "dprintf", "dlopen", "dlsym", "dlclose", "dlerror", "fchmod", "fchown", "fstat", "lstat", "mkstemp", "mktemp", "optarg", "optind",
    "opterr", "optopt", "pread", "pwrite", "readv", "writev", "shutdown", "isascii", "toascii", "ecvt", "fcvt", "gcvt", "lfind", "lsearch", "hsearch",
    "insque", "remque", "tsearch", "tfind", "twalk", "tdelete", "strsignal", "psignal", "sigsetjmp", "siglongjmp", "timer_create", "unix", "linux", "NULL",
    "EOF", "INFINITY", "NAN", "HUGE_VAL", "FILE", "imaxabs", "secure_getenv", "getrandom", "arc4random", "call_once", "mtx_lock", "thrd_create", "sem_wait"};

const char *reservedInC(const std::string &name) {
  if (keywords.count(name)) return "a C or C++ keyword";
  if (name == "main") return "the program's entry";
  if (name.starts_with("_")) return "reserved to C since it begins with `_`";
  if (name.starts_with("fovea_") || name.starts_with("halide_")) return "reserved by its prefix";
  if (library.count(name)) return "a name of the C library";
  return nullptr;
}

}  // namespace fovea
