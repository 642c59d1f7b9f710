// Which way a 3x3 convolution of stride 1 is computed on the CPU.
#pragma once

#include <cstdint>
#include <string_view>

namespace cairn::kernels {

enum class ConvAlgorithm {
  automatic,  ///< whichever the model of costs expects to be fastest
  direct,     ///< nine multiply-adds for each result and input channel
  winograd2,  ///< Winograd's F(2x2, 3x3): four
  winograd4,  ///< Winograd's F(4x4, 3x3): two and a quarter; rounding errors are a few times larger
  winograd_up,  ///< of a transposed 3x3 convolution of stride 2: 5.4 for each pixel, instead of
                ///< nine
};
std::string_view name(ConvAlgorithm algorithm);

/// What 3x3 convolutions of stride 1 use from now on (transposed ones of stride 2 use winograd_up
/// with winograd2 and winograd4); others are direct. Default: the environment variable CAIRN_CONV
/// (auto, direct, winograd2 or winograd4), else automatic. Throws ErrorId::argument for
/// winograd_up, and when the variable says something else.
void set_conv_algorithm(ConvAlgorithm algorithm);
ConvAlgorithm conv_algorithm();

/// The algorithm for one convolution, chosen by counting vector instructions.
struct ConvWork {
  int64_t batch, rows, columns;  ///< of the result
  int64_t inputs, outputs;       ///< channels
  int64_t lanes;                 ///< channels in a vector
};
ConvAlgorithm cheapest(const ConvWork& work);
/// The same for a transposed convolution of stride 2: direct or winograd_up.
ConvAlgorithm cheapest_up(const ConvWork& work);

}  // namespace cairn::kernels
