# The CUDA side of the tensor library, which is one of three sets of objects: the real one, a stub
# that says "built without CUDA", or, for the tests, the same kernels run on the CPU.
#
# CAIRN_CUDA is AUTO, ON or OFF; afterwards cuda_enabled is the decision and cuda_reason says why.
find_program(CAIRN_NVCC nvcc HINTS ENV CUDA_HOME PATH_SUFFIXES bin PATHS /usr/local/cuda/bin /opt/cuda/bin)
if(CAIRN_NVCC)
  get_filename_component(cuda_root ${CAIRN_NVCC} REALPATH)
  get_filename_component(cuda_root ${cuda_root}/../.. ABSOLUTE)
  execute_process(COMMAND ${CAIRN_NVCC} --version OUTPUT_VARIABLE nvcc_version)
  string(REGEX MATCH "release ([0-9.]+)" nvcc_version "${nvcc_version}")
  set(nvcc_version "${CMAKE_MATCH_1}")
endif()
find_path(CAIRN_CUDNN_INCLUDE cudnn_graph.h HINTS ${cuda_root}/include)

set(missing "")
if(NOT CAIRN_NVCC)
  set(missing "nvcc is not found")
elseif(nvcc_version VERSION_LESS 12.1)  # C++20, and kernel arguments of up to 32 KB
  set(missing "${CAIRN_NVCC} is of CUDA ${nvcc_version}, and 12.1 is needed")
elseif(NOT CAIRN_CUDNN_INCLUDE)
  set(missing "cuDNN's headers are not found")
elseif(CAIRN_SANITIZE)
  set(missing "this is a sanitizer's build")
endif()
set(cuda_enabled ${CAIRN_CUDA})
set(cuda_reason "CAIRN_CUDA=${CAIRN_CUDA}")
if(CAIRN_CUDA STREQUAL AUTO)
  set(cuda_enabled ON)
  set(cuda_reason "${CAIRN_NVCC} (${nvcc_version}) and cuDNN's headers in ${CAIRN_CUDNN_INCLUDE} are found")
  if(missing)
    set(cuda_enabled OFF)
    set(cuda_reason "${missing}")
  endif()
elseif(CAIRN_CUDA AND missing)
  message(FATAL_ERROR
    "CUDA is asked for, but ${missing}. Hint: set CUDA_HOME, or build without (make CUDA=0)")
endif()

if(cuda_enabled)
  # For the GPU that is here; else one architecture per generation, of those that nvcc knows, and
  # the last one's PTX for what comes later.
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
      OUTPUT_VARIABLE here OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(NOT failed AND here MATCHES "^[0-9]+\\.[0-9]")
      string(REGEX MATCHALL "[0-9]+\\.[0-9]" here "${here}")
      list(REMOVE_DUPLICATES here)
      string(REPLACE "." "" CMAKE_CUDA_ARCHITECTURES "${here}")
      set(arch_reason "the GPU that is here")
    else()
      execute_process(COMMAND ${CAIRN_NVCC} --list-gpu-arch OUTPUT_VARIABLE known)
      foreach(arch 75 80 90 100 120)
        if(known MATCHES "compute_${arch}\n")
          list(APPEND CMAKE_CUDA_ARCHITECTURES ${arch}-real)
        endif()
      endforeach()
      list(TRANSFORM CMAKE_CUDA_ARCHITECTURES REPLACE "-real" "" AT -1)
      set(arch_reason "no GPU is visible")
    endif()
    string(APPEND cuda_reason "; for ${CMAKE_CUDA_ARCHITECTURES} (${arch_reason})")
  endif()
  set(CMAKE_CUDA_COMPILER ${CAIRN_NVCC})
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # older CMakes do not know nvcc's flag
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  find_package(CUDAToolkit REQUIRED)
endif()
message(STATUS "CUDA: ${cuda_enabled} (${cuda_reason})")
file(WRITE ${PROJECT_BINARY_DIR}/cuda_decision "${cuda_enabled}: ${cuda_reason}\n")

set(dir ${PROJECT_SOURCE_DIR}/tensor/cuda)
set(cuda_common ${dir}/conv_plan.cpp ${dir}/library.cpp ${dir}/settings.cpp)
file(GLOB_RECURSE cuda_kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tensor/*.cu)

# cairn_cuda_objects: the real CUDA side, or the stub.
if(cuda_enabled)
  add_library(cairn_cuda_objects OBJECT ${cuda_common} ${cuda_kernels}
    ${dir}/runtime_cuda.cpp ${dir}/cudnn.cpp ${dir}/cublaslt.cpp)
  # -fmad=false: as on the CPU, a product and a sum round separately unless the code says fma.
  target_compile_options(cairn_cuda_objects PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr --extended-lambda -fmad=false
      -Xcompiler=-Wall,-Wextra>)
  if(CAIRN_WERROR)
    target_compile_options(cairn_cuda_objects PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Werror>)
  endif()
  string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
  target_compile_definitions(cairn_cuda_objects PRIVATE CAIRN_CUDA_ARCHITECTURES="${architectures}")
  target_include_directories(cairn_cuda_objects SYSTEM PRIVATE
    ${CAIRN_CUDNN_INCLUDE} ${CUDAToolkit_INCLUDE_DIRS})
else()
  add_library(cairn_cuda_objects OBJECT ${dir}/none.cpp ${dir}/settings.cpp)
endif()
target_include_directories(cairn_cuda_objects PRIVATE ${PROJECT_SOURCE_DIR})

# cairn_cuda_emulated_objects: each .cu goes through a .cpp that includes it.
if(CAIRN_TESTS)
  set(emulated ${cuda_common} ${dir}/runtime_emulated.cpp ${dir}/emulation.cpp)
  foreach(kernel ${cuda_kernels})
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${kernel})
    string(REPLACE "/" "_" name ${path})
    set(wrapper ${PROJECT_BINARY_DIR}/emulated/${name}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${path}\"\n")
    list(APPEND emulated ${wrapper})
  endforeach()
  add_library(cairn_cuda_emulated_objects OBJECT EXCLUDE_FROM_ALL ${emulated})
  target_include_directories(cairn_cuda_emulated_objects PRIVATE ${PROJECT_SOURCE_DIR})
  # The kernels' fma() is a function call without this: the tests take twice as long.
  file(READ /proc/cpuinfo cpu LIMIT 4096)
  if(cpu MATCHES "[ \t]fma[ \n]")
    set(fma -mfma)
  endif()
  target_compile_options(cairn_cuda_emulated_objects PRIVATE -Wno-unknown-pragmas ${fma})
endif()
