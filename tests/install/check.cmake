# Installs the build tree BUILD into a folder of its own and, as another project would, finds the
# package there, builds against it with the compiler CXX, and runs the result.
set(place ${BUILD}/install_check)
file(REMOVE_RECURSE ${place})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGV}\n${said}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${place}/prefix)
# Moved: nothing in an installed package may remember where it was installed first.
file(RENAME ${place}/prefix ${place}/moved)
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/project -B ${place}/build
  -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${place}/moved)
run(${CMAKE_COMMAND} --build ${place}/build --parallel)
run(${place}/build/hello)
