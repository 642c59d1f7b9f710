#!/bin/sh
# The mutation gate: who tests the tests? Bugs are planted one at a time in a copy of the tree
# (build/mutate), the copy is rebuilt, and the tests must turn red. Fails when a bug survives, when
# its text is no longer found in the source, or when the copy does not compile.
#   tests/mutate.sh          all of them
#   tests/mutate.sh crop     those whose name has "crop" in it
set -eu
cd "$(dirname "$0")/.."
place=$PWD/build/mutate
only=${1-}
jobs=$(nproc 2>/dev/null || echo 4)
# The tests that are run.
floors='^((tensor|autograd|nn)/|cuda/(kernels|conv2d|nearest|optimizer|ops))'
programs='test_tensor test_autograd test_nn test_cuda'

# bug NAME FILE OLD NEW: OLD must be in FILE exactly once; white space may be laid out otherwise.
each_bug() {
  "$1" 'dilation dropped' tensor/kernels/conv2d/prepared.cpp \
    'windows.tap[0].push_back(k * g.dilation[0] - g.padding[0])' \
    'windows.tap[0].push_back(k - g.padding[0])'
  "$1" 'wrong coefficient in a transform' tensor/kernels/conv2d/winograd_transforms.cpp \
    'y[2] = hn::MulAdd(hn::Set(d, 4), even2, even1);' \
    'y[2] = hn::MulAdd(hn::Set(d, 2), even2, even1);'
  "$1" 'a strip forgets a row' nn/plan.cpp \
    'row = std::min(row, seen_rows(i, at, rows_of(i))[0]);' \
    'row = std::min(row, seen_rows(i, at, rows_of(i))[0] + 1);'
  "$1" 'variance term dropped in batch norm' tensor/kernels/batch_norm/cpu.cpp \
    'k2[size_t(j)] = T(dgamma * inv / double(e.m));' \
    ';'
  "$1" 'mean instead of sum' autograd/ops/sum.cpp \
    'return apply(Sum{axes, keep}, {x});' \
    'const Var y = apply(Sum{axes, keep}, {x});
     return scale(y, double(y.value().numel()) / double(std::max<int64_t>(1, x.value().numel())));'
  "$1" 'transposed weight' nn/safetensors.cpp \
    'kernels::permute(t, {0, 2, 3, 1})' \
    'kernels::permute(t, {0, 3, 2, 1})'
  "$1" 'gradient not accumulated' autograd/engine.cpp \
    'info->grad = info->grad.defined() ? kernels::add(info->grad, grad) : grad;' \
    'info->grad = grad;'
  "$1" 'crop off by one' tensor/kernels/layout/cpu.cpp \
    'from + (image * x.dim(1) + row) * from_row, size_t(common));' \
    'from + (image * x.dim(1) + row) * from_row + (to_row < from_row ? pixel : 0), size_t(common));'
  "$1" 'missing barrier' tensor/parallel.cpp \
    'done_.wait(lock, [this] { return busy_ == 0; });' \
    ';'
  "$1" 'height and width swapped' autograd/ops/conv_transpose2d.cpp \
    '{x.dim(0), extent(0), extent(1), w.dim(3)}' \
    '{x.dim(0), extent(1), extent(0), w.dim(3)}'
  "$1" 'NaN in the output' tensor/kernels/l2_normalize/cpu.cpp \
    'const T scale = r == 0 ? T(0) : 1 / (r + eps);' \
    'const T scale = r == 0 ? T(NAN) : 1 / (r + eps);'
  "$1" 'wrong factor of the running variance' autograd/ops/batch_norm.cpp \
    'const double unbiased = double(count) / double(std::max<int64_t>(1, count - 1));' \
    'const double unbiased = 1;'
  "$1" 'codes: what they leave out is not allowed for' tensor/kernels/nearest/codes.cpp \
    'const float margin = 1.001f * bound + lists[i].margin;' \
    'const float margin = 0 * bound + lists[i].margin;'
  "$1" 'cuda: missing barrier' tensor/kernels/gemm/tile.cuh \
    '__syncthreads(); for (int along = 0;' \
    'for (int along = 0;'
  "$1" 'cuda: variance term dropped' tensor/kernels/batch_norm/cuda.cu \
    'factors[2 * g.c + j] = batch_statistics ? C(q * inv / double(g.m)) : C(0);' \
    'factors[2 * g.c + j] = C(0);'
  "$1" 'cuda: second candidate forgotten' tensor/kernels/nearest/cuda.cu \
    'for (int k = 0; k < 2; ++k)' \
    'for (int k = 0; k < 1; ++k)'
  "$1" 'cuda: repeated rows not added' tensor/kernels/rows/scatter.cuh \
    'int left = count[r] - 1;' \
    'int left = 0;'
  "$1" 'cuda: second step taken for the first' tensor/kernels/optimizer/cuda.cu \
    'table.first_step[i] = item.step == 1;' \
    'table.first_step[i] = item.step <= 2;'
}

