# How a test is declared. Every test has a label, a time limit, and the right to say "cannot run here" with exit code 77.
#
#   gpuq_add_test(NAME "unit: a promise" LABELS unit COMMAND program [arguments...]
#                 [TIMEOUT seconds] [ENVIRONMENT NAME=VALUE...] [NEEDS target...] [RUN_SERIAL] [UNSANITIZED])
#   gpuq_add_unit_test(NAME "unit: a promise" SOURCES file.c... [LABELS unit...] [TIMEOUT seconds] [TARGET name])
#
# Labels: unit scenario stress golden fuzz ring (run in every sanitizer variant that fits), fuzzing (in the variant fuzz),
# rules install nvrtc model bench variant (in the main build only). tests/variants/ refuses a test that has none of them.
#
# UNSANITIZED: no test of a build with a sanitizer. What it is about is not our code, or code that others run there, too.
#
# The target tests_of_LABEL builds what the tests of a label run: the targets named in COMMAND and ENVIRONMENT, and those of
# NEEDS, which a script finds by itself. A variant builds no more than that of the labels that it tests.

# All tests, and those of the variants, share a cache of compiled plugins in the build folder, which is nobody's own. A test that
# counts or breaks builds has GPUQ_CACHE=off, or a folder of its own, in its ENVIRONMENT.
set(GPUQ_TEST_CACHE ${PROJECT_BINARY_DIR}/tests/compiled CACHE PATH "What tests compile")

# --- what a label's tests run ------------------------------------------------------------------------------------------
function(gpuq_find_targets found)
  set(targets "")
  foreach(word IN LISTS ARGN)
    if(TARGET "${word}")
      list(APPEND targets ${word})
    elseif(word MATCHES "\\$<TARGET_FILE:([^>]+)>")
      list(APPEND targets ${CMAKE_MATCH_1})
    endif()
  endforeach()
  set(${found} ${targets} PARENT_SCOPE)
endfunction()

function(gpuq_note_targets)
  cmake_parse_arguments(PARSE_ARGV 0 note "" "" "LABELS;TARGETS")
  foreach(label IN LISTS note_LABELS)
    if(NOT TARGET tests_of_${label})
      add_custom_target(tests_of_${label} DEPENDS gpuq-worker) # every program of ours starts it
    endif()
    if(note_TARGETS)
      add_dependencies(tests_of_${label} ${note_TARGETS})
    endif()
  endforeach()
endfunction()

# --- tests -------------------------------------------------------------------------------------------------------------
function(gpuq_add_test)
  cmake_parse_arguments(PARSE_ARGV 0 test "RUN_SERIAL;UNSANITIZED" "NAME;TIMEOUT" "LABELS;COMMAND;ENVIRONMENT;NEEDS")
  if(NOT test_NAME OR NOT test_LABELS OR NOT test_COMMAND OR test_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "gpuq_add_test needs NAME, LABELS and COMMAND; not understood: ${test_UNPARSED_ARGUMENTS}")
  endif()
  if(test_UNSANITIZED AND GPUQ_SANITIZE)
    return()
  endif()
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 120)
  endif()
  if(GPUQ_SANITIZE) # which takes up to ten times as long
    math(EXPR test_TIMEOUT "2 * ${test_TIMEOUT}")
  endif()
  add_test(NAME "${test_NAME}" COMMAND ${test_COMMAND})
  # What may take long begins first, so that it does not run alone in the end; but variants take what this build has compiled.
  set(cost ${test_TIMEOUT})
  if("variant" IN_LIST test_LABELS)
    set(cost 0)
  endif()
  set_tests_properties("${test_NAME}" PROPERTIES LABELS "${test_LABELS}" TIMEOUT ${test_TIMEOUT} COST ${cost} SKIP_RETURN_CODE 77
    RUN_SERIAL ${test_RUN_SERIAL} ENVIRONMENT "GPUQ_CACHE=${GPUQ_TEST_CACHE};CK_DEFAULT_TIMEOUT=60;${test_ENVIRONMENT}")
  gpuq_find_targets(targets ${test_COMMAND} ${test_ENVIRONMENT})
  gpuq_note_targets(LABELS ${test_LABELS} TARGETS ${targets} ${test_NEEDS})
endfunction()

function(gpuq_add_unit_test)
  cmake_parse_arguments(PARSE_ARGV 0 unit "UNSANITIZED" "NAME;TIMEOUT;TARGET" "SOURCES;LABELS")
  if(unit_UNSANITIZED AND GPUQ_SANITIZE)
    return()
  endif()
  if(NOT unit_TARGET)
    list(GET unit_SOURCES 0 first)
    get_filename_component(unit_TARGET ${first} NAME_WE)
    set(unit_TARGET test_${unit_TARGET})
  endif()
  if(NOT unit_LABELS)
    set(unit_LABELS unit)
  endif()
  if(NOT unit_TIMEOUT)
    set(unit_TIMEOUT 120)
  endif()
  add_executable(${unit_TARGET} ${unit_SOURCES})
  target_link_libraries(${unit_TARGET} PRIVATE gpuqueue_all PkgConfig::CHECK)
  set_target_properties(${unit_TARGET} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  gpuq_add_test(NAME "${unit_NAME}" LABELS ${unit_LABELS} TIMEOUT ${unit_TIMEOUT} COMMAND ${unit_TARGET})
endfunction()
