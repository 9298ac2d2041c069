# SentencePiece from its source package, which `./dev setup` keeps in build/downloads: its own build, of the static library alone (target
# sentencepiece-static). Debian's package has none, and a program must run where no package is installed.
set(FOVEA_DOWNLOADS ${CMAKE_SOURCE_DIR}/build/downloads CACHE PATH "the folder with sentencepiece-VERSION.tar.gz")

file(GLOB archive ${FOVEA_DOWNLOADS}/sentencepiece-*.tar.gz)
list(LENGTH archive count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "${FOVEA_DOWNLOADS} must hold one sentencepiece-VERSION.tar.gz; ./dev setup downloads it")
endif()
get_filename_component(name ${archive} NAME)
string(REPLACE ".tar.gz" "" name ${name})
set(SentencePiece_SOURCE ${CMAKE_BINARY_DIR}/${name}/sentencepiece)
if(NOT EXISTS ${SentencePiece_SOURCE}/src/CMakeLists.txt)
  file(ARCHIVE_EXTRACT INPUT ${archive} DESTINATION ${CMAKE_BINARY_DIR})
endif()
set(SPM_ENABLE_SHARED OFF CACHE BOOL "")
set(SPM_ENABLE_TCMALLOC OFF CACHE BOOL "")
add_subdirectory(${SentencePiece_SOURCE} ${CMAKE_BINARY_DIR}/sentencepiece EXCLUDE_FROM_ALL)
target_compile_options(sentencepiece-static PRIVATE -w)
