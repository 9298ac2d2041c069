# Halide from its Python wheel, as the imported target Halide::Halide. The wheel's own CMake package wants CMake 3.28;
# an imported target does not. FOVEA_HALIDE_ROOT is the wheel's folder site-packages/halide.
set(FOVEA_HALIDE_ROOT "" CACHE PATH "site-packages/halide of an environment with the Python package halide")

find_path(Halide_INCLUDE_DIR Halide.h HINTS ${FOVEA_HALIDE_ROOT}/include)
find_library(Halide_LIBRARY Halide HINTS ${FOVEA_HALIDE_ROOT}/lib64 ${FOVEA_HALIDE_ROOT}/lib)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Halide REQUIRED_VARS Halide_LIBRARY Halide_INCLUDE_DIR)

if(Halide_FOUND AND NOT TARGET Halide::Halide)
  add_library(Halide::Halide SHARED IMPORTED)
  set_target_properties(Halide::Halide PROPERTIES
    IMPORTED_LOCATION ${Halide_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${Halide_INCLUDE_DIR})
endif()
