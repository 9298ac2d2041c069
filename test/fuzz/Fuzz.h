// What the fuzz targets share: mutations of a corpus, with words of a dictionary, until the time is over.
#ifndef FOVEA_TEST_FUZZ_FUZZ_H
#define FOVEA_TEST_FUZZ_FUZZ_H

#include <string>

namespace fovea {

// Takes any bytes; gives whether they were right, and what is wrong with us in `fault`. A fault, a crash and 60 seconds for one text
// are failures.
using FuzzCheck = bool (*)(const std::string &text, std::string &fault);

//   NAME SEED SECONDS LAST DICTIONARY FILE...    mutations of the files; LAST is where the text being checked lies, for after a
//                                                crash, and LAST.slow the slowest beyond one second
//   NAME --check FILE                            one text
int fuzz(int argc, char **argv, FuzzCheck check);

}  // namespace fovea

#endif  // FOVEA_TEST_FUZZ_FUZZ_H
