# gpuq_embed(OUT file.c ROOTS folder... FILES name...) writes a C file that holds the named files' bytes, each under its name
# (the part after its root) or, where the name is written NAME=FILE, under NAME. Done when CMake configures; a changed file
# configures again.
function(gpuq_embed)
  cmake_parse_arguments(PARSE_ARGV 0 embed "" "OUT" "ROOTS;FILES")
  set(arrays "")
  set(rows "")
  set(index 0)
  foreach(entry ${embed_FILES})
    string(REGEX REPLACE "=.*" "" name "${entry}")
    string(REGEX REPLACE ".*=" "" file "${entry}")
    unset(path)
    foreach(root ${embed_ROOTS})
      if(EXISTS ${root}/${file})
        set(path ${root}/${file})
      endif()
    endforeach()
    if(NOT path)
      message(FATAL_ERROR "gpuq_embed: ${file} is in none of ${embed_ROOTS}")
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
    string(APPEND arrays "static const unsigned char file${index}[] = {${bytes}0};\n")
    string(APPEND rows "    {\"${name}\", file${index}, sizeof file${index} - 1},\n")
    math(EXPR index "${index} + 1")
  endforeach()
  file(CONFIGURE OUTPUT ${embed_OUT} @ONLY CONTENT
"/* Made by tools/cmake/embed.cmake. */
#include \"build/embedded.h\"

@arrays@
const struct gq_embedded gq_embedded[] = {
@rows@};
const size_t gq_embedded_count = sizeof gq_embedded / sizeof *gq_embedded;
")
endfunction()
