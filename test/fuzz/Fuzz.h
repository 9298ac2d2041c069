// What the fuzz targets share: mutations of a corpus, with words of a dictionary, until the time is over.
#ifndef FOVEA_TEST_FUZZ_FUZZ_H
#define FOVEA_TEST_FUZZ_FUZZ_H

#include <string>

namespace fovea {

// Lost: upstream's parser did not survive the text, which is not ours to mend; more than one text in a thousand is a failure.
enum class Verdict { Right, Wrong, Lost };

// Takes any bytes; gives what they were, and what is wrong with us in `fault`. A fault, a crash and 60 seconds for one text are failures.
using FuzzCheck = Verdict (*)(const std::string &text, std::string &fault);

//   NAME SEED SECONDS LAST DICTIONARY FILE...    mutations of the files; LAST is where the text being checked lies, for after a
//                                                crash, and LAST.slow the slowest beyond one second
//   NAME --check FILE                            one text
int fuzz(int argc, char **argv, FuzzCheck check);

}  // namespace fovea

#endif  // FOVEA_TEST_FUZZ_FUZZ_H
