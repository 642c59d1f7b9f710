#include "tensor/upload.h"

#include <cstring>

namespace cairn {

void Uploader::operator()(std::span<Tensor* const> tensors) {
  if (device_ == Device::cpu) return;
  constexpr int64_t unit = 256;
  const auto padded = [](int64_t bytes) { return (bytes + unit - 1) / unit * unit; };
  int64_t bytes = 0;
  for (const Tensor* t : tensors) bytes += padded(t->nbytes());

  Place& place = places_[turn_];
  turn_ = 1 - turn_;
  cuda::host_waits(place.copied);  // its pinned memory is about to change
  const cuda::Mark now = cuda::mark_work();
  if (place.capacity < bytes) {
    const int64_t capacity = bytes + bytes / 2;  // batches may grow, and pinning is slow
    place = {};
    void* const pinned = cuda::pinned_allocate(capacity);
    require(pinned != nullptr, ErrorId::memory, "upload", "no pinned memory for ", capacity,
            " bytes");
    place.pinned = {pinned, cuda::pinned_free};
    place.device = {allocate(Device::cuda, capacity), [](void* b) { release(Device::cuda, b); }};
    place.capacity = capacity;
    cuda::copies_wait(now);  // work that still uses the block for something else
  } else {
    cuda::copies_wait(last_upload_);
  }
  last_upload_ = now;
  int64_t at = 0;
  for (Tensor* t : tensors) {
    if (t->nbytes())
      std::memcpy(static_cast<char*>(place.pinned.get()) + at, t->raw(), size_t(t->nbytes()));
    *t = Tensor::within(place.device, at, t->shape(), t->dtype(), Device::cuda);
    at += padded(t->nbytes());
  }
  if (bytes) cuda::copy_beside(place.device.get(), place.pinned.get(), bytes);
  place.copied = cuda::mark_copies();
  cuda::work_waits(place.copied);
}

}  // namespace cairn
