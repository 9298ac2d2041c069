/* Parallel loops. One pool a copy of the runtime, started by the first loop that wants it; one loop at a time has it, and a
 * loop that finds it taken runs on its caller alone. An idle worker spins for a moment, then sleeps.
 *
 * A worker joins a loop by counting itself into pool.state while the loop is open; the caller closes the loop and waits for
 * the count to fall to 0, so that no worker sees a loop's fields change. */
#define _GNU_SOURCE
#include "runtime/kernel/internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define PUBLIC __attribute__((weak, visibility("default")))

enum {
  MOST_THREADS = 1024,
  SPIN_CYCLES = 250000,           /* about 100 us: longer than what lies between two loops of a model that are worth sharing */
  STACK_BYTES = 8 << 20,
  CPU_WORDS = MOST_THREADS / sizeof(unsigned long), CPU_BITS = 8 * sizeof(unsigned long),  /* room for 8192 CPUs */
  OPEN = 1 << 30, WAITING = 1 << 29, PARTICIPANTS = (1 << 29) - 1
};

static struct {
  atomic_int busy;                /* a loop has the pool */
  _Alignas(64) atomic_int epoch;  /* counts loops: a worker that sees it change tries to join */
  atomic_int sleepers;
  atomic_int leave;
  _Alignas(64) atomic_int state;  /* OPEN, WAITING (the caller sleeps), number of workers inside */
  atomic_int most;                /* workers that may join */
  _Alignas(64) atomic_llong next; /* first index that nobody has */
  /* The loop; constant while it is open. */
  void (*body)(int64_t, void *);
  void *context;
  int64_t count;
  int32_t threads;
  int64_t fewest;                 /* indices that a thread takes at once */
  atomic_llong wanted;            /* bytes that one body could not get; 0: none failed */
  /* The workers; changed only by who holds `busy`. */
  int workers;
  atomic_int ready;
  pthread_t handles[MOST_THREADS];
  unsigned long allowed[CPU_WORDS];  /* the CPUs that they may run on: those of the thread that started them */
  int several;                    /* there is more than one */
  int kept_off;                   /* the CPU that they were last kept off, or -1 */
  _Atomic(atomic_int *) owner;    /* the process that started them; 0 in its children, if `wiped`; NULL: none were started */
  int wiped;
} pool;

static int64_t cycles(void) {
#if defined(__x86_64__)
  return (int64_t)__rdtsc();
#else
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 2500000000 + now.tv_nsec * 5 / 2;
#endif
}

static void pause_briefly(void) {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

static void sleep_while(atomic_int *word, int value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void wake(atomic_int *word, int count) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0); }

/* The number of threads. */

/* The CPUs that the calling thread may run on; how many. */
static int count_cpus(unsigned long mask[CPU_WORDS]) {
  memset(mask, 0, CPU_WORDS * sizeof *mask);
  if (syscall(SYS_sched_getaffinity, 0, CPU_WORDS * sizeof *mask, mask) < 0)
    return 0;
  int n = 0;
  for (int k = 0; k < CPU_WORDS; ++k)
    for (unsigned long left = mask[k]; left; left &= left - 1)
      ++n;
  return n;
}

static int default_threads(void) {
  const char *text = getenv("FOVEA_THREADS");
  if (text && *text) {
    char *end;
    long n = strtol(text, &end, 10);
    if (!*end && n > 0)
      return n < MOST_THREADS ? (int)n : MOST_THREADS;
  }
  unsigned long mask[CPU_WORDS];
  int n = count_cpus(mask);
  return n < 1 ? 1 : n < MOST_THREADS ? n : MOST_THREADS;
}

PUBLIC int fovea_set_threads(int n) {
  static atomic_int threads;   /* 0: not known yet */
  if (n > 0)
    atomic_store(&threads, n < MOST_THREADS ? n : MOST_THREADS);
  else if (n == 0 || !atomic_load_explicit(&threads, memory_order_relaxed))
    atomic_store(&threads, default_threads());
  return atomic_load_explicit(&threads, memory_order_relaxed);
}

/* Out of memory. */

