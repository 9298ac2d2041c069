# Writes DLPACK_H and STATUS_H as string constants to OUT.
file(READ ${DLPACK_H} dlpack)
file(READ ${STATUS_H} status)
file(WRITE ${OUT} "constexpr const char *embeddedDlpack = R\"fovea(${dlpack})fovea\";\nconstexpr const char *embeddedStatus = R\"fovea(${status})fovea\";\n")
