// TensorBoard's event files: records of scalars under tags, in steps.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cairn::ucn {

/// The first record of a file: which version of the format it has. time: seconds since 1970.
std::string event_file_header(double time);
/// One record with all scalars of a step, as it stands in the file: the length, a masked CRC-32C of
/// it, an Event (tensorflow/core/util/event.proto) and a masked CRC-32C of that.
std::string event_record(double time, int64_t step,
                         const std::vector<std::pair<std::string, double>>& scalars);

}  // namespace cairn::ucn