void fovea_escape(int64_t wanted) {
  struct fovea_thread *thread = &fovea_this_thread;
  if (!thread->escape)
    return;
  thread->wanted = wanted > 0 ? wanted : INT64_MAX;
  longjmp(*thread->escape, 1);
}

/* What an index of each loop took the last time. Loops of less work than it costs to share them stay with their caller; how long an index takes
 * depends on extents and caches, so it is measured. A loop has a slot by its body; two that share one guess wrong, which costs time alone. */

enum { LOOPS = 1024, SMALL_LOOP = 4000 /* cycles, about 1.5 us */, SMALL_PIECE = 1000, UNITS = 16 };

static struct {
  _Atomic(void (*)(int64_t, void *)) body;
  atomic_llong cycles;            /* of UNITS indices; 0: not known */
} costs[LOOPS];

static atomic_llong *cost_of(void (*body)(int64_t, void *)) {
  size_t slot = (size_t)((uint64_t)(uintptr_t)body * 0x9E3779B97F4A7C15u >> 54);
  if (atomic_load_explicit(&costs[slot].body, memory_order_relaxed) != body) {
    atomic_store_explicit(&costs[slot].body, body, memory_order_relaxed);
    atomic_store_explicit(&costs[slot].cycles, 0, memory_order_relaxed);
  }
  return &costs[slot].cycles;
}

static void note_cost(atomic_llong *cost, int64_t elapsed, int64_t indices) {
  if (indices > 0)
    atomic_store_explicit(cost, UNITS * elapsed / indices + 1, memory_order_relaxed);
}

/* Running a loop. */

static void run_index(void (*body)(int64_t, void *), void *context, int64_t index) {
  int64_t mark = fovea_arena_mark();
  body(index, context);
  fovea_arena_release(mark);
}

/* Takes indices until none are left: many at first, one at a time at the end, but never so few that to take them costs as much as they do.
 * Returns how many. */
static int64_t take_indices(void) {
  int64_t count = pool.count, share = 4 * (int64_t)pool.threads, fewest = pool.fewest, mine = 0;
  int64_t begin = atomic_load_explicit(&pool.next, memory_order_relaxed);
  while (begin < count) {
    int64_t taken = (count - begin) / share;
    int64_t end = begin + (taken > fewest ? taken : fewest);
    if (end > count)
      end = count;
    if (!atomic_compare_exchange_weak_explicit(&pool.next, &begin, end, memory_order_relaxed, memory_order_relaxed))
      continue;
    for (int64_t index = begin; index < end; ++index) {
      run_index(pool.body, pool.context, index);
      if (atomic_load_explicit(&pool.wanted, memory_order_relaxed))
        return mine;
    }
    mine += end - begin;
    begin = atomic_load_explicit(&pool.next, memory_order_relaxed);
  }
  return mine;
}

/* Takes part in the open loop. A body that runs out of memory ends here, and no more indices are handed out.
 * Returns how many indices it had; 0 after such an end. */
static int64_t take_part(void) {
  struct fovea_thread *const thread = &fovea_this_thread;
  jmp_buf escape, *const outer = thread->escape;
  const int64_t mark = fovea_arena_mark();
  volatile int64_t taken = 0;
  thread->inside = 1;
  thread->escape = &escape;
  if (_setjmp(escape) == 0) {
    taken = take_indices();
  } else {
    long long none = 0;
    atomic_compare_exchange_strong(&pool.wanted, &none, thread->wanted);
    atomic_store(&pool.next, pool.count);
    fovea_arena_release(mark);
  }
  thread->escape = outer;
  thread->inside = 0;
  return taken;
}

static void wait_for_epoch(int seen) {
  for (int64_t start = cycles(); cycles() - start < SPIN_CYCLES; pause_briefly())
    if (atomic_load_explicit(&pool.epoch, memory_order_acquire) != seen)
      return;
  atomic_fetch_add(&pool.sleepers, 1);
  while (atomic_load(&pool.epoch) == seen)
    sleep_while(&pool.epoch, seen);
  atomic_fetch_sub(&pool.sleepers, 1);
}

