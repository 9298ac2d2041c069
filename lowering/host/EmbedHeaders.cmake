# Writes DLPACK_H, STATUS_H, COUNTS_H and DEVICE_H as string constants to OUT.
file(WRITE ${OUT} "")
foreach(name Dlpack Status Counts Device)
  string(TOUPPER ${name}_H file)
  file(READ ${${file}} text)
  file(APPEND ${OUT} "constexpr const char *embedded${name} = R\"fovea(${text})fovea\";\n")
endforeach()
