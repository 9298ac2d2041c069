// Object code of leaves, and device code of nests, made by fovea-leaf in parallel processes and kept between compilations.
#ifndef FOVEA_LOWERING_HOST_LEAFCACHE_H
#define FOVEA_LOWERING_HOST_LEAFCACHE_H

#include <memory>
#include <string>
#include <vector>

namespace fovea {

// A cache under $FOVEA_CACHE, $XDG_CACHE_HOME/fovea or ~/.cache/fovea; where none of these can be written, under a folder that
// goes with this object. An entry is found by its spec and by fovea-leaf's contents. It carries a checksum and its spec: a
// damaged one is made anew. Any number of compilers may share the folder.
class LeafCache {
public:
  // `leafProgram`: fovea-leaf, which reads a spec (JSON) on standard input and is run as `fovea-leaf -o OUT`, for a form other than an object with
  // `--emit=FORM` before it.
  explicit LeafCache(const std::string &leafProgram, const std::string &form = "obj");
  ~LeafCache();
  LeafCache(const LeafCache &) = delete;
  LeafCache &operator=(const LeafCache &) = delete;

  // An object file for each spec, in order; equal specs share one. Empty, with `error` set, when one fails. The files are this
  // cache's: read them while it lives, do not change them.
  std::vector<std::string> objects(const std::vector<std::string> &specs, std::string &error);

  // The same for a form that is text: what was written for each spec.
  std::vector<std::string> texts(const std::vector<std::string> &specs, std::string &error);

  // Of the last call of either.
  struct Counts {
    int found = 0, compiled = 0;
    int workers = 0;              // processes at a time
    std::vector<double> seconds;  // of each process that compiled one
  } counts;

private:
  struct State;
  std::unique_ptr<State> state;
};

}  // namespace fovea

#endif  // FOVEA_LOWERING_HOST_LEAFCACHE_H