static int join(void) {
  int state = atomic_load_explicit(&pool.state, memory_order_relaxed);
  while (state & OPEN && (state & PARTICIPANTS) < atomic_load_explicit(&pool.most, memory_order_relaxed))
    if (atomic_compare_exchange_weak_explicit(&pool.state, &state, state + 1, memory_order_acquire, memory_order_relaxed))
      return 1;
  return 0;
}

static void *work(void *seen_at_start) {
  int seen = (int)(intptr_t)seen_at_start;
#if defined(__x86_64__)
  _mm_setcsr(0x1F80);             /* IEEE, whatever the caller of the first loop had */
#endif
  fovea_this_thread.inside = 0;   /* touches this thread's variables now, not while a library is being unloaded */
  atomic_fetch_add(&pool.ready, 1);
  wake(&pool.ready, INT_MAX);
  for (;;) {
    wait_for_epoch(seen);
    seen = atomic_load(&pool.epoch);
    if (atomic_load(&pool.leave))
      return NULL;
    if (!join())
      continue;
    take_part();
    if (atomic_fetch_sub_explicit(&pool.state, 1, memory_order_release) - 1 == WAITING)
      wake(&pool.state, 1);
  }
}

/* After a fork the child has one thread alone: the workers are not its own, and a loop that was running will never end. A page
 * that the system empties at a fork tells, at the price of a load; pthread_atfork would need a start file of the linker's. */

static void forget_workers(void) {
  pool.workers = 0;
  atomic_store(&pool.ready, 0);
  atomic_store(&pool.sleepers, 0);
  atomic_store(&pool.state, 0);
  atomic_store(&pool.busy, 0);
}

static void note_owner(void) {
  if (atomic_load(&pool.owner))
    return;
  static atomic_int here;
  atomic_int *owner = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (owner == MAP_FAILED)
    owner = &here;
  pool.wiped = owner != &here && madvise(owner, 4096, MADV_WIPEONFORK) == 0;
  atomic_store(owner, getpid());
  atomic_store_explicit(&pool.owner, owner, memory_order_release);
}

/* Makes the pool this process's. False while another thread does just that. */
static int own_pool(void) {
  atomic_int *owner = atomic_load_explicit(&pool.owner, memory_order_acquire);
  if (!owner)
    return 1;
  int process = atomic_load_explicit(owner, memory_order_acquire);
  if (process > 0 && (pool.wiped || process == getpid()))
    return 1;
  if (process < 0 || !atomic_compare_exchange_strong(owner, &process, -1))
    return 0;
  forget_workers();
  atomic_store_explicit(owner, getpid(), memory_order_release);
  return 1;
}

static void start_workers(int wanted) {
  note_owner();
  pool.several = count_cpus(pool.allowed) > 1;
  pool.kept_off = -1;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);   /* signals are the program's own threads' */
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  void *seen = (void *)(intptr_t)atomic_load(&pool.epoch);
  while (pool.workers < wanted && pthread_create(&pool.handles[pool.workers], &attributes, work, seen) == 0)
    ++pool.workers;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  for (int ready; (ready = atomic_load(&pool.ready)) < pool.workers;)
    sleep_while(&pool.ready, ready);
}

/* Where idle virtual processors count as taken, as on KVM, a system wakes a thread on the CPU of the thread that wakes it, to which it then is of no
 * use: workers that sleep are kept off that CPU. */
static void keep_workers_off_this_cpu(void) {
  const int cpu = sched_getcpu();
  if (cpu < 0 || cpu >= CPU_WORDS * (int)CPU_BITS || cpu == pool.kept_off || !pool.several)
    return;
  unsigned long mask[CPU_WORDS];
  memcpy(mask, pool.allowed, sizeof mask);
  mask[cpu / CPU_BITS] &= ~(1ul << cpu % CPU_BITS);
  for (int k = 0; k < pool.workers; ++k)
    pthread_setaffinity_np(pool.handles[k], sizeof mask, (const cpu_set_t *)mask);  /* where it may not be set, all is as before */
  pool.kept_off = cpu;
}

