# Writes DLPACK_H, STATUS_H and COUNTS_H as string constants to OUT.
file(READ ${DLPACK_H} dlpack)
file(READ ${STATUS_H} status)
file(READ ${COUNTS_H} counts)
file(WRITE ${OUT} "constexpr const char *embeddedDlpack = R\"fovea(${dlpack})fovea\";\nconstexpr const char *embeddedStatus = R\"fovea(${status})fovea\";\nconstexpr const char *embeddedCounts = R\"fovea(${counts})fovea\";\n")