fail() {
  echo "mutate: $*" >&2
  exit 1
}

# Writes FILE with OLD replaced by NEW to standard output.
replace() {
  OLD=$2 NEW=$3 awk '
    { text = text $0 "\n" }
    END {
      old = ENVIRON["OLD"]
      for (i = 1; i <= length(old); ++i) {
        c = substr(old, i, 1)
        if (c ~ /[ \t\n]/) c = "[ \t\n]+"
        else if (c !~ /[A-Za-z0-9_]/) c = c == "^" ? "\\^" : c == "\\" ? "\\\\" : "[" c "]"
        pattern = pattern c
      }
      if (!match(text, pattern)) exit 3
      rest = substr(text, RSTART + RLENGTH)
      printf "%s%s%s", substr(text, 1, RSTART - 1), ENVIRON["NEW"], rest
      if (match(rest, pattern)) exit 3
    }' "$1"
}

build() {
  # shellcheck disable=SC2086
  cmake --build "$place/build" --parallel "$jobs" --target $programs >"$place/build.log" 2>&1
}

# The tests that fail, one per line. A missing barrier may also hang.
failing() {
  ctest --test-dir "$place/build" -R "$floors" --parallel "$jobs" --timeout 120 --no-tests=error \
    >"$place/tests.log" 2>&1 && return
  names=$(sed -n 's/^.*[0-9] - \([a-z0-9_]*\/[a-z0-9_]*\) (.*/\1/p' "$place/tests.log")
  echo "${names:-ctest itself: see build/mutate/tests.log}"
}

chosen() { case $1 in *"$only"*) ;; *) return 1 ;; esac }

check() {
  replace "$2" "$3" "$4" >/dev/null || fail "'$1': the text to change is not once in $2: $3"
  touch "$place/tree/$2"  # an interrupted run may have left an object file with a bug
  if chosen "$1"; then total=$((total + 1)); fi
}

plant() {
  chosen "$1" || return 0
  replace "$2" "$3" "$4" >"$place/tree/$2"
  if ! build; then
    verdict="does not compile: see build/mutate/build.log"
  elif found=$(failing); [ -z "$found" ]; then
    verdict="SURVIVED"
  else
    verdict=$(echo "$found" | tr '\n' ' ')
    caught=$((caught + 1))
  fi
  printf '%-38s %s\n' "$1" "$verdict"
  cat "$2" >"$place/tree/$2"
}

# Modification times are kept, so that a second run builds little.
rm -rf "$place/tree"
mkdir -p "$place/tree"
tar --exclude='./build*' --exclude=./.git -cf - . | tar -xf - -C "$place/tree"
total=0 caught=0
each_bug check
[ "$total" -gt 0 ] || fail "no bug has '$only' in its name"
generator=
if command -v ninja >/dev/null && [ ! -e "$place/build/CMakeCache.txt" ]; then
  generator='-G Ninja'
fi
# shellcheck disable=SC2086
{ cmake -S "$place/tree" -B "$place/build" -DCAIRN_CUDA=OFF $generator >"$place/build.log" 2>&1 && build; } ||
  fail "the copy does not build as it is: see build/mutate/build.log"
found=$(failing)
[ -z "$found" ] || fail "without a bug these tests fail already: $found"

printf '%-38s %s\n' 'bug planted' 'tests that turn red'
each_bug plant
echo "$caught of $total caught"
[ "$caught" -eq "$total" ]