/* At the program's end, and when the library that holds this copy is unloaded. */
__attribute__((destructor)) static void stop_workers(void) {
  own_pool();
  atomic_store(&pool.leave, 1);
  atomic_fetch_add(&pool.epoch, 1);
  wake(&pool.epoch, INT_MAX);
  for (int k = 0; k < pool.workers; ++k)
    pthread_join(pool.handles[k], NULL);
  pool.workers = 0;
  fovea_arena_forget_threads();
}

static void wait_for_participants(void) {
  int state = atomic_fetch_and(&pool.state, ~OPEN) & ~OPEN;
  for (int64_t start = cycles(); state & PARTICIPANTS && cycles() - start < SPIN_CYCLES; pause_briefly())
    state = atomic_load_explicit(&pool.state, memory_order_acquire);
  if (state & PARTICIPANTS) {
    state = atomic_fetch_or(&pool.state, WAITING) | WAITING;
    while (state & PARTICIPANTS) {
      sleep_while(&pool.state, state);
      state = atomic_load_explicit(&pool.state, memory_order_acquire);
    }
  }
  atomic_store(&pool.state, 0);
}

static void run_alone(void (*body)(int64_t, void *), void *context, int64_t first, int64_t count) {
  for (int64_t index = first; index < count; ++index)
    run_index(body, context, index);
}

/* Runs a loop that was small the last time, as long as it is. Returns how many indices are done. */
static int64_t run_while_small(void (*body)(int64_t, void *), void *context, int64_t count, atomic_llong *cost) {
  const int64_t start = cycles();
  int64_t done = 0, elapsed = 0;
  while (done < count && elapsed < 4 * SMALL_LOOP) {
    run_index(body, context, done++);
    elapsed = cycles() - start;
  }
  note_cost(cost, elapsed, done);
  return done;
}

static void run_with_pool(void (*body)(int64_t, void *), void *context, int64_t first, int64_t count, int threads, atomic_llong *cost) {
  int helpers = count - first < threads ? (int)(count - first - 1) : threads - 1;
  if (pool.workers < helpers)
    start_workers(threads - 1);
  pool.body = body;
  pool.context = context;
  pool.count = count;
  pool.threads = threads;
  const int64_t each = atomic_load_explicit(cost, memory_order_relaxed);
  pool.fewest = each ? UNITS * SMALL_PIECE / each + 1 : 1;
  atomic_store_explicit(&pool.wanted, 0, memory_order_relaxed);
  atomic_store_explicit(&pool.next, first, memory_order_relaxed);
  atomic_store_explicit(&pool.most, helpers, memory_order_relaxed);
  atomic_store_explicit(&pool.state, OPEN, memory_order_release);
  if (atomic_load(&pool.sleepers))
    keep_workers_off_this_cpu();
  atomic_fetch_add(&pool.epoch, 1);
  if (atomic_load(&pool.sleepers))
    wake(&pool.epoch, helpers);
  const int64_t start = cycles(), mine = take_part();
  note_cost(cost, cycles() - start, mine);
  wait_for_participants();
}

void fovea_parallel_for(void (*body)(int64_t, void *), void *context, int64_t count) {
  if (count <= 0)
    return;
  int threads = count > 1 && !fovea_this_thread.inside ? fovea_set_threads(-1) : 1;
  if (threads <= 1) {
    run_alone(body, context, 0, count);
    return;
  }
  atomic_llong *const cost = cost_of(body);
  const int64_t known = atomic_load_explicit(cost, memory_order_relaxed);
  const int64_t first = known && known < UNITS * SMALL_LOOP / count ? run_while_small(body, context, count, cost) : 0;
  if (first == count)
    return;
  int no = 0;
  if (atomic_load_explicit(&pool.leave, memory_order_relaxed) || !own_pool() || !atomic_compare_exchange_strong(&pool.busy, &no, 1)) {
    run_alone(body, context, first, count);
    return;
  }
  run_with_pool(body, context, first, count, threads, cost);
  int64_t wanted = atomic_load(&pool.wanted);
  atomic_store_explicit(&pool.busy, 0, memory_order_release);
  if (wanted)
    fovea_escape(wanted);
}
