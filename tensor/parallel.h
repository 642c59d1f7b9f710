// parallel_for: the only way that computations use more than one core (worker.h is for stages that
// run beside each other).
#pragma once

#include <cstdint>
#include <functional>

namespace cairn {

/// Calls body(begin, end) once for each chunk of at most `grain` consecutive items of [0, n).
/// Chunks depend on n and grain alone, never on the number of threads, so a sum made per chunk
/// and added in chunk order has the same bits on every machine. Blocks until all are done; the
/// first exception thrown by a chunk is rethrown. Inside a loop that runs in parallel,
/// parallel_for runs serially.
void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

/// Threads used by parallel_for, the caller included. Default: the environment variable
/// CAIRN_THREADS, else the cores this process may run on.
int num_threads();
void set_num_threads(int count);

/// Number of chunks that parallel_for makes of n items.
inline int64_t num_chunks(int64_t n, int64_t grain) { return (n + grain - 1) / grain; }

}  // namespace cairn
