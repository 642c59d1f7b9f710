// The search by 8-bit codes, for machines that multiply and add bytes four at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/kernels/nearest/short_list.h"

namespace cairn::kernels {

/// Whether this machine, under the SIMD target in use, searches rows of c floats by codes.
bool can_search_by_codes(int64_t c);

/// Offers rows of the database (n x c) to the short lists of all queries (q x c), as a scan of
/// every float score would: a score is computed in float wherever its code leaves open whether it
/// passes the list's threshold. Returns how many rows it went through: it stops, after a slab, when
/// codes leave too much open to be faster. `squares`: |row|^2 of the queries and of the database.
int64_t search_by_codes(const float* queries, int64_t q, const float* database, int64_t n,
                        int64_t c, const std::vector<float>& query_squares,
                        const std::vector<float>& squares, std::vector<ShortList<float>>& lists);

}  // namespace cairn::kernels
